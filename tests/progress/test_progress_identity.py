"""No check may pass on a server that is dead, half dead, foreign, or on somebody else's port."""

from __future__ import annotations

import dataclasses
import http.server
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from lab_utils import server as triton
from lab_utils.errors import LabError
from lab_utils.keeper.identity import ProcessId
from lab_utils.lab import Lab
from lab_utils.progress import labs
from lab_utils.progress.context import LabContext
from lab_utils.progress.registry import Checkpoint, Status, Verdict, passed
from lab_utils.progress.runner import run_checkpoint
from lab_utils.server import records
from lab_utils.server.records import Record

pytestmark = pytest.mark.live
ANY = Checkpoint("90.9", "anything goes", 1, 1, 1, ("x",), lambda ctx, answers: passed("asked"))


@pytest.fixture
def lab(own_folders: Path) -> Iterator[Lab]:
    """The tiny lab with a server that is as it should be; the record is put back afterwards."""
    made = Lab("90", namespace={"x": 1})
    if not check().passed:
        server = triton.find("lab90")
        if server is not None:
            server.stop()
        made.start()
    before = records.path_of("lab90").read_text()
    yield made
    if triton.record("lab90") is not None and triton.record("lab90").ended is None:
        records.path_of("lab90").write_text(before)


def check() -> Verdict:
    return run_checkpoint(ANY, LabContext.of("90"), {"x": 1})


def refused(words: str) -> None:
    verdict = check()
    assert verdict.status is Status.FAIL
    assert words in verdict.found, verdict
    assert "lab.start()" in verdict.next_step


def rewrite(change: Callable[[Record], Record]) -> None:
    """Change the record on disk, as a stale or forged one would be."""
    record = triton.record("lab90")
    assert record is not None
    records.path_of("lab90").write_text(json.dumps(change(record).as_dict()))


def recorded() -> Record:
    record = triton.record("lab90")
    assert record is not None
    return record


def test_the_own_server_is_proven_and_written_down(lab: Lab) -> None:
    verdict = check()
    assert verdict.passed
    server = verdict.evidence["server"]
    assert server["pid"] == lab.server.pid
    assert server["http"] == lab.server.endpoints.http
    assert server["started"] == recorded().server.started
    assert server["repository"] == str(lab.repository)


def test_no_server_at_all(lab: Lab) -> None:
    lab.stop()
    refused("there is no server of this lab")


def test_a_killed_server_says_how_it_ended(lab: Lab) -> None:
    os.kill(lab.server.pid, signal.SIGKILL)
    end = time.monotonic() + 5
    while recorded().ended is None and time.monotonic() < end:
        time.sleep(0.05)
    refused("SIGKILL")
    with pytest.raises(triton.ServerError, match="not running"):
        _ = lab.server


def test_a_paused_server_is_named(lab: Lab) -> None:
    pid = lab.server.pid
    os.kill(pid, signal.SIGSTOP)
    try:
        begin = time.monotonic()
        refused(f"process {pid} is paused (SIGSTOP)")
        assert time.monotonic() - begin < 10
    finally:
        os.kill(pid, signal.SIGCONT)
    assert check().passed


def test_a_reused_process_id_is_named(lab: Lab) -> None:
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        rewrite(lambda r: dataclasses.replace(r, server=ProcessId(other.pid, r.server.started)))
        refused(f"process id {other.pid} now belongs to another process")
        rewrite(lambda r: dataclasses.replace(r, server=ProcessId.of(other.pid)))
        refused(f"process {other.pid} was started by another program")
    finally:
        other.kill()
        other.wait()
    refused("is not running any more")


def test_a_record_from_before_the_restart(lab: Lab) -> None:
    rewrite(lambda r: dataclasses.replace(r, boot_id="another boot"))
    refused("before this machine was restarted")


def test_another_program_on_the_recorded_port(lab: Lab) -> None:
    class Healthy(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args: object) -> None: ...

    false = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Healthy)
    threading.Thread(target=false.serve_forever, daemon=True).start()
    address = f"127.0.0.1:{false.server_port}"
    try:
        for kind, name in (("http", "HTTP"), ("grpc", "gRPC")):
            before = recorded()
            ends = dataclasses.replace(before.endpoints, **{kind: address})
            rewrite(lambda r, ends=ends: dataclasses.replace(r, endpoints=ends))
            refused(f"does not listen on {name} port {false.server_port}; process {os.getpid()}")
            rewrite(lambda r, before=before: before)
    finally:
        false.shutdown()
        false.server_close()
    assert check().passed


def test_another_students_server(lab: Lab, tmp_path: Path) -> None:
    theirs = tmp_path / "their" / "model_repository"
    shutil.copytree(lab.repository, theirs)
    other = triton.start(theirs, name="theirs", lifetime="kernel")
    try:
        mine, their = recorded(), triton.record("theirs")
        assert their is not None
        # Their record under my name: the repository gives it away.
        rewrite(lambda r: dataclasses.replace(their, name="lab90"))
        refused("serves another repository")
        # With the repository forged as well: the process itself gives it away.
        rewrite(lambda r: dataclasses.replace(their, name="lab90", repository=lab.repository))
        refused(f"process {other.pid} serves {theirs}")
        # With my own id forged as well: the process carries another one.
        rewrite(lambda r: dataclasses.replace(their, name="lab90", repository=lab.repository, id=mine.id))
        refused("was started as another server")
        rewrite(lambda r: mine)
        assert check().passed
    finally:
        other.stop()


def test_a_server_of_another_repository_under_this_name(lab: Lab, tmp_path: Path) -> None:
    theirs = tmp_path / "model_repository"
    shutil.copytree(lab.repository, theirs)
    triton.start(theirs, name="lab90")
    refused("serves another repository")
    triton.find("lab90").stop()


def test_a_killed_stub_is_named_though_health_says_200(lab: Lab) -> None:
    ctx = LabContext.of("90")
    ctx.server = lab.server
    stubs = [
        child
        for child in psutil.Process(lab.server.pid).children(recursive=True)
        if "triton_python_backend_stub" in child.name() or "backend_stub" in " ".join(child.cmdline()[:1])
    ]
    assert stubs
    stubs[0].kill()
    assert ctx.get("/v2/health/ready").status_code == 200
    verdict = check()
    assert verdict.status is Status.FAIL
    assert "`mnist_mlp`" in verdict.found
    assert "Triton never restarts a stub" in verdict.next_step


def test_a_container_of_another_repository(monkeypatch: pytest.MonkeyPatch, lab: Lab) -> None:
    """A server without a record (a container) is told apart by its repository too."""

    @dataclasses.dataclass
    class Container:
        name: str
        runtime: str
        repository: Path
        pid: int | None
        endpoints: Any

    ends = lab.server.endpoints
    monkeypatch.setattr(triton, "record", lambda name: None)
    monkeypatch.setattr(triton, "find", lambda name: Container(name, "docker", Path("/other"), None, ends))
    refused("serves another repository: /other")
    monkeypatch.setattr(triton, "find", lambda name: Container(name, "docker", lab.repository, None, ends))
    assert check().passed


def test_a_remote_server_is_asked_at_its_address(monkeypatch: pytest.MonkeyPatch, lab: Lab) -> None:
    monkeypatch.setenv("TRITON_LAB_RUNTIME", "remote")
    monkeypatch.setenv("TRITON_LAB_URL", "127.0.0.1:9")
    verdict = check()
    assert verdict.status is Status.FAIL
    assert "cannot be reached at 127.0.0.1:9" in verdict.found


def test_the_table_of_labs_knows_its_numbers() -> None:
    assert labs.lab_spec("1").number == labs.lab_spec(1).number == "01"
    with pytest.raises(Exception, match="no lab '77'"):
        labs.lab_spec("77")


def test_a_lab_says_which_package_is_missing(monkeypatch: pytest.MonkeyPatch, own_work: Path) -> None:
    spec = dataclasses.replace(labs.lab_spec("03"), packages=("pytest", "no_such_package"))
    monkeypatch.setitem(labs.LABS, "03", spec)
    with pytest.raises(LabError, match="Lab 3 needs no_such_package, not installed") as caught:
        Lab("03")
    assert "pip install -e '.[torch]'" in str(caught.value.fix)
    assert not own_work.exists(), "it says so before it makes anything"
