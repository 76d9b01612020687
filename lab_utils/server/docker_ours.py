"""All containers of this user and this state folder: find them, stop them, clean up after them."""

from __future__ import annotations

import contextlib

from lab_utils.server import docker_engine, docker_watch
from lab_utils.server.base import Server
from lab_utils.server.docker import DockerServer
from lab_utils.server.docker_errors import EngineError


def _ours(*, running: bool) -> list[DockerServer]:
    """Our containers, running or ended; none when no engine can be asked."""
    if not docker_engine.engine_possible():
        return []
    try:
        client = docker_engine.connect(timeout=10)
    except EngineError:
        return []
    found = []
    for container in docker_engine.our_containers(client):
        if (container.status in ("running", "paused", "restarting")) is running:
            # A container that lost its labels, or is of an older form, is not to be handled as ours.
            with contextlib.suppress(KeyError, TypeError, ValueError):
                found.append(DockerServer.attach(container))
    if not found:
        client.close()
    return found


def list_ours() -> list[Server]:
    """The running containers of this user and this state folder."""
    return [*_ours(running=True)]


def find(name: str) -> DockerServer | None:
    """Our running container of this server name; None when there is none."""
    return next((server for server in _ours(running=True) if server.name == name), None)


def sweep() -> list[str]:
    """Remove our ended containers, and kernel-lifetime ones whose starting process is gone."""
    names = []
    for server in _ours(running=False) + [
        s for s in _ours(running=True) if docker_watch.orphaned(s.spec.labels)
    ]:
        server.stop()
        names.append(server.name)
    return names


def stop_all() -> list[str]:
    """Stop and remove all containers of ours, ended ones too. Returns the servers' names."""
    names = []
    for server in _ours(running=True) + _ours(running=False):
        server.stop()
        names.append(server.name)
    return names
