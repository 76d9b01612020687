"""The embedded runtime against the real tritonserver: start, attach, refuse, watch, stop."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import numpy as np
import psutil
import pytest
import tritonclient.http as httpclient

from lab_utils import server as triton
from lab_utils.keeper.identity import marked, regions
from lab_utils.server import Lifetime, Server, ServerError, records
from tests.server.conftest import FAST, add_model

pytestmark = pytest.mark.live
Start = Callable[..., Server]


def listening_addresses(pid: int) -> set[str]:
    connections = psutil.Process(pid).net_connections(kind="tcp")
    listening = [c.laddr for c in connections if c.status == psutil.CONN_LISTEN]
    # gRPC listens on an IPv6 socket that is bound to the IPv4 loopback address.
    return {f"{a.ip.removeprefix('::ffff:')}:{a.port}" for a in listening}


def test_it_serves_and_listens_on_loopback_alone(start: Start, repository: Path) -> None:
    server = start(repository, wait_for=["double"])
    with httpclient.InferenceServerClient(server.endpoints.http) as client:
        x = httpclient.InferInput("x", [2, 4], "FP32")
        x.set_data_from_numpy(np.arange(8, dtype=np.float32).reshape(2, 4))
        answer = client.infer("double", [x]).as_numpy("y")
    np.testing.assert_array_equal(answer, 2 * np.arange(8, dtype=np.float32).reshape(2, 4))
    assert server.pid is not None
    assert listening_addresses(server.pid) == set(server.endpoints.as_dict().values())
    assert httpx.get(server.endpoints.metrics_url).text.count("nv_inference_count") >= 2
    assert httpx.get(f"{server.endpoints.http_url}/v2").json()["version"] == "2.51.0"


def test_stop_leaves_nothing(start: Start, repository: Path) -> None:
    server = start(repository, wait_for=["double"])
    record = triton.record(server.name)
    assert record is not None
    assert len(marked(record.id)) >= 3, "keeper, server and stub carry the marker"
    assert regions(record.shm_prefix)
    server.stop()
    assert not server.alive()
    assert marked(record.id) == []
    assert regions(record.shm_prefix) == []
    assert triton.record(server.name) is None
    server.stop()  # twice is no error


def test_the_same_call_attaches_and_other_options_restart(start: Start, repository: Path) -> None:
    first = start(repository)
    assert start(repository).pid == first.pid
    found = triton.find(first.name)
    assert found is not None
    assert found.pid == first.pid
    other = start(repository, options=(*FAST, "--log-verbose=1"))
    assert other.pid != first.pid
    assert not first.alive()


def test_a_session_server_outlives_its_starter_and_is_found_again(repository: Path) -> None:
    code = (
        "import sys; from lab_utils import server as t;"
        "t.start(sys.argv[1], name='outlives', lifetime='session', options=['--exit-timeout-secs=1']);"
        "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", code, str(repository)], timeout=60, check=False)
    server = triton.find("outlives")
    assert server is not None
    try:
        server.wait_ready("double")
        same = triton.start(
            repository, name="outlives", lifetime="session", options=["--exit-timeout-secs=1"]
        )
        assert same.pid == server.pid
    finally:
        server.stop()
    assert triton.find("outlives") is None


def test_a_kernel_server_dies_with_its_starter(repository: Path) -> None:
    code = (
        "import sys, time; from lab_utils import server as t;"
        "s = t.start(sys.argv[1], name='dies', lifetime='kernel', options=['--exit-timeout-secs=1']);"
        "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", code, str(repository)], timeout=60, check=False)
    record = triton.record("dies")
    assert record is not None
    wait_until(lambda: not marked(record.id), "every process of the server is gone")
    assert regions(record.shm_prefix) == []
    ended = triton.record("dies")
    assert ended is not None
    assert ended.ended is not None
    assert "process that started it ended" in ended.ended.reason
    triton.sweep()


def wait_until(condition: Callable[[], bool], what: str, seconds: float = 15) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not within {seconds} s: {what}"
        time.sleep(0.05)


def test_an_interrupt_of_the_kernel_does_not_reach_the_server(start: Start, repository: Path) -> None:
    server = start(repository)
    assert server.pid is not None
    assert os.getpgid(server.pid) != os.getpgid(0)


def test_a_taken_port_is_named_with_its_holder(start: Start, repository: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        for kind in ("http", "grpc", "metrics"):
            with pytest.raises(ServerError) as error:
                start(repository, options=(*FAST, f"--{kind}-port={port}"))
            assert f"Port {port} is taken" in str(error.value)
            assert str(os.getpid()) in str(error.value)


def test_a_port_taken_in_the_last_moment_is_replaced(
    start: Start, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lab_utils.server import ports

    real = ports.free_ports
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]
        rounds = iter([[taken, *real(2)]])
        monkeypatch.setattr(ports, "free_ports", lambda n: next(rounds, None) or real(n))
        server = start(repository)
    assert not server.endpoints.http.endswith(f":{taken}")
    assert "double" in httpx.post(f"{server.endpoints.http_url}/v2/repository/index").text


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("--model-control-mode=sometimes", ["model-control-mode", "invalid argument"]),
        ("--http-thread-count=many", ["http-thread-count", "Got many"]),
        ("--load-model=double", ["--load-model"]),
    ],
)
def test_a_bad_value_shows_the_decisive_line(
    start: Start, repository: Path, option: str, words: list[str]
) -> None:
    with pytest.raises(ServerError) as error:
        start(repository, options=(*FAST, option))
    assert error.value.why
    for word in words:
        assert word in str(error.value)


def test_no_folder_no_server(start: Start, tmp_path: Path) -> None:
    with pytest.raises(ServerError, match="is not a folder"):
        start(tmp_path / "absent")


MISSPELT = 'name: "misspelt"\nbackend: "python"\nmax_batch_sizes: 3\n'
RAISES = """
class TritonPythonModel:
    def initialize(self, args):
        raise ValueError("my own reason")
"""
BROKEN: dict[str, tuple[str, str, list[str]]] = {
    # name: config, code, words that the message must hold
    "misspelt": (MISSPELT, "pass", ["line 3", "max_batch_sizes"]),
    "noimport": ('name: "noimport"\nbackend: "python"\n', "import nothere", ["nothere", "import"]),
    "nobackend": ('name: "nobackend"\nbackend: "tensorflo"\n', "pass", ["backend", "tensorflo"]),
    "raises": ('name: "raises"\nbackend: "python"\n', RAISES, ["my own reason"]),
}


def test_a_model_that_cannot_load_says_why(start: Start, repository: Path) -> None:
    for name, (config, code, _) in BROKEN.items():
        add_model(repository, name, config=config, code=code)
    server = start(repository, wait_for=["double"])
    for name, (_, _, words) in BROKEN.items():
        with pytest.raises(ServerError) as error:
            server.wait_ready(name, timeout=10)
        assert error.value.why, name
        for word in words:
            assert word in str(error.value), f"{name}: {error.value}"
    with pytest.raises(ServerError, match="knows no model `absent`"):
        server.wait_ready("absent", timeout=10)


def test_a_model_that_nobody_loaded_is_said_to_be_so(start: Start, repository: Path) -> None:
    server = start(repository, options=(*FAST, "--model-control-mode=explicit"))
    with pytest.raises(ServerError, match="nobody asked the server to load it"):
        server.wait_ready("double", timeout=5)


def test_a_killed_server_is_noticed_named_and_replaced(start: Start, repository: Path) -> None:
    server = start(repository, wait_for=["double"])
    record = triton.record(server.name)
    assert record is not None
    assert server.pid is not None
    os.kill(server.pid, signal.SIGKILL)
    wait_until(lambda: not marked(record.id), "keeper and stub are gone")
    assert regions(record.shm_prefix) == []
    assert triton.find(server.name) is None
    with pytest.raises(ServerError, match="SIGKILL") as error:
        server.wait_ready()
    assert "lab.start()" in str(error.value)
    assert start(repository, wait_for=["double"]).alive()


def test_a_hanging_server_is_replaced(start: Start, repository: Path) -> None:
    server = start(repository)
    assert server.pid is not None
    os.kill(server.pid, signal.SIGSTOP)
    again = start(repository)
    assert again.pid != server.pid
    assert not psutil.pid_exists(server.pid)


def test_a_killed_stub_is_noticed_although_health_is_200(start: Start, repository: Path) -> None:
    add_model(repository, "pair", count=2)
    server = start(repository, wait_for=["double", "pair"])
    assert triton.stub_faults(server) == []
    assert server.pid is not None
    stubs = [p for p in psutil.Process(server.pid).children() if "/pair/" in " ".join(p.cmdline())]
    stubs[0].kill()
    wait_until(lambda: bool(triton.stub_faults(server)), "the fault is seen")
    assert httpx.get(f"{server.endpoints.http_url}/v2/health/ready").status_code == 200
    (fault,) = triton.stub_faults(server)
    assert "`pair`" in fault
    assert "1 of 2" in fault
    mended = start(repository, wait_for=["double", "pair"])
    assert mended.pid != server.pid, "the same call again gives a sound server"
    assert triton.stub_faults(mended) == []


def test_two_servers_side_by_side(start: Start, repository: Path) -> None:
    one = start(repository, name="side-1")
    two = start(repository, name="side-2")
    assert len({*one.endpoints.as_dict().values(), *two.endpoints.as_dict().values()}) == 6
    assert {s.name for s in triton.running()} >= {"side-1", "side-2"}


def test_http_can_be_switched_off(start: Start, repository: Path) -> None:
    server = start(repository, options=(*FAST, "--allow-http=false"))
    assert server.alive()
    assert server.pid is not None
    assert listening_addresses(server.pid) == {server.endpoints.grpc, server.endpoints.metrics}


def test_unknown_runtime(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRITON_LAB_RUNTIME", "cloud")
    with pytest.raises(ServerError, match="`cloud` is not a runtime"):
        triton.start(repository)


def test_remote_reads_settings_and_stops_nothing(
    start: Start, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = start(repository, wait_for=["double"])
    monkeypatch.setenv("TRITON_LAB_URL", other.endpoints.http_url)
    monkeypatch.setenv("TRITON_LAB_GRPC_URL", other.endpoints.grpc)
    monkeypatch.setenv("TRITON_LAB_METRICS_URL", other.endpoints.metrics)
    remote = triton.start(repository, name="far", wait_for=["double"])
    assert remote.runtime == "remote"
    assert remote.endpoints == other.endpoints
    remote.stop()
    assert other.alive()
    with pytest.raises(ServerError, match="log of a remote server"):
        remote.logs()
    with pytest.raises(ServerError, match="is not ready"):
        remote.wait_ready("absent", timeout=0.5)
    monkeypatch.setenv("TRITON_LAB_URL", "127.0.0.1:9")
    with pytest.raises(ServerError, match="No Triton answers at"):
        triton.start(repository, name="far", timeout=1)


def test_lifetime_comes_from_the_environment(start: Start, repository: Path) -> None:
    record = triton.record(start(repository).name)
    assert record is not None
    assert record.lifetime is Lifetime.KERNEL


def test_logs_are_whole_or_a_tail(start: Start, repository: Path) -> None:
    server = start(repository)
    assert "Started HTTPService" in server.logs()
    assert len(server.logs(tail=3).splitlines()) == 3


def test_old_logs_do_not_pile_up(start: Start, repository: Path) -> None:
    for number in range(3):
        start(repository, name="piles", options=(*FAST, f"--log-verbose={number}"))
    logs = list((records.folder().parent / "logs").glob("piles-*.log"))
    assert 1 <= len(logs) <= 5
