"""Proof that the server a check will ask is the lab's own, alive, and on its own port.

Without this proof a check could pass on a server that somebody else runs, on a stale record, or on
another program that took the port. Each way to fail has its own message.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import psutil

from lab_utils import server as triton
from lab_utils.keeper.identity import MARKER, ProcessId, boot_id
from lab_utils.progress import probes
from lab_utils.progress.context import LabContext, refuse
from lab_utils.server.base import Server
from lab_utils.server.manage import choose_runtime
from lab_utils.server.records import Record
from lab_utils.server.remote import RemoteServer

_START = "Run `server = lab.start()`, then check again."
_AGAIN = "Run `lab.stop()`, then `server = lab.start()`, then check again."
_LIVE_SECONDS = 3.0


def prove_server(context: LabContext) -> tuple[Server, dict[str, Any]]:
    """Find the lab's own server and prove that it is meant.

    Args:
        context: The lab's surroundings.

    Returns:
        The server, and its identity as JSON values (name, runtime, pid, start time, address).

    Raises:
        Refusal: There is none, it ended, its record is stale, its process id belongs to another
            process, it serves another repository, another process owns its port, it does not answer
            in time, or one of its models' stub processes is gone.
    """
    name = context.server_name
    remote = choose_runtime() == "remote"
    record = None if remote else triton.record(name)
    if record is not None:
        _prove_repository(context, name, record.repository)
        _prove_process(context, record)
    server: Server | None = RemoteServer.from_settings(name) if remote else triton.find(name)
    if server is None:
        refuse(
            expected=f"the lab's own server `{name}` runs",
            found="there is no server of this lab",
            next_step=_START,
        )
    if record is not None:
        _prove_ports(record)
    elif not remote:
        _prove_repository(context, name, server.repository)
    _prove_live(server)
    faults = triton.stub_faults(server)
    if faults:
        refuse(
            expected="every model of the server has its stub process",
            found="; ".join(faults),
            next_step="Triton never restarts a stub. Unload and load that model, or run `lab.stop()` "
            "and `server = lab.start()`.",
        )
    return server, identity_of(server, record)


def identity_of(server: Server, record: Record | None) -> dict[str, Any]:
    """Who a server is, as JSON values."""
    started = record.server.started if record is not None and record.server is not None else None
    return {
        "name": server.name,
        "runtime": server.runtime,
        "pid": server.pid,
        "started": started,
        "http": server.endpoints.http,
        "repository": str(server.repository) if server.repository else None,
    }


def _prove_repository(context: LabContext, name: str, repository: Path | None) -> None:
    if repository is not None and repository.resolve() == context.repository.resolve():
        return
    refuse(
        expected=f"the server `{name}` serves this lab's folder {context.repository}",
        found=f"the server `{name}` serves another repository: {repository}",
        next_step=_AGAIN,
    )


def _prove_process(context: LabContext, record: Record) -> None:
    """The recorded process runs, is the same one, is ours, and serves the lab's repository."""
    name, process = record.name, record.server
    expected = f"the server `{name}` runs"
    if record.ended is not None:
        refuse(expected=expected, found=f"the server `{name}` {_end_of(record)}", next_step=_START)
    if record.boot_id and record.boot_id != boot_id():
        refuse(
            expected=expected,
            found=f"the record of `{name}` is from before this machine was restarted",
            next_step=_START,
        )
    if process is None:
        refuse(expected=expected, found=f"the server `{name}` never came up", next_step=_START)
    now = ProcessId.of(process.pid)
    if now is None:
        refuse(
            expected=expected,
            found=f"the server `{name}` (process {process.pid}) is not running any more",
            next_step=_START,
        )
    if now.started != process.started:
        refuse(
            expected=expected,
            found=f"the server `{name}` is gone: process id {process.pid} now belongs to another process "
            f"({_name_of(process.pid)})",
            next_step=_START,
        )
    foreign = _foreign(context, record, process.pid)
    if foreign:
        refuse(
            expected=f"process {process.pid} is the server that this lab started",
            found=foreign,
            next_step=_AGAIN,
        )


def _end_of(record: Record) -> str:
    text = str(record.ended)
    return text if text.startswith(("ended", "was ")) else f"ended: {text}"


def _name_of(pid: int) -> str:
    with suppress(psutil.Error):
        return f"`{psutil.Process(pid).name()}`"
    return "unknown"


def _foreign(context: LabContext, record: Record, pid: int) -> str:
    """Why this process cannot be the server that this lab started; empty when it can be."""
    try:
        process = psutil.Process(pid)
        if process.uids().real != os.getuid():
            return f"process {pid} belongs to the user {process.username()}"
        marker = process.environ().get(MARKER)
        arguments = process.cmdline()
    except psutil.Error as error:
        return f"process {pid} cannot be looked at: {error}"
    if marker != record.id:
        whose = "by another program" if marker is None else f"as another server (id {marker})"
        return f"process {pid} was started {whose}, not as the recorded server {record.id}"
    key = "--model-repository="
    served = [Path(a.removeprefix(key)).resolve() for a in arguments if a.startswith(key)]
    if context.repository.resolve() not in served:
        return f"process {pid} serves {', '.join(map(str, served)) or 'no repository'}"
    return ""


def _prove_ports(record: Record) -> None:
    """The server itself, and nobody else, listens on the recorded ports."""
    if record.server is None:
        return
    needed = {int(a.rsplit(":", 1)[1]) for a in (record.endpoints.http, record.endpoints.grpc)}
    own: set[int] = set()
    with suppress(psutil.Error):
        process = psutil.Process(record.server.pid)
        # The server itself is enough as a rule. For each process the system lists every connection.
        for one in (process, *process.children(recursive=True)):
            with suppress(psutil.Error):
                own |= {c.laddr.port for c in one.net_connections("tcp") if c.status == psutil.CONN_LISTEN}
            if needed <= own:
                break
    for kind, address in (("HTTP", record.endpoints.http), ("gRPC", record.endpoints.grpc)):
        port = int(address.rsplit(":", 1)[1])
        if port in own or f"--allow-{kind.lower()}=false" in record.options:
            continue
        other = _listener(port)
        refuse(
            expected=f"`{record.name}` (process {record.server.pid}) listens on {kind} port {port}",
            found=f"it does not listen on {kind} port {port}; {other}",
            next_step=_AGAIN,
        )


def _listener(port: int) -> str:
    with suppress(psutil.Error):
        for one in psutil.net_connections("tcp"):
            if one.status == psutil.CONN_LISTEN and one.laddr and one.laddr.port == port:
                pid = one.pid
                return f"process {pid} ({_name_of(pid)}) does" if pid else "another user's process does"
    return "nobody does"


def _prove_live(server: Server) -> None:
    path = "/v2/health/live"
    try:
        status = probes.http_get(server.endpoints.http, path, timeout=_LIVE_SECONDS).status_code
    except httpx.TimeoutException:
        refuse(
            expected=f"{path} answers within {_LIVE_SECONDS:g} s",
            found=f"the server `{server.name}` runs but does not answer{_stopped(server.pid)}",
            next_step=_AGAIN,
        )
    except httpx.HTTPError as error:
        refuse(
            expected=f"{path} answers 200",
            found=f"the server `{server.name}` cannot be reached at {server.endpoints.http}: {error}",
            next_step=_AGAIN,
        )
    if status != 200:
        refuse(
            expected=f"{path} answers 200",
            found=f"{server.endpoints.http}{path} answers {status}: this is no live Triton",
            next_step=_AGAIN,
        )


def _stopped(pid: int | None) -> str:
    with suppress(psutil.Error):
        if pid and psutil.Process(pid).status() == psutil.STATUS_STOPPED:
            return f": process {pid} is paused (SIGSTOP); `kill -CONT {pid}` lets it go on"
    return ""
