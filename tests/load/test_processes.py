"""The load processes: when the client is the limit, Ctrl-C, processes that die, and none that stay."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from lab_utils.load import LoadError, crew, run_load, session
from lab_utils.load.crew import Crew
from lab_utils.load.payload import build_payload
from lab_utils.load.session import Load
from lab_utils.load.view import ServerView
from lab_utils.server.base import Server
from tests.load.conftest import statistics

pytestmark = [pytest.mark.live, pytest.mark.alone]


def load_processes(of: int | None = None) -> set[int]:
    children = psutil.Process(of).children(recursive=True)
    return {p.pid for p in children if "lab_utils.load.worker" in " ".join(p.cmdline())}


def test_a_slow_model_is_measured_and_not_the_client(server: Server) -> None:
    result = run_load(server, "sleepy", protocol="http", concurrency=16, seconds=0.6, warmup=0.3)
    assert not result.client_bound
    assert result.client_share < 0.3
    assert result.processes == 1, "one process is enough for fifty requests a second"


def test_more_than_one_python_process_can_send_is_said(server: Server) -> None:
    # The cache answers, so that Triton has little to do; 200,000 requests a second are due.
    settings = {"protocol": "http", "rate": 200_000, "seconds": 0.4, "warmup": 0.1, "drain": 0.5}
    results = [run_load(server, "cached", processes=1, **settings) for _ in range(2)]  # type: ignore[arg-type]
    best = min(results, key=lambda result: result.client_waiting)
    assert best.cache_hits > 0
    assert best.executions == 0
    if best.client_waiting > best.client_share:
        pytest.skip(f"other programs use the cores: the client waited {best.client_waiting:.0%} of the time")
    assert best.client_bound, (best.client_share, best.client_waiting, best.in_server)
    assert any("the client was measured" in note for note in best.notes)


@pytest.mark.parametrize(
    ("done", "best", "gain"),
    [
        (12, 0, True),
        (13, 12, False),
        (18, 12, False),
        (19, 12, True),
        (10_499, 10_000, False),
        (10_500, 10_000, True),
    ],
)
def test_a_gain_is_more_than_the_noise_of_counting(done: float, best: float, gain: bool) -> None:
    assert session._is_gain(done, best) is gain


@pytest.mark.parametrize(("model", "most"), [("cached", 2), ("sleepy", 1)])
def test_auto_keeps_a_second_process_only_when_it_helps(
    server: Server, monkeypatch: pytest.MonkeyPatch, model: str, most: int
) -> None:
    monkeypatch.setattr("lab_utils.load.session._BUSY_PROBE", 0.001)
    # The sleepy model answers fifty times a second: a pause of the machine must not look like a gain.
    monkeypatch.setattr("lab_utils.load.session._PROBE", 1.0)
    view = ServerView(server, "http", model)
    load = Load(view, build_payload(view), 32, None, "poisson", 60.0, 5.0, 0, "auto")
    tried: list[int] = []
    plans = load.plans
    monkeypatch.setattr(load, "plans", lambda count: tried.append(count) or plans(count))
    assert 1 <= load._processes(0.1) <= most
    assert tried == [1, 2], "both were measured"


def test_auto_does_not_try_where_one_is_enough(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    view = ServerView(server, "http", "sleepy")
    load = Load(view, build_payload(view), 32, None, "poisson", 60.0, 5.0, 0, "auto")
    tried: list[int] = []
    plans = load.plans
    monkeypatch.setattr(load, "plans", lambda count: tried.append(count) or plans(count))
    assert (load._processes(0.1), tried) == (1, [1])


CTRL_C = """
import sys
from lab_utils.load import run_load
print("go", flush=True)
result = run_load(sys.argv[1], "sleepy", seconds=60, warmup=0.1, concurrency=2)
print(result.to_json())
"""


def _interrupt(process: subprocess.Popen[str], server: Server, requests: int) -> tuple[str, float]:
    """Ctrl-C once the model has answered so many requests: a start takes longer on a busy machine."""
    before, deadline = statistics(server, "sleepy")["requests"], time.monotonic() + 30
    while statistics(server, "sleepy")["requests"] < before + requests and time.monotonic() < deadline:
        time.sleep(0.05)
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=20)
    return output, time.monotonic() - began


def _start(*command: str) -> subprocess.Popen[str]:
    # A test run in the background may ignore SIGINT, and children inherit that.
    return subprocess.Popen(
        [sys.executable, *command],
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


def test_ctrl_c_keeps_what_was_measured(server: Server) -> None:
    process = _start("-c", CTRL_C, server.endpoints.grpc)
    assert process.stdout is not None
    assert process.stdout.readline() == "go\n"
    output, took = _interrupt(process, server, 60)
    result = json.loads(output)
    assert process.returncode == 0
    assert took < 3
    assert result["interrupted"]
    assert 0.5 < result["seconds"] < 2.5
    assert 25 <= result["throughput"] <= 52
    assert 0.020 <= result["server"]["compute_infer"] < 0.030
    assert "interrupted" in result["notes"][0]


def test_ctrl_c_on_the_command_line_ends_the_series_and_prints_it(server: Server) -> None:
    options = ["--concurrency", "1,2,4", "--seconds", "60", "--warmup", "0.1", "--json"]
    process = _start("-m", "lab_utils.cli", "bench", "sleepy", "--url", server.endpoints.grpc, *options)
    output, _ = _interrupt(process, server, 40)
    assert process.returncode == 130
    (only,) = json.loads(output)
    assert (only["concurrency"], only["interrupted"]) == (1, True)
    assert only["requests"] > 10


def test_processes_wait_for_the_next_load_and_hold_no_connection(server: Server) -> None:
    run_load(server, "sleepy", protocol="http", requests=4, warmup=0, processes=2)
    first = load_processes()
    run_load(server, "sleepy", protocol="grpc", requests=4, warmup=0, processes=2)
    assert load_processes() == first
    assert len(first) >= 2
    # An open connection would hold up the server's shutdown.
    ports = {int(address.rsplit(":", 1)[1]) for address in (server.endpoints.http, server.endpoints.grpc)}
    time.sleep(0.2)
    for pid in first:
        open_ones = [c for c in psutil.Process(pid).net_connections() if c.raddr and c.raddr.port in ports]
        assert [c for c in open_ones if c.status == psutil.CONN_ESTABLISHED] == []
    crew.end_idle()
    assert load_processes() == set()


def test_a_load_process_that_dies_is_an_error_and_the_next_load_works(server: Server) -> None:
    view = ServerView(server, "http", "sleepy")
    plans = Load(view, build_payload(view), 2, None, "poisson", 60.0, 5.0, 0, 1).plans(1)
    with Crew(plans) as team:
        start = team.start()
        team.wait(start + 0.2)
        team._workers[0].process.kill()
        with pytest.raises(LoadError, match="load process failed"):
            team.wait(start + 5)
    assert run_load(server, "sleepy", requests=3, warmup=0).requests == 3


def test_load_processes_end_with_their_parent(server: Server, tmp_path: Path) -> None:
    process = _start("-c", CTRL_C, server.endpoints.grpc)
    deadline = time.monotonic() + 10
    children: set[int] = set()
    while not children and time.monotonic() < deadline:
        time.sleep(0.1)
        children = load_processes(process.pid)
    assert children
    process.kill()
    process.communicate()
    _, alive = psutil.wait_procs([psutil.Process(p) for p in children if psutil.pid_exists(p)], timeout=10)
    assert not alive
