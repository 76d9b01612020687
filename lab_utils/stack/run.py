"""`up` and `down`: the stack from nothing to healthy, and back to nothing."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from lab_utils.server import docker_engine, docker_launch, docker_pull
from lab_utils.server.docker_engine import api_errors
from lab_utils.stack import after, compose, failures, faults, former, preflight, settings, state, targets
from lab_utils.stack.containers import (
    check_alive,
    containers_of,
    is_ours,
    remove_all,
    service_of,
    volumes_of,
    wait_healthy,
)
from lab_utils.stack.faults import StackError
from lab_utils.stack.state import StackState
from lab_utils.stack.wish import Wish

_PATIENCE_S = 1800.0


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
        with _alone(say), docker_engine.answering():
            fresh = not settings.secrets_folder().exists()
            secrets = settings.make_folders(who)
            try:
                return _up(client, wish, who, secrets, say)
            except BaseException:
                if fresh:
                    _forget_secrets(client)
                raise
    finally:
        client.close()


def _forget_secrets(client: Any) -> None:
    """Nothing ran before this call, and nothing runs now: nobody needs them."""
    with contextlib.suppress(*api_errors()):
        if not containers_of(client, settings.project_name()):
            for folder in (state.targets_folder(), settings.secrets_folder()):
                shutil.rmtree(folder, ignore_errors=True)


def _up(
    client: Any, wish: Wish, who: settings.Owner, secrets: Mapping[str, Path], say: Callable[[str], None]
) -> tuple[StackState, list[str]]:
    project = settings.project_name()
    preflight.check_port_variables()
    variables = settings.environment(who, options=wish.options, repository=wish.repository)
    program = compose.find(settings.compose_files(wish.gpu, wish.files), variables)
    config = program.config()
    services = compose.with_dependencies(config, wish.services)
    preflight.check_name(client, project)
    preflight.check_shared_memory(config, services)
    if not _maps_owners(client):
        preflight.check_folders(config, services, who)
    preflight.check_ports(client, project, config, services, wish)
    if wish.gpu and "triton" in services:
        preflight.warn_without_gpu(client, say)
    _get_images(client, program, config, services, wish, say)
    targets.prune(client)
    before = former.remember(client, project)
    kept = bool(volumes_of(client, project))
    say(f"Starting {', '.join(services)} with {' '.join(program.program)} {program.version}.")
    try:
        _start(client, program, project, services, wish.timeout, former.running(before))
        if wish.gpu and "triton" in services:
            _check_gpu(client, project)
    except BaseException as error:  # a keyboard interrupt too
        if before:
            lost = former.put_back(client, project, before)
            if lost and isinstance(error, StackError):
                raise failures.with_lost(error, lost) from error
        else:
            remove_all(client, project, keep_volumes=kept)
        if isinstance(error, KeyboardInterrupt):
            say("Interrupted. What this call had started was taken down again.")
        raise
    found = StackState(
        project=project,
        network=f"{project}_default",
        gpu=wish.gpu,
        images={name: config["services"][name]["image"] for name in _running(client, project)},
        urls=after.addresses(config, _running(client, project)),
        secrets={name: str(path) for name, path in secrets.items()},
    )
    state.write(found)
    notes = [*preflight.open_ports(config, services), *after.broken_models(found), *after.programs(found)]
    return found, notes


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
            say(f"Building the image of {', '.join(ours)}: 10 to 20 minutes the first time.")
            status, words = program.build(ours, say)
            if status:
                raise failures.build_failed(ours, words)
        built = {}
    if wish.pull and pulled:
        for image in pulled.values():
            say(f"Fetching {image}.")
            docker_pull.pull(image)
        pulled = {}
    if built or pulled:
        raise faults.images_absent(built, pulled, wish)


def _start(
    client: Any,
    program: compose.Compose,
    project: str,
    services: Sequence[str],
    timeout: float,
    ran: Container[str],
) -> None:
    answer = program.call("up", "-d", "--no-build", *services, timeout=timeout + 300)
    if answer.returncode:
        # A container that ended, or never became healthy, says more than compose does. One that ran before
        # was stopped by compose, to be replaced.
        check_alive(client, project, services, ran)
        raise failures.refused(answer.stderr or answer.stdout)
    wait_healthy(client, project, services, timeout)


def _check_gpu(client: Any, project: str) -> None:
    """Look for the GPU inside the container: that it started proves nothing."""
    triton = next(c for c in containers_of(client, project) if service_of(c) == "triton")
    found, words = docker_launch.gpus_inside(triton)
    if not found:
        raise failures.no_gpu_inside(words)


def down(*, keep_volumes: bool = False, say: Callable[[str], None] = lambda _text: None) -> list[str]:
    """Stop and remove the stack: containers, network, volumes, secrets, the state that was written down.

    It needs the engine and no compose: what belongs to the stack stands in labels.

    Args:
        keep_volumes: Leave what Prometheus, Alertmanager and Grafana have stored, and the secrets.
        say: Gets a line when it has to wait.

    Returns:
        What was removed, in words; empty when nothing was there.

    Raises:
        EngineError: There is no engine, or it may not be used.
        StackError: NAME_TAKEN: the containers of that name are not ours. BUSY: another call is at work.
    """
    client = docker_engine.connect()
    project = settings.project_name()
    try:
        state.folder().mkdir(parents=True, exist_ok=True)
        with _alone(say), docker_engine.answering():
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


@contextlib.contextmanager
def _alone(say: Callable[[str], None]) -> Iterator[None]:
    """Two terminals never start and stop the stack at the same time."""
    state.folder().mkdir(parents=True, exist_ok=True)
    lock = FileLock(state.folder() / "lock")
    try:
        lock.acquire(timeout=2)
    except Timeout:
        say("Another `triton-lab up` or `triton-lab down` of yours is at work: waiting for it.")
        try:
            lock.acquire(timeout=_PATIENCE_S)
        except Timeout:
            raise faults.busy(_PATIENCE_S) from None
    try:
        yield
    finally:
        lock.release()


def _running(client: Any, project: str) -> list[str]:
    """The services that run now: those that were started before too."""
    return sorted(
        service_of(c) for c in containers_of(client, project) if c.status == "running" and is_ours(c)
    )


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
