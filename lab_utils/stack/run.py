"""`up` and `down`: the stack from nothing to healthy, and back to nothing."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from filelock import FileLock

from lab_utils.errors import LabError
from lab_utils.server import docker_engine, docker_launch, docker_pull, probe
from lab_utils.server.base import Endpoints
from lab_utils.server.docker_engine import api_errors
from lab_utils.stack import compose, faults, preflight, settings, state, targets
from lab_utils.stack.containers import (
    check_alive,
    containers_of,
    is_ours,
    remove_all,
    remove_others,
    service_of,
    volumes_of,
    wait_healthy,
)
from lab_utils.stack.state import StackState

_TRITON_PORTS = {8000: "http", 8001: "grpc", 8002: "metrics"}


@dataclass(frozen=True)
class Wish:
    """What `up` is asked for.

    Attributes:
        services: Names of services; empty: all.
        gpu: Triton gets the GPUs of this machine.
        build: Build the images that are built from this project.
        pull: Fetch the images that come from a registry and are not here.
        files: Compose files of your own, laid over ours.
        options: Options of the stack's tritonserver, as they are typed.
        repository: What it serves; None: the project's `model_repository/`.
        timeout: Seconds to wait until everything is healthy.
    """

    services: Sequence[str] = ()
    gpu: bool = False
    build: bool = False
    pull: bool = False
    files: tuple[Path, ...] = ()
    options: str = ""
    repository: Path | None = None
    timeout: float = 120.0


def up(wish: Wish, say: Callable[[str], None] = lambda _text: None) -> tuple[StackState, list[str]]:
    """Start the stack, or what is missing of it, and wait until all of it is healthy.

    Args:
        wish: What is asked for.
        say: Gets one line per step.

    Returns:
        The running stack, and what a student should know about it, in words.

    Raises:
        EngineError: There is no engine, or it may not be used.
        StackError: `fault` says what was in the way. A stack that did not run before does not run then.
    """
    client = docker_engine.connect()
    try:
        who = settings.owner(mapped=_rootless(client))
        secrets = settings.make_folders(who)
        with _lock(), docker_engine.answering():
            return _up(client, wish, who, secrets, say)
    finally:
        client.close()


def _up(
    client: Any, wish: Wish, who: settings.Owner, secrets: Mapping[str, Path], say: Callable[[str], None]
) -> tuple[StackState, list[str]]:
    project = settings.project_name()
    variables = settings.environment(who, options=wish.options, repository=wish.repository)
    program = compose.find(settings.compose_files(wish.gpu, wish.files), variables)
    config = program.config()
    services = compose.with_dependencies(config, wish.services)
    preflight.check_name(client, project)
    preflight.check_shared_memory(config, services)
    if not _maps_owners(client):
        preflight.check_folders(config, services, who)
    preflight.check_ports(client, project, config, services)
    _get_images(client, program, config, services, wish, say)
    targets.prune(client)
    before = {c.id for c in containers_of(client, project)}
    kept = bool(volumes_of(client, project))
    say(f"Starting {', '.join(services)} with {' '.join(program.program)} {program.version}.")
    try:
        _start(client, program, project, services, wish.timeout)
        if wish.gpu and "triton" in services:
            _check_gpu(client, project)
    except BaseException:  # a keyboard interrupt too
        if before:
            remove_others(client, project, before)
        else:
            remove_all(client, project, keep_volumes=kept)
        raise
    found = StackState(
        project=project,
        network=f"{project}_default",
        gpu=wish.gpu,
        images={name: config["services"][name]["image"] for name in _running(client, project)},
        urls=_addresses(config, _running(client, project)),
        secrets={name: str(path) for name, path in secrets.items()},
    )
    state.write(found)
    return found, [*preflight.open_ports(config, services), *_broken_models(found), *programs(found)]


def _get_images(
    client: Any,
    program: compose.Compose,
    config: Mapping[str, Any],
    services: Sequence[str],
    wish: Wish,
    say: Callable[[str], None],
) -> None:
    """Build and fetch what was asked for; refuse to go on without an image."""
    built, pulled = preflight.missing_images(client, config, services)
    if wish.build:
        ours = [name for name in services if config["services"][name].get("build")]
        if ours:
            say(f"Building the image of {', '.join(ours)}: several minutes the first time.")
            answer = program.call("build", *ours)
            if answer.returncode:
                raise faults.build_failed(ours, answer.stdout + answer.stderr)
        built = {}
    if wish.pull and pulled:
        for image in pulled.values():
            say(f"Fetching {image}.")
            docker_pull.pull(image)
        pulled = {}
    if built or pulled:
        raise faults.images_absent(built, pulled)


def _start(
    client: Any, program: compose.Compose, project: str, services: Sequence[str], timeout: float
) -> None:
    answer = program.call("up", "-d", "--no-build", *services, timeout=timeout + 300)
    if answer.returncode:
        # A container that ended, or never became healthy, says more than compose does.
        check_alive(client, project, services)
        raise faults.refused(answer.stderr or answer.stdout)
    wait_healthy(client, project, services, timeout)


def _check_gpu(client: Any, project: str) -> None:
    """Look for the GPU inside the container: that it started proves nothing."""
    triton = next(c for c in containers_of(client, project) if service_of(c) == "triton")
    found, words = docker_launch.gpus_inside(triton)
    if not found:
        raise faults.no_gpu_inside(words)


def down(*, keep_volumes: bool = False) -> list[str]:
    """Stop and remove the stack: containers, network, volumes, secrets, the state that was written down.

    It needs the engine and no compose: what belongs to the stack stands in labels.

    Args:
        keep_volumes: Leave what Prometheus, Alertmanager and Grafana have stored, and the secrets.

    Returns:
        What was removed, in words; empty when nothing was there.

    Raises:
        EngineError: There is no engine, or it may not be used.
        StackError: NAME_TAKEN: the containers of that name are not ours.
    """
    client = docker_engine.connect()
    project = settings.project_name()
    try:
        state.folder().mkdir(parents=True, exist_ok=True)
        with _lock(), docker_engine.answering():
            preflight.check_name(client, project)
            removed = remove_all(client, project, keep_volumes=keep_volumes)
            state.forget()
            for folder in (state.targets_folder(), state.folder() / "model_repository"):
                shutil.rmtree(folder, ignore_errors=True)
            if not keep_volumes:
                shutil.rmtree(settings.secrets_folder(), ignore_errors=True)
            return removed
    finally:
        client.close()


def _lock() -> FileLock:
    """Two terminals never start and stop the stack at the same time."""
    return FileLock(state.folder() / "lock", timeout=600)


def _running(client: Any, project: str) -> list[str]:
    """The services that run now: those that were started before too."""
    return sorted(
        service_of(c) for c in containers_of(client, project) if c.status == "running" and is_ours(c)
    )


def _addresses(config: Mapping[str, Any], services: Sequence[str]) -> dict[str, str]:
    found = {}
    for name in services:
        for port in compose.published(config["services"][name]):
            host = "127.0.0.1" if port.host in ("", "0.0.0.0", "::") else port.host
            kind = _TRITON_PORTS.get(port.inner, "") if name == "triton" else ""
            address = f"{host}:{port.outer}"
            found[f"{name}.{kind}" if kind else name] = address if kind == "grpc" else f"http://{address}"
    return found


def _broken_models(found: StackState) -> list[str]:
    """The models that the stack's Triton could not load, in words."""
    url = found.urls.get("triton.http")
    if url is None:
        return []
    http = url.removeprefix("http://")
    try:
        index = probe.repository_index(Endpoints(http, "", ""))
    except httpx.HTTPError:
        return [f"Triton does not say which models it has; look at {url}/v2/health/ready."]
    return [
        f"The model {entry['name']} was not loaded: {entry['reason']}"
        for entry in index
        if entry.get("state") == "UNAVAILABLE" and entry.get("reason", "unloaded") != "unloaded"
    ]


def programs(found: StackState) -> list[str]:
    """Lab 4 starts a Prometheus of its own: out of the stack's images where this machine has none.

    Args:
        found: The stack that runs.

    Returns:
        What was done about it, in words; empty when there was nothing to do.
    """
    from lab_utils.monitoring import tools

    if not {"prometheus", "alertmanager"} <= set(found.images):
        return []
    if tools.has_prometheus() and tools.has_alertmanager():
        return []
    try:
        tools.fetch(from_images=True)
    except LabError as error:
        return [f"Lab 4 will find no Prometheus of its own: {error.what} {error.fix}"]
    return ["Lab 4 uses the Prometheus and the Alertmanager of these images."]


def _rootless(client: Any) -> bool:
    try:
        return any("rootless" in option for option in client.info().get("SecurityOptions") or ())
    except api_errors():
        return False


def _maps_owners(client: Any) -> bool:
    """Whether owners inside a container are others than those here: permission bits then say nothing."""
    try:
        info = client.info()
    except api_errors():
        return False
    options = " ".join(info.get("SecurityOptions") or ())
    return (
        "rootless" in options or "userns" in options or "Docker Desktop" in str(info.get("OperatingSystem"))
    )
