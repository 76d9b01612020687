"""Pull the docker runtime's image on request, and say in plain words why a registry does not give it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from lab_utils.server import docker_engine
from lab_utils.server.docker_errors import EngineError, Fault, text_of

_NO_WAY = (
    r"no such host|name resolution|server misbehaving|i/o timeout|connection refused|connection reset|"
    r"no route to host|network is unreachable|handshake timeout|deadline exceeded|Client\.Timeout|"
    r"proxyconnect|\bEOF\b"
)
_DISK = r"no space left on device|disk quota exceeded"
_LIMIT = r"toomanyrequests|rate limit"


def registry_of(image: str) -> str:
    """The host that an image comes from: `nvcr.io` of `nvcr.io/nvidia/tritonserver:24.10-py3`."""
    first, slash, _ = image.partition("/")
    return first if slash and re.search(r"[.:]|^localhost$", first) else "docker.io"


def pull(image: str, tell: Callable[[str], None] = lambda line: None) -> None:
    """Pull an image.

    Args:
        image: Its name.
        tell: Is given a line now and then: how many of the layers are here.

    Raises:
        EngineError: No engine, or REGISTRY, IMAGE_REFUSED, DISK_FULL: why the image did not come.
    """
    client = docker_engine.connect(timeout=600)
    try:
        with docker_engine.answering():
            _follow(client, image, tell)
    finally:
        client.close()


def _follow(client: Any, image: str, tell: Callable[[str], None]) -> None:
    import docker

    name, colon, tag = image.rpartition(":")
    if not colon or "/" in tag:  # no tag: what stands behind the colon is a port, or there is none
        name, tag = image, "latest"
    seen: set[str] = set()
    done: set[str] = set()
    said = ""
    try:
        for step in client.api.pull(name, tag=tag, stream=True, decode=True):
            if "error" in step:
                raise why_not(image, str(step["error"]))
            layer, status = step.get("id", ""), step.get("status", "")
            if re.fullmatch(r"[0-9a-f]{12}", layer):
                seen.add(layer)
                if status in ("Pull complete", "Already exists"):
                    done.add(layer)
            line = f"{len(done)} of {len(seen)} layers"
            if seen and line != said:
                tell(line)
                said = line
    except docker.errors.APIError as error:
        raise why_not(image, text_of(error)) from error


def why_not(image: str, words: str) -> EngineError:
    """The error for an image that could not be pulled.

    Args:
        image: Its name.
        words: What the engine said.
    """
    registry = registry_of(image)
    if re.search(_NO_WAY, words):
        return EngineError(
            Fault.REGISTRY,
            f"The registry {registry} cannot be reached, so the image `{image}` was not pulled.",
            why="The container engine, which fetches it, has no network or no name service, or a proxy or a "
            "firewall stands between.",
            fix="Look at the network, and give the engine your proxy (Docker: HTTPS_PROXY for its service). "
            "Or bring the image from another machine: `docker save IMAGE -o image.tar` there, `docker load "
            "-i image.tar` here. The embedded server needs no image.",
            details=words,
        )
    if re.search(_DISK, words, re.IGNORECASE):
        return EngineError(
            Fault.DISK_FULL,
            f"The image `{image}` does not fit on the disk.",
            why="The engine's disk is full, and an image is unpacked there.",
            fix="`docker system df` shows what uses it; `docker image prune` removes what nobody uses.",
            details=words,
        )
    if re.search(_LIMIT, words, re.IGNORECASE):
        return EngineError(
            Fault.REGISTRY,
            f"The registry {registry} asks to wait, so the image `{image}` was not pulled.",
            why="It gives an address only so many images in some hours, and a class often has one address.",
            fix="Wait, or log in (`docker login`); or bring it with `docker save` and `docker load`.",
            details=words,
        )
    return EngineError(
        Fault.IMAGE_REFUSED,
        f"The registry {registry} does not give the image `{image}`.",
        why="There is no image of that name and tag, none for this processor, or you must log in for it.",
        fix=f"Check the name and the tag (NVIDIA's are YY.MM-py3), or run `docker login {registry}`.",
        details=words,
    )
