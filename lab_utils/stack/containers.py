"""The containers, networks and volumes of the stack: find them, wait for them, remove them."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Container, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from lab_utils import paths
from lab_utils.server.docker_engine import api_errors
from lab_utils.stack import failures
from lab_utils.stack.settings import STACK_LABEL

_PROJECT = "com.docker.compose.project"
_SERVICE = "com.docker.compose.service"
_PAUSE = 0.2
_STOP_SECONDS = 20


def containers_of(client: Any, project: str) -> list[Any]:
    """All containers of a project, running or ended."""
    wanted = {"label": f"{_PROJECT}={project}"}
    return list(client.containers.list(all=True, filters=wanted, ignore_removed=True))


def volumes_of(client: Any, project: str) -> list[Any]:
    """All volumes of a project."""
    return list(client.volumes.list(filters={"label": f"{_PROJECT}={project}"}))


def service_of(container: Any) -> str:
    """The name of a container's service in the compose file."""
    return str(container.labels.get(_SERVICE, ""))


def is_ours(container: Any) -> bool:
    """Whether a container was started by this user with this state folder."""
    return bool(container.labels.get(STACK_LABEL) == str(paths.state_home()))


def keep_log(container: Any) -> tuple[str, Path]:
    """A container's whole log, and the file in the state folder that it is kept in."""
    path = paths.state_home() / "logs" / f"stack-{service_of(container)}.log"
    text = ""
    with contextlib.suppress(*api_errors()):
        text = container.logs().decode(errors="replace")
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.write_text(text)
        path.chmod(0o600)
    return text, path


def check_alive(client: Any, project: str, services: Sequence[str], former: Container[str] = ()) -> list[str]:
    """The services that are not healthy yet.

    Args:
        client: The engine.
        project: Compose's project name.
        services: The services.
        former: Ids of containers that say nothing: compose has stopped them to put others in their place.

    Raises:
        StackError: EXITED, OUT_OF_MEMORY or NOT_HEALTHY, with the last words of the container.
    """
    found = {service_of(c): c for c in containers_of(client, project) if c.id not in former}
    waiting = []
    for service in services:
        container = found.get(service)
        if container is None:
            waiting.append(service)
            continue
        state = container.attrs["State"]
        health = state.get("Health") or {}
        if state.get("Status") == "created" and not state.get("ExitCode"):
            waiting.append(service)
        elif not state.get("Running"):
            raise failures.ended(service, state, *keep_log(container))
        elif health.get("Status") == "unhealthy":
            probe = (health.get("Log") or [{}])[-1].get("Output", "")
            raise failures.not_healthy(service, _age(state), probe, *keep_log(container))
        elif health.get("Status") == "starting":
            waiting.append(service)
    return waiting


def wait_healthy(client: Any, project: str, services: Sequence[str], timeout: float) -> None:
    """Wait until every service runs and its health check passes.

    Args:
        client: The engine.
        project: Compose's project name.
        services: The services.
        timeout: Limit in seconds.

    Raises:
        StackError: As `check_alive`, or NOT_HEALTHY when the time is up.
    """
    end = time.monotonic() + timeout
    while waiting := check_alive(client, project, services):
        if time.monotonic() > end:
            late = next(c for c in containers_of(client, project) if service_of(c) == waiting[0])
            probes = (late.attrs["State"].get("Health") or {}).get("Log") or [{}]
            raise failures.not_healthy(waiting[0], timeout, probes[-1].get("Output", ""), *keep_log(late))
        time.sleep(_PAUSE)


def _age(state: dict[str, Any]) -> float:
    """Seconds since a container was started; 0 when the engine does not say."""
    import datetime

    text = str(state.get("StartedAt", ""))[:19]
    try:
        started = datetime.datetime.fromisoformat(text).replace(tzinfo=datetime.UTC)
    except ValueError:
        return 0.0
    return max(0.0, time.time() - started.timestamp())


def remove_all(client: Any, project: str, *, keep_volumes: bool = False) -> list[str]:
    """Stop and remove the containers of a project, then its networks and volumes.

    Servers of the labs that had joined its network leave it and go on running.

    Args:
        client: The engine.
        project: Compose's project name.
        keep_volumes: Leave the volumes: what Prometheus, Alertmanager and Grafana have stored.

    Returns:
        What was removed, in words.
    """
    found = containers_of(client, project)
    if found:
        with ThreadPoolExecutor(len(found)) as pool:
            list(pool.map(remove, found))
    removed = [f"container {container.name}" for container in found]
    wanted = {"label": f"{_PROJECT}={project}"}
    for network in client.networks.list(filters=wanted, greedy=True):
        for other in network.attrs.get("Containers") or {}:
            with contextlib.suppress(*api_errors()):
                network.disconnect(other, force=True)
        network.remove()
        removed.append(f"network {network.name}")
    for volume in [] if keep_volumes else volumes_of(client, project):
        volume.remove(force=True)
        removed.append(f"volume {volume.name}")
    return removed


def remove(container: Any) -> None:
    """Stop and remove a container with its anonymous volumes; its log stays in the state folder."""
    with contextlib.suppress(*api_errors()):  # ended already, or removed by somebody else
        container.stop(timeout=_STOP_SECONDS)
    keep_log(container)
    with contextlib.suppress(*api_errors()):
        container.remove(force=True, v=True)
