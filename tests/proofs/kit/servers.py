"""Proof 6: no checkpoint passes on a server that is dead, half dead, foreign or on a wrong port."""

from __future__ import annotations

import contextlib
import dataclasses
import http.server
import json
import os
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from lab_utils import server as triton
from lab_utils.keeper.identity import ProcessId
from lab_utils.progress.context import LabContext
from lab_utils.progress.registry import Status
from lab_utils.progress.runner import run_checkpoint
from lab_utils.server import records
from lab_utils.server.records import Record
from lab_utils.server.stubs import stub_models
from tests.proofs.kit.world import World

Fault = Callable[[World], contextlib.AbstractContextManager[str]]


def server_problems(world: World) -> list[str]:
    """Break the lab's server in every way, and judge the right answers each time."""
    problems = []
    asked = [one for one in world.under.checkpoints() if one.needs_server]
    if not asked:
        problems.append("no checkpoint of the lab needs its server")
    for fault in FAULTS:
        world.mend()
        with fault(world) as words:
            for one in asked:
                context = LabContext.of(one.lab)
                verdict = run_checkpoint(one, context, dict(world.base))
                label = f"{one.id} with {fault.__name__.replace('_', ' ')}"
                if verdict.status is not Status.FAIL:
                    problems.append(f"{label}: {verdict.status}, not FAIL")
                elif words not in verdict.found:
                    problems.append(f"{label}: the verdict does not say '{words}': {verdict.found}")
    world.mend()
    return problems


@contextlib.contextmanager
def _forged(world: World, change: Callable[[Record], Record]) -> Iterator[None]:
    """Another record under the lab's name, for a while."""
    name = f"lab{world.under.spec.number}"
    path = records.path_of(name)
    before = path.read_text()
    record = triton.record(name)
    assert record is not None
    path.write_text(json.dumps(change(record).as_dict()))
    try:
        yield
    finally:
        path.write_text(before)


@contextlib.contextmanager
def a_wrong_port(world: World) -> Iterator[str]:
    """Another program answers 200 to everything, on the port that the record names."""

    class Healthy(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_POST = do_GET

        def log_message(self, *args: object) -> None: ...

    false = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Healthy)
    threading.Thread(target=false.serve_forever, daemon=True).start()
    try:
        address = f"127.0.0.1:{false.server_port}"

        def change(record: Record) -> Record:
            return dataclasses.replace(record, endpoints=dataclasses.replace(record.endpoints, http=address))

        with _forged(world, change):
            yield f"does not listen on HTTP port {false.server_port}"
    finally:
        false.shutdown()
        false.server_close()


@contextlib.contextmanager
def a_stale_record(world: World) -> Iterator[str]:
    """The record names a process that has ended; its number is another process's now."""

    def change(record: Record) -> Record:
        assert record.server is not None
        return dataclasses.replace(record, server=ProcessId(os.getpid(), record.server.started))

    with _forged(world, change):
        yield "now belongs to another process"


@contextlib.contextmanager
def another_students_server(world: World) -> Iterator[str]:
    """Somebody else's server, well and serving the same models, recorded under the lab's name."""
    folder = Path(tempfile.mkdtemp(prefix="another-student-"))
    theirs = folder / "model_repository"
    shutil.copytree(world.lab.repository, theirs)
    server = triton.start(theirs, name="another-student", lifetime="kernel")
    try:
        their = triton.record("another-student")
        assert their is not None
        name = f"lab{world.under.spec.number}"
        forged = dataclasses.replace(their, name=name, repository=world.lab.repository)
        with _forged(world, lambda record: forged):
            yield f"serves {theirs.resolve()}"
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def a_paused_server(world: World) -> Iterator[str]:
    """SIGSTOP: the port is open, nobody answers."""
    pid = world.lab.server.pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    try:
        yield "is paused (SIGSTOP)"
    finally:
        os.kill(pid, signal.SIGCONT)


@contextlib.contextmanager
def a_killed_stub(world: World) -> Iterator[str]:
    """Every health endpoint says 200, and no request to the model is answered."""
    pid = world.lab.server.pid
    assert pid is not None
    stubs = stub_models(pid)
    assert stubs, "the server has no Python process to kill"
    os.kill(stubs[0][0], signal.SIGKILL)
    time.sleep(0.2)
    yield "Triton still says READY"


@contextlib.contextmanager
def a_dead_server(world: World) -> Iterator[str]:
    """SIGKILL."""
    pid = world.lab.server.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    end = time.monotonic() + 10
    name = f"lab{world.under.spec.number}"
    while (record := triton.record(name)) and record.ended is None and time.monotonic() < end:
        time.sleep(0.05)
    yield "SIGKILL"


@contextlib.contextmanager
def no_server(world: World) -> Iterator[str]:
    """It was stopped, or never started."""
    world.stop()
    yield "there is no server"


FAULTS: tuple[Fault, ...] = (
    a_wrong_port,
    a_stale_record,
    another_students_server,
    a_paused_server,
    a_killed_stub,
    a_dead_server,
    no_server,
)
