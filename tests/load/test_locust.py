"""Locust against a real server: its users, its steps, its failures, and what its figures are."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from lab_utils import server as triton
from lab_utils.load import LoadError, draw_curve, table
from lab_utils.load.locust_result import LocustResult
from lab_utils.load.locust_run import LOCUSTFILE, run_locust
from lab_utils.paths import project_root
from lab_utils.server.base import Server
from lab_utils.server.ports import free_ports
from tests.load import models
from tests.load.conftest import statistics

pytestmark = [pytest.mark.live, pytest.mark.alone]
SERVICE = 0.020


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_a_step_load_against_theory(server: Server, protocol: str) -> None:
    before = statistics(server, "sleepy")
    result = run_locust(server, "sleepy", protocol=protocol, steps=[(1, 2), (5, 2)], mix=(1, 0, 0))
    gained = statistics(server, "sleepy")["requests"] - before["requests"]
    one, five = result.steps
    assert [step.users for step in result.steps] == [1, 5]
    # One instance of 20 ms: never more than 50 a second, and five users wait for each other.
    for step in result.steps:
        assert 15 < step.requests_per_second <= 1 / SERVICE + 2
        # Little's law: users = requests a second x latency. They do not pause; what is missing is the time
        # that a user's own Python takes between two requests.
        assert 0.6 < step.requests_per_second * step.latency.mean / step.users < 1.2
        assert 1.2 < step.seconds < 3
        assert step.tasks == {"small": step.requests}
    assert SERVICE <= one.latency.min <= one.latency.p50 < 2.5 * SERVICE
    assert five.latency.p50 > max(3 * SERVICE, 1.5 * one.latency.p50)
    assert five.at - one.at == pytest.approx(2, abs=0.9)
    # All requests that locust counts were answered by the server; those cut off at the end are not counted.
    assert result.printed["requests"] <= gained <= result.printed["requests"] + 5
    assert result.requests <= result.printed["requests"]
    assert (result.failures, result.errors) == (0, {})
    assert not one.client_bound


@pytest.fixture(scope="module")
def mixed(server: Server) -> tuple[LocustResult, dict[str, int]]:
    """Two steps of users who make mistakes; and what the server's statistics gained by them."""
    before = statistics(server, "steady")
    mix: dict[str, Any] = {"mix": (3, 2, 1), "small": 2, "large": 7}
    result = run_locust(server, "steady", steps=[(1, 1), (4, 2)], warmup=0, **mix)
    after = statistics(server, "steady")
    return result, {key: value - before.get(key, 0) for key, value in after.items()}


def test_the_mix_and_the_mistakes(mixed: tuple[LocustResult, dict[str, int]]) -> None:
    result, gained = mixed
    step = result.steps[1]
    assert set(step.tasks) == {"small", "large", "wrong"}
    assert sum(step.tasks.values()) == step.requests + step.failures
    assert step.failures == step.tasks["wrong"] > 0
    assert step.failure_ratio == pytest.approx(1 / 6, abs=0.12)
    assert result.errors == {"wrong_input": result.printed["failures"]}
    assert "no_such_input" in result.messages["wrong_input"]
    # The server has seen batches of 2 and 7 only; of the mistakes its statistics know nothing.
    assert {key for key, n in gained.items() if key.startswith("batch") and n} == {"batch 2", "batch 7"}
    good = result.printed["requests"] - result.printed["failures"]
    assert good <= gained["requests"] <= good + 4
    assert step.rows == 2 * step.tasks["small"] + 7 * step.tasks["large"]


def test_the_result_can_be_kept_and_shown(mixed: tuple[LocustResult, dict[str, int]]) -> None:
    result, _ = mixed
    assert LocustResult.from_json(result.to_json()) == result
    text = str(result)
    assert "users" in text
    assert "no_such_input" in text
    loads = result.loads()
    assert [load.concurrency for load in loads] == [1, 4]
    assert loads[1].throughput == pytest.approx(result.steps[1].rows / result.steps[1].seconds)
    assert loads[0].engine == "locust"
    assert "4 in flight" in table(loads)
    assert len(draw_curve({"locust": loads}).axes[0].lines) == 2


def test_users_that_think_and_users_that_keep_a_pace(server: Server) -> None:
    # Two instances of 8 ms. Thinking 0.2 s: a request every 0.208 s; a pace of 0.2 s: every 0.2 s.
    thinking = run_locust(server, "steady", users=4, seconds=2, think=0.2, mix=(1, 0, 0))
    paced = run_locust(server, "steady", users=4, seconds=2, pace=0.2, mix=(1, 0, 0))
    assert thinking.steps[0].requests_per_second == pytest.approx(4 / 0.208, rel=0.3)
    assert paced.steps[0].requests_per_second == pytest.approx(20, rel=0.2)


def test_what_fails_is_named_by_its_class(server: Server) -> None:
    failing = run_locust(server, "failing", users=2, seconds=1, mix=(1, 0, 0), warmup=0, protocol="grpc")
    assert set(failing.errors) == {"model_error"}
    assert failing.steps[0].failure_ratio == pytest.approx(0.25, abs=0.1)
    assert "now and then" in failing.messages["model_error"]
    # Two instances of 30 ms and room for two: ten users are too many, and those who get in are impatient.
    narrow = run_locust(server, "narrow", users=10, seconds=1, mix=(1, 0, 0), warmup=0, client_timeout=0.02)
    assert set(narrow.errors) == {"queue_full", "client_timeout"}


def test_a_server_that_goes_away_meanwhile(tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    models.add(repository, "sleepy", execution_ms=20)
    found = triton.start(repository, name="goes-away", options=["--exit-timeout-secs=0"], lifetime="kernel")

    def stop() -> None:
        while not statistics(found, "sleepy")["requests"]:
            time.sleep(0.05)
        time.sleep(0.5)
        found.stop()

    helper = threading.Thread(target=stop)
    helper.start()
    try:
        result = run_locust(found, "sleepy", users=3, seconds=3, mix=(1, 0, 0), warmup=0)
    finally:
        helper.join()
        found.stop()
    assert result.requests > 0
    assert set(result.errors) <= {"connection", "unavailable", "other"}
    # Users rest after a failure: refusals are not most of what was measured.
    assert 3 <= result.failures < 3 * 3 / 0.05
    assert "connection" in result.errors, result.messages


def test_percentiles_as_locust_prints_them_and_as_they_are(server: Server) -> None:
    # Eight users and one instance of 20 ms: some 160 ms, which locust keeps as whole tens.
    result = run_locust(server, "sleepy", users=8, seconds=2, mix=(1, 0, 0), warmup=0)
    exact = result.steps[0].latency
    assert exact.p50 > 0.12
    for name in ("p50", "p95", "p99"):
        printed = result.printed[name] * 1e3
        assert printed % 10 == pytest.approx(0, abs=1e-6), "two digits"
    assert result.printed["p50"] == pytest.approx(exact.p50, rel=0.2)
    assert exact.p50 * 1e3 % 1 > 0, "ours is not rounded"


def test_this_process_stays_as_it_is(mixed: tuple[LocustResult, dict[str, int]]) -> None:
    assert mixed[0].requests, "locust did run"
    code = (
        "import socket, lab_utils.load.locust_run, lab_utils.load.locust_result, sys;"
        "print('locust' in sys.modules, 'gevent.monkey' in sys.modules, socket.socket.__module__)"
    )
    said = subprocess.run(
        [sys.executable, "-c", code], cwd=project_root(), capture_output=True, text=True, check=True
    )
    assert said.stdout.split() == ["False", "False", "socket"]
    import socket

    assert socket.socket.__module__ == "socket"
    assert "locust" not in sys.modules


def locust(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Locust itself, as a student calls it."""
    return subprocess.run(
        [sys.executable, "-m", "locust", "-f", str(LOCUSTFILE), "--headless", *arguments],
        cwd=project_root(),
        env={**os.environ, **variables},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_locust_by_hand_with_both_users_and_variables(server: Server) -> None:
    answer = locust(
        *("--users", "4", "--spawn-rate", "4", "--run-time", "2", "--json", "--skip-log"),
        TRITON_LOCUST_MODEL="steady",
        TRITON_LOCUST_HTTP_ADDRESS=server.endpoints.http,
        TRITON_LOCUST_GRPC_ADDRESS=server.endpoints.grpc,
        TRITON_LOCUST_MIX="1:0:1",
    )
    assert answer.returncode == 1, f"locust's own word for failed requests\n{answer.stderr}"
    entries = {(entry["method"], entry["name"]): entry for entry in json.loads(answer.stdout)}
    assert set(entries) == {(p, f"steady {k}") for p in ("http", "grpc") for k in ("small", "wrong")}
    for (_, name), entry in entries.items():
        assert entry["num_requests"] > 0
        assert entry["num_failures"] == (entry["num_requests"] if name.endswith("wrong") else 0)


def test_locust_by_hand_writes_the_exact_figures_of_its_steps(server: Server, tmp_path: Path) -> None:
    answer = locust(
        *("TritonGrpcUser", "--model", "steady", "--grpc-address", server.endpoints.grpc),
        *("--steps", "2:1,3:1", "--figures", str(tmp_path / "figures.json"), "--mix", "1:0:0"),
    )
    assert answer.returncode == 0, answer.stderr
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert [step["users"] for step in figures["steps"]] == [2, 3]
    assert LocustResult.of("steady", "grpc", figures).requests > 0


@pytest.mark.parametrize(
    ("user", "arguments", "words"),
    [
        ("TritonHttpUser", ["--steps", "1:x"], "is not a value for steps"),
        ("TritonGrpcUser", ["--mix", "1:2"], "is not a value for mix"),
        ("TritonGrpcUser", ["--model", "nobody"], "cannot be loaded with requests"),
        ("TritonHttpUser", ["--think", "1", "--pace", "1"], "either thinks or keeps a pace"),
        ("TritonHttpUser", ["--large", "99"], "does not take 99 rows"),
    ],
)
def test_locust_by_hand_says_what_is_wrong(
    server: Server, user: str, arguments: list[str], words: str
) -> None:
    addresses = ["--http-address", server.endpoints.http, "--grpc-address", server.endpoints.grpc]
    given = [*addresses, "--model", "steady", *arguments]
    answer = locust(user, "--run-time", "1", *given)
    assert answer.returncode == 2
    assert words in answer.stderr
    assert "Traceback" not in answer.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"model": "nobody"}, "cannot be loaded with requests"),
        ({"model": "chatty"}, "decoupled"),
        ({"large": 9}, "does not take 9 rows"),
        ({"protocol": "stream"}, "not a protocol of our users"),
        ({"users": 0}, "at least one user"),
        ({"seconds": 0}, "one second in each step"),
        ({"seconds": 1.5}, "whole numbers"),
        ({"steps": []}, "no step"),
        ({"steps": [(2, 1), (2, 1)]}, "another number of users"),
        ({"mix": (0, 0, 0)}, "one weight above 0"),
        ({"mix": (1, 2)}, "small:large:wrong"),
        ({"think": -1.0}, "think is -1.0"),
        ({"think": 1.0, "pace": 1.0}, "either thinks or keeps a pace"),
        ({"warmup": 1.0, "seconds": 1}, "leaves nothing"),
    ],
)
def test_arguments_that_make_no_load(server: Server, arguments: dict[str, Any], words: str) -> None:
    given: dict[str, Any] = {"model": "steady", "seconds": 1} | arguments
    with pytest.raises(LoadError) as caught:
        run_locust(server, **given)
    assert words in str(caught.value)


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_nobody_at_the_address(protocol: str) -> None:
    (port,) = free_ports(1)
    with pytest.raises(LoadError, match="No Triton answers"):
        run_locust(f"127.0.0.1:{port}", "steady", protocol=protocol)


def test_locust_that_does_not_run(server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "locust.py").write_text("raise SystemExit('no such thing')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(LoadError, match="locust failed") as caught:
        run_locust(server, "steady", seconds=1)
    assert caught.value.why == "no such thing"


def test_locust_that_does_not_end_is_ended(
    server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pid = tmp_path / "pid"
    code = (
        f"import os, pathlib, time\npathlib.Path({str(pid)!r}).write_text(str(os.getpid()))\ntime.sleep(60)\n"
    )
    (tmp_path / "locust.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr("lab_utils.load.locust_run._MARGIN", 4.0)
    with pytest.raises(LoadError, match="did not end"):
        run_locust(server, "steady", seconds=1)
    assert not psutil.pid_exists(int(pid.read_text()))


def test_two_names_for_one_class_of_failure() -> None:
    from tritonclient.utils import InferenceServerException

    from lab_utils.load.locust_figures import FailedRequest

    for error, kind in (
        (InferenceServerException("[400] unexpected shape", "400"), "wrong_input"),
        (InferenceServerException("Exceeds maximum queue size", "503"), "queue_full"),
        (InferenceServerException("deadline", "StatusCode.DEADLINE_EXCEEDED"), "client_timeout"),
        (InferenceServerException("failed", "StatusCode.INTERNAL"), "model_error"),
        (InferenceServerException("strange"), "other"),
        (TimeoutError("timed out"), "client_timeout"),
        (ConnectionRefusedError(111, "refused"), "connection"),
        (ValueError("else"), "other"),
    ):
        assert FailedRequest.of(error).kind == kind
    assert np.isnan(LocustResult.of("m", "http", _empty()).steps[0].failure_ratio)


def _empty() -> dict[str, Any]:
    """What locust writes when nothing was answered."""
    step = {"users": 1, "at": 0.0, "seconds": 1.0, "requests": 0, "failures": 0, "rows": 0, "tasks": {}}
    latency = {"count": 0, **dict.fromkeys(("mean", "std", "min", "p50", "p90", "p95", "p99", "max"))}
    step |= {"latency": latency, "client_share": 0.0}
    return {"steps": [step], "errors": {}, "messages": {}, "printed": {}, "version": "0", "cpu_warning": True}
