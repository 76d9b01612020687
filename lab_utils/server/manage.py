"""The front door: start a server with the right runtime, find the running ones, stop them."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path

from lab_utils import folders, paths
from lab_utils.server import records as _records
from lab_utils.server.base import Lifetime, Server, ServerError
from lab_utils.server.embedded import EmbeddedServer
from lab_utils.server.records import Record
from lab_utils.server.remote import RemoteServer

RUNTIMES = ("embedded", "docker", "remote")


def choose_runtime(runtime: str | None = None) -> str:
    """The runtime to use: the argument, else `TRITON_LAB_RUNTIME`, else what is to be had.

    Without a setting: `remote` when `TRITON_LAB_URL` is set, else `embedded`. Docker is used only
    when it is asked for: it needs an image of several gigabytes.

    Raises:
        ServerError: The name is not a runtime.
    """
    name = runtime or os.environ.get("TRITON_LAB_RUNTIME") or ""
    if not name:
        return "remote" if os.environ.get("TRITON_LAB_URL") else "embedded"
    if name not in RUNTIMES:
        raise ServerError(
            f"`{name}` is not a runtime.",
            why="It comes from the argument `runtime` or from the variable TRITON_LAB_RUNTIME.",
            fix=f"Use one of: {', '.join(RUNTIMES)}.",
        )
    return name


def start(
    repository: Path | str,
    *,
    name: str | None = None,
    runtime: str | None = None,
    options: Sequence[str] = (),
    lifetime: Lifetime | str | None = None,
    wait_for: Sequence[str] = (),
    timeout: float = 60.0,
) -> Server:
    """Start a Triton on a model repository, or attach to the running one of the same name and settings.

    Args:
        repository: The model repository (a folder with one folder per model).
        name: Name of the server. Default: the repository folder's name.
        runtime: `embedded`, `docker` or `remote`. Default: see `choose_runtime`.
        options: Options of tritonserver, as on its command line: `"--strict-readiness=true"`.
        lifetime: `session` (default) or `kernel`. `TRITON_LAB_LIFETIME` changes the default.
        wait_for: Models that must be ready before this returns.
        timeout: Seconds to wait for the server and for each model.

    Raises:
        ServerError: With the decisive log lines, the cause and the mend.
    """
    life = Lifetime(lifetime or os.environ.get("TRITON_LAB_LIFETIME") or Lifetime.SESSION)
    chosen = choose_runtime(runtime)
    server_name = name or Path(repository).resolve().name.lower().replace(" ", "-").strip("._-") or "triton"
    if chosen == "remote":
        return RemoteServer.from_settings(server_name, wait_for=wait_for, timeout=timeout).start()
    folders.require(paths.state_home(), "for the records of your servers", "TRITON_LAB_HOME")
    if chosen == "docker":
        from lab_utils.server.docker import DockerServer

        return DockerServer(
            repository, name=server_name, options=options, lifetime=life, wait_for=wait_for, timeout=timeout
        ).start()
    server = EmbeddedServer(
        repository, name=server_name, options=options, lifetime=life, wait_for=wait_for, timeout=timeout
    ).start()
    if server.headers:
        from lab_utils.server.key_clients import install

        install()
    return server


def find(name: str) -> Server | None:
    """The running server of this name, embedded or container. None when there is none."""
    found = _records.read(name)
    if found and found.runtime == "embedded" and found.alive():
        return EmbeddedServer.attach(found)
    return next((s for s in _containers() if s.name == name), None)


def _containers() -> list[Server]:
    """Our own running containers; none when there is no engine to ask."""
    try:
        from lab_utils.server.docker_ours import list_ours
    except ImportError:
        return []
    return list_ours()


def record(name: str) -> Record | None:
    """The record of an embedded server, also of one that ended by itself (see `Record.ended`)."""
    return _records.read(name)


def all_records() -> list[Record]:
    """All records of this user's embedded servers, ended ones included."""
    return _records.all_records()


def running() -> list[Server]:
    """All running servers of this user: embedded ones and containers."""
    embedded: list[Server] = [EmbeddedServer.attach(r) for r in all_records() if r.alive()]
    return embedded + _containers()


def stop_all() -> list[str]:
    """Stop all servers of this user, and remove what dead ones left behind. Returns their names."""
    names = []
    for server in running():
        server.stop()
        names.append(server.name)
    sweep()
    return names


def leftovers() -> list[str]:
    """What dead servers of ours left behind, in words: records, processes, shared-memory regions."""
    found = []
    for entry in all_records():
        if not entry.alive():
            when = time.strftime("%Y-%m-%d %H:%M", time.localtime(entry.created))
            found.append(f"record of server `{entry.name}` (started {when}), which no longer runs")
            found += _records.remains(entry)
    known = " ".join(found)
    orphans = [p for p in _records.orphan_regions() if str(p) not in known]
    return found + [f"shared-memory region {p} of a server that no longer runs" for p in orphans]


def sweep() -> int:
    """Clean up after servers that no longer run, containers too; returns how many there were."""
    count = 0
    for entry in all_records():
        with _records.lock(entry.name):
            current = _records.read(entry.name)
            if current and not current.alive():
                _records.clean(current)
                _records.forget(current)
                count += 1
    for region in _records.orphan_regions():
        region.unlink(missing_ok=True)
    try:
        from lab_utils.server import docker_ours
    except ImportError:
        return count
    return count + len(docker_ours.sweep())
