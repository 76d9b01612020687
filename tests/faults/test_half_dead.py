"""Servers and records that are not what they seem: stopped, reused, stale, damaged, doubled, idle."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lab_utils import paths
from lab_utils import server as triton
from lab_utils.keeper.identity import ProcessId, boot_id
from lab_utils.server import Lifetime, Server, ports, records
from lab_utils.server.records import Record
from tests.faults.kernel import OPTIONS, Kernel
from tests.faults.world import assert_serves, ids, part, wait, wait_gone

pytestmark = [pytest.mark.live, pytest.mark.timeout(120)]


@pytest.fixture
def name(request: pytest.FixtureRequest) -> Iterator[str]:
    """A server name of this test; whatever runs under it is stopped, and nothing may be left."""
    own = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower()).strip("-")[:60].rstrip("-")
    yield own
    found = triton.find(own)
    if found:
        found.stop()
    triton.sweep()
    wait_gone(ids(own))


def start(models: Path, name: str, lifetime: Lifetime = Lifetime.KERNEL) -> Server:
    return triton.start(
        models, name=name, lifetime=lifetime, options=OPTIONS, wait_for=["double"], timeout=25
    )


def record_of(name: str) -> Record:
    found = triton.record(name)
    assert found is not None
    return found


def forge(record: Record, **changes: object) -> None:
    """Write a changed record in the place of the true one."""
    data = dataclasses.replace(record, **changes).as_dict()  # type: ignore[arg-type]
    records.path_of(record.name).write_text(json.dumps(data))


def sleeper() -> subprocess.Popen[bytes]:
    """A process that is none of ours and must survive."""
    return subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"])


@pytest.mark.parametrize("kind", ["server", "keeper"])
def test_a_stopped_process_is_replaced(models: Path, name: str, kind: str) -> None:
    old = start(models, name)
    first = record_of(name)
    victim = part(first.id, kind)
    assert victim is not None
    os.kill(victim, signal.SIGSTOP)
    if kind == "server":
        with pytest.raises(triton.ServerError, match="was not ready within 1 seconds"):
            old.wait_ready(timeout=1)
        new = start(models, name)
        assert new.pid != old.pid
        assert_serves(new)
        wait_gone({first.id}, 1)
    else:
        began = time.monotonic()
        old.stop(timeout=2)
        assert time.monotonic() - began < 10
        wait_gone({first.id}, 1)
        assert triton.record(name) is None


def test_a_stopped_stub_is_noticed(models: Path, name: str) -> None:
    server = start(models, name)
    stub = part(record_of(name).id, "stub")
    assert stub is not None
    assert triton.stub_faults(server) == []
    os.kill(stub, signal.SIGSTOP)
    wait(lambda: triton.stub_faults(server), 3, "the stopped stub is named")
    os.kill(stub, signal.SIGCONT)
    wait(lambda: not triton.stub_faults(server), 3, "the stub that goes on is well")
    assert_serves(server)


def test_a_stub_that_cannot_end_by_itself_is_ended_after_its_server(models: Path, name: str) -> None:
    server = start(models, name)
    first = record_of(name)
    stub = part(first.id, "stub")
    assert stub is not None
    assert server.pid is not None
    os.kill(stub, signal.SIGSTOP)
    os.kill(server.pid, signal.SIGKILL)
    wait_gone({first.id})


def test_a_reused_process_id_is_not_taken_for_the_server(models: Path, name: str) -> None:
    server = start(models, name)
    true = record_of(name)
    server.stop()
    with sleeper() as other:
        try:
            wrong = ProcessId(other.pid, 1)
            forge(true, server=wrong, keeper=wrong, ended=None, boot_id=boot_id())
            assert triton.find(name) is None
            assert not record_of(name).alive()
            assert_serves(start(models, name))
            assert other.poll() is None, "a process that is not ours was ended"
        finally:
            other.kill()


def test_a_record_from_before_the_reboot_harms_nobody(models: Path, name: str) -> None:
    server = start(models, name)
    true = record_of(name)
    server.stop()
    with sleeper() as other:
        try:
            # After a reboot the same id *and* start time can be another process's.
            same = ProcessId.of(other.pid)
            forge(true, server=same, keeper=same, boot_id="00000000-0000-0000-0000-000000000000")
            assert triton.find(name) is None
            assert any(name in line for line in triton.leftovers())
            assert_serves(start(models, name))
            assert other.poll() is None, "a process that is not ours was ended"
        finally:
            other.kill()


@pytest.mark.parametrize("text", ['{"id": "abc", "na', "[1, 2]", "\x00\xff"])
def test_a_damaged_record_does_not_block(models: Path, name: str, text: str) -> None:
    path = records.folder() / f"{name}.json"
    path.write_text(text, encoding="latin-1")
    assert triton.find(name) is None
    assert triton.record(name) is None
    assert_serves(start(models, name))


def test_a_server_whose_record_is_damaged_ends(models: Path, name: str) -> None:
    start(models, name, Lifetime.SESSION)
    first = record_of(name)
    records.path_of(name).write_text('{"id":')
    assert_serves(start(models, name, Lifetime.SESSION))
    # Nobody could find the first one any more, so it must not stay.
    wait_gone({first.id})
    assert record_of(name).id != first.id


def test_a_server_whose_state_folder_was_deleted_ends(models: Path, name: str) -> None:
    start(models, name, Lifetime.SESSION)
    first = record_of(name)
    records.path_of(name).unlink()
    wait_gone({first.id})
    assert triton.record(name) is None, "its keeper must not write the record again"


def test_a_port_taken_meanwhile_is_chosen_anew(
    models: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as taken:
        taken.bind((ports.LOOPBACK, 0))
        taken.listen()
        busy = taken.getsockname()[1]
        real, calls = ports.free_ports, []

        def unlucky(count: int) -> list[int]:
            calls.append(count)
            free = real(count)
            return [busy, *free[1:]] if len(calls) == 1 else free

        monkeypatch.setattr(ports, "free_ports", unlucky)
        server = start(models, name)
        assert len(calls) == 2, "the taken port was not noticed"
        assert not server.endpoints.http.endswith(f":{busy}")
        assert_serves(server)


def test_two_starts_at_the_same_time_give_one_server(models: Path, name: str) -> None:
    kernels = [Kernel(models, name, Lifetime.SESSION) for _ in range(3)]
    try:
        with ThreadPoolExecutor(3) as pool:
            answers = list(pool.map(lambda k: k.order("start"), kernels))
        assert {word for word, _ in answers} == {"done"}, answers
        assert len({pid for _, pid in answers}) == 1, f"more than one server: {answers}"
        assert len(ids(name)) == 1
    finally:
        for kernel in kernels:
            kernel.close()


def test_an_interrupt_ends_no_server(models: Path, name: str) -> None:
    for lifetime in Lifetime:
        kernel = Kernel(models, name, lifetime)
        try:
            word, pid = kernel.order("start")
            assert word == "done"
            os.killpg(kernel.pid, signal.SIGINT)
            time.sleep(0.5)
            server = triton.find(name)
            assert server is not None, f"the interrupt ended the {lifetime} server"
            assert str(server.pid) == pid
            assert_serves(server)
            server.stop()
        finally:
            kernel.kill()


def test_a_killed_start_leaves_no_environment_on_disk(models: Path, name: str) -> None:
    unread = records.folder() / f"{name}.0123456789ab.spec"
    unread.write_text("{}")
    start(models, name)
    assert not unread.exists()
    assert not list((paths.state_home() / "servers").glob("*.spec"))


def test_an_idle_server_ends_and_a_used_one_stays(
    models: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRITON_LAB_IDLE_HOURS", str(2.0 / 3600))
    server = start(models, name, Lifetime.SESSION)
    first = record_of(name)
    for _ in range(8):
        assert_serves(server)
        time.sleep(0.5)
    wait(lambda: not server.alive(), 10, "the idle server ends")
    wait_gone({first.id})
    ended = record_of(name).ended
    assert ended is not None
    assert "idle for" in str(ended)
