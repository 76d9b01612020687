"""`triton-lab start`, `status`, `logs`, `stop` with a real server, as a script would use them."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import httpx
import psutil
import pytest

from lab_utils import paths
from lab_utils import server as triton
from lab_utils.cli.servers import choose_models
from lab_utils.cli.stack import not_loaded
from lab_utils.stack import state
from lab_utils.stack.state import StackState

pytestmark = pytest.mark.live
REPOSITORY = paths.project_root() / "model_repository"


@pytest.fixture(scope="module", autouse=True)
def _models():
    from lab_utils.models.build import build_models

    build_models()


# The examples of all labs are in the repository; one model is enough here, and quick.
ONE_MODEL = ("--option=--model-control-mode=explicit", "--option=--load-model=mnist_mlp")


def started(triton_lab, *arguments: str) -> dict[str, object]:
    answer = triton_lab("start", "--repository", str(REPOSITORY), "--json", *ONE_MODEL, *arguments)
    assert answer.returncode == 0, answer.stderr
    return json.loads(answer.stdout)


def test_start_prints_one_object_and_the_server_outlives_the_command(triton_lab):
    facts = started(triton_lab, "--name", "one", "--wait", "mnist_mlp")
    assert set(facts) == {"name", "runtime", "pid", "http", "grpc", "metrics", "log"}
    assert (facts["name"], facts["runtime"]) == ("one", "embedded")
    assert psutil.Process(facts["pid"]).name() == "tritonserver"
    assert httpx.get(f"http://{facts['http']}/v2/models/mnist_mlp/ready").status_code == 200
    assert "nv_inference_count" in httpx.get(f"http://{facts['metrics']}/metrics").text
    assert "mnist_mlp" in Path(str(facts["log"])).read_text()
    assert ":" in str(facts["grpc"])

    # The same again is the same server, and an option makes another one of the same name.
    assert started(triton_lab, "--name", "one")["pid"] == facts["pid"]

    (row,) = json.loads(triton_lab("status", "--json").stdout)
    assert {key: row[key] for key in facts} == facts
    assert row["state"] == "ready"
    table = triton_lab("status").stdout
    assert "one" in table
    assert "ready" in table

    log = triton_lab("logs", "one", "--tail", "3").stdout
    assert len(log.splitlines()) == 3
    assert len(triton_lab("logs").stdout.splitlines()) > 20  # the only one, so its name is not needed

    stopped = triton_lab("stop", "one")
    assert (stopped.returncode, stopped.stdout) == (0, "Stopped: one.\n")
    assert not psutil.pid_exists(facts["pid"])
    assert json.loads(triton_lab("status", "--json").stdout) == []


def test_a_plain_start_loads_all_but_the_llamas_and_says_so(triton_lab):
    answer = triton_lab("start", "--wait", "mnist_mlp")
    assert answer.returncode == 0, answer.stderr
    (server,) = json.loads(triton_lab("status", "--json").stdout)
    models = httpx.post(f"http://{server['http']}/v2/repository/index", json={}).json()
    states = {model["name"]: model.get("state", "not loaded") for model in models}
    llamas = {name for name in states if name.startswith("llama")}
    assert {name for name, state in states.items() if state != "READY"} == llamas
    assert len(llamas) == 5
    assert server["state"] == "ready"
    (line,) = [line for line in answer.stdout.splitlines() if line.startswith("Not loaded")]
    assert line.startswith(f"Not loaded: {', '.join(sorted(llamas))}. They need PyTorch")
    assert line.endswith(f"http://{server['http']}/v2/repository/models/llama/load")


def test_status_says_that_a_stack_was_started(triton_lab, own_folders):
    assert triton_lab("status").stdout == "No server of ours runs.\n"
    state.write(StackState("triton-lab-me-stack", "net"))
    text = triton_lab("status").stdout
    assert "No server of ours runs." in text
    assert "The stack triton-lab-me-stack was started: `triton-lab up` prints its addresses." in text
    assert json.loads(triton_lab("status", "--json").stdout) == []


def test_only_models_with_a_file_are_offered_for_loading(tmp_path):
    for name in ("llama/1", "llama_logits/1", "digits_cnn"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "llama" / "1" / "model.py").touch()
    (tmp_path / "llama_logits" / "labels.txt").touch()
    ready, *absent = not_loaded(tmp_path, ["digits_cnn", "llama", "llama_logits"], "http://h:1")
    assert ready.startswith("Not loaded: llama. Load one when you want it: curl -X POST http://h:1/v2/")
    assert [line.partition(" makes it")[0] for line in absent] == [
        "Not made yet: digits_cnn. `triton-lab models build`",
        "Not made yet: llama_logits. `triton-lab models build --llama`",
    ]


def test_what_a_plain_start_loads(monkeypatch):
    options, left_out = choose_models(REPOSITORY, ["--log-verbose=1"])
    assert options[:2] == ["--log-verbose=1", "--model-control-mode=explicit"]
    assert "--load-model=mnist_mlp" in options
    assert not [option for option in options if "llama" in option]
    options, rest = choose_models(REPOSITORY, [], ["llama"])
    assert "--load-model=llama" in options
    assert rest == [model for model in left_out if model != "llama"]
    assert choose_models(REPOSITORY, ["--load-model=llama"]) == (["--load-model=llama"], [])
    # A model that has no file would keep the server from being ready.
    for there in (True, False):
        monkeypatch.setattr("lab_utils.models.build_cnn.can_build_cnn", lambda there=there: there)
        options, left_out = choose_models(REPOSITORY, [])
        assert ("--load-model=digits_cnn" in options) is there
        assert ("digits_cnn" in left_out) is not there


def test_options_reach_the_server_and_unknown_ones_are_refused_by_name(triton_lab):
    facts = started(
        triton_lab, "--name", "opts", "--option=--log-verbose=1", "--option=--exit-timeout-secs=3"
    )
    line = " ".join(psutil.Process(facts["pid"]).cmdline())
    assert "--log-verbose=1" in line
    assert "--exit-timeout-secs=3" in line
    refused = triton_lab(
        "start", "--repository", str(REPOSITORY), "--name", "odd", "--option=--log-verbos=1", "--json"
    )
    assert refused.returncode == 1
    assert refused.stdout == ""
    assert "--log-verbos" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_stop_all_ends_ours_and_leaves_others_alone(triton_lab, tmp_path, monkeypatch):
    """Two users on one machine: the other's Triton has another state folder. Plain processes stay, too."""
    mine = started(triton_lab, "--name", "mine")
    monkeypatch.setenv("TRITON_LAB_HOME", str(tmp_path / "other-home"))
    theirs = started(triton_lab, "--name", "theirs")
    plain = subprocess.Popen(["sleep", "60"])
    try:
        monkeypatch.setenv("TRITON_LAB_HOME", str(tmp_path / "home"))
        answer = triton_lab("stop", "--all")
        assert answer.stdout == "Stopped: mine.\n"
        assert not psutil.pid_exists(mine["pid"])
        assert httpx.get(f"http://{theirs['http']}/v2/health/live").status_code == 200
        assert plain.poll() is None
        assert triton_lab("stop", "--all").stdout == "No server of ours was running.\n"
    finally:
        plain.kill()
        plain.wait()
        monkeypatch.setenv("TRITON_LAB_HOME", str(tmp_path / "other-home"))
        triton_lab("stop", "--all")
        monkeypatch.setenv("TRITON_LAB_HOME", str(tmp_path / "home"))


def test_a_killed_server_shows_in_status_with_its_reason_and_its_log_stays_readable(triton_lab):
    facts = started(triton_lab, "--name", "killed")
    psutil.Process(facts["pid"]).kill()
    psutil.wait_procs([psutil.Process(facts["pid"])] if psutil.pid_exists(facts["pid"]) else [], timeout=5)
    (row,) = json.loads(triton_lab("status", "--json").stdout)
    assert row["state"] == "ended"
    assert row["pid"] is None
    answer = triton_lab("logs", "killed")
    assert answer.returncode == 0
    assert "mnist_mlp" in answer.stdout
    assert "no longer runs" in answer.stderr
    assert triton_lab("logs").stdout == answer.stdout, "without a name: the last that ended"


def test_follow_shows_the_end_of_a_server_and_ends_with_it(triton_lab, own_folders):
    facts = started(triton_lab, "--name", "followed")
    import sys

    follower = subprocess.Popen(
        [sys.executable, "-m", "lab_utils.cli", "logs", "followed", "--follow"],
        cwd=paths.project_root(),
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert follower.stdout
        assert follower.stdout.readline()
        found = triton.find("followed")
        assert found
        assert found.pid == facts["pid"]
        found.stop()
        text, _ = follower.communicate(timeout=30)
        assert follower.returncode == 0
        assert "mnist_mlp" in text
    finally:
        follower.kill()
        follower.wait()


def test_faults_are_messages_on_stderr_with_exit_code_1(triton_lab, tmp_path):
    cases = [
        (("stop", "nobody"), "No server named `nobody` runs."),
        (("stop",), "No server of ours runs."),
        (("logs",), "No server of ours runs."),
        (("start", "--repository", str(tmp_path / "none"), "--json"), "is not a folder"),
        (
            ("start", "--repository", str(REPOSITORY), "--runtime", "cloud", "--json"),
            "`cloud` is not a runtime",
        ),
    ]
    for arguments, message in cases:
        answer = triton_lab(*arguments)
        assert answer.returncode == 1, arguments
        assert answer.stdout == "", arguments
        assert message in answer.stderr, arguments
        assert "Next:" in answer.stderr, arguments
        assert "Traceback" not in answer.stderr, arguments


def test_with_two_servers_a_name_is_asked_for_and_both_are_listed(triton_lab):
    started(triton_lab, "--name", "left")
    started(triton_lab, "--name", "right")
    answer = triton_lab("logs")
    assert answer.returncode == 1
    assert "Which server?" in answer.stderr
    assert "left" in answer.stderr
    assert "right" in answer.stderr
