"""The container engine: where it is, how to reach it, and which of its containers are ours."""

from __future__ import annotations

import contextlib
import getpass
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lab_utils import paths
from lab_utils.server import docker_ends
from lab_utils.server import docker_errors as errors

LABEL = "triton-lab"
_DEFAULT_SOCKET = "/var/run/docker.sock"


def engine_address() -> str:
    """Where the engine listens: `DOCKER_HOST`, else docker's current context, else the default socket."""
    host = os.environ.get("DOCKER_HOST")
    if host:
        return host
    if (_docker_folder() / "contexts").is_dir():
        # The SDK's own from_env() overlooks contexts, which rootless Docker and Docker Desktop use.
        from docker.context import ContextAPI

        context = ContextAPI.get_current_context()
        if context is not None and context.Host:
            return str(context.Host)
    return f"unix://{_DEFAULT_SOCKET}"


def _docker_folder() -> Path:
    return Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker")


def engine_possible() -> bool:
    """False when there is certainly no engine: a quick look that does not import the SDK."""
    host = os.environ.get("DOCKER_HOST", "")
    if host.startswith("unix://"):
        return Path(host.removeprefix("unix://")).exists()
    return bool(host) or Path(_DEFAULT_SOCKET).exists() or (_docker_folder() / "contexts").is_dir()


def connect(timeout: float = 60.0) -> Any:
    """A client (`docker.DockerClient`) of the engine on this machine.

    Args:
        timeout: Seconds to wait for each of the engine's answers.

    Raises:
        EngineError: NO_SDK, NO_ENGINE, NO_PERMISSION or ENGINE_ELSEWHERE.
    """
    try:
        import docker
    except ImportError:
        raise errors.no_sdk() from None
    address = engine_address()
    if not address.startswith(("unix://", "npipe://")):
        host = address.split("://", 1)[-1].rsplit("@", 1)[-1]
        if not host.startswith(("127.", "localhost", "[::1]")) or address.startswith("ssh://"):
            raise errors.elsewhere(address)
    try:
        client = docker.from_env(timeout=timeout, environment={**os.environ, "DOCKER_HOST": address})
        try:
            client.ping()
        except BaseException:
            client.close()
            raise
    except (docker.errors.DockerException, OSError) as error:
        raise errors.no_answer(address, error) from error
    return client


@contextlib.contextmanager
def answering() -> Iterator[None]:
    """For calls of the SDK: an engine that stops meanwhile is an error of ours.

    Raises:
        EngineError: ENGINE_STOPPED.
    """
    import requests

    try:
        yield
    except requests.exceptions.RequestException as error:
        raise docker_ends.engine_stopped(engine_address(), error) from error


def stopped() -> errors.EngineError | None:
    """The error when no engine answers now; None when one does."""
    try:
        connect(timeout=5).close()
    except errors.EngineError as error:
        return docker_ends.engine_stopped(engine_address(), error)
    return None


def require_image(client: Any, image: str) -> None:
    """Make sure that an image has been pulled.

    Raises:
        EngineError: IMAGE_ABSENT.
    """
    import docker

    try:
        client.images.get(image)
    except docker.errors.ImageNotFound as error:
        raise errors.image_absent(image, error) from error
    except docker.errors.APIError as error:  # a name that cannot be one: `Image:Name`
        raise errors.image_absent(image, error) from error


def own_user(client: Any, image: str) -> str:
    """`uid:gid` of this user for an image that says it runs as any user; empty: the image's own user.

    Files that only this user may read, and shared memory of a client, can then be read in the container.
    """
    if client.images.get(image).labels.get(f"{LABEL}.user") != "any":
        return ""
    if "name=rootless" in (client.info().get("SecurityOptions") or []):
        return "0:0"  # root inside of a rootless engine's container is this user
    return f"{os.getuid()}:{os.getgid()}"


def problem(image: str) -> errors.EngineError | None:
    """What stands in the way of the docker runtime here; None when engine and image are there."""
    try:
        client = connect(timeout=10)
        try:
            require_image(client, image)
        finally:
            client.close()
    except errors.EngineError as error:
        return error
    return None


def own_labels() -> dict[str, str]:
    """The labels that all containers of this user and this state folder carry."""
    return {f"{LABEL}.home": str(paths.state_home()), f"{LABEL}.user": str(os.getuid())}


def is_ours(labels: dict[str, str]) -> bool:
    """Whether a container with these labels belongs to this user and this state folder."""
    return all(labels.get(name) == value for name, value in own_labels().items())


def container_name(name: str) -> str:
    """The container's name for a server's name: other users of the engine have other ones."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a user id with no name
        user = str(os.getuid())
    kept = "".join(c if c.isascii() and (c.isalnum() or c in "_-") else "-" for c in user)
    return f"{LABEL}-{kept}-{name}"


def our_containers(client: Any) -> list[Any]:
    """All containers of ours, running or ended."""
    labels = [f"{name}={value}" for name, value in own_labels().items()]
    # ignore_removed: another process may remove one between the listing and the look at it.
    return list(client.containers.list(all=True, filters={"label": labels}, ignore_removed=True))


def api_errors() -> tuple[type[Exception], ...]:
    """What a call of the SDK raises when the engine refuses, lost the container, or is gone."""
    import docker
    import requests

    return (docker.errors.DockerException, requests.exceptions.RequestException, OSError)
