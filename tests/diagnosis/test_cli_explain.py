"""`triton-lab explain`: from a log, from standard input, from a repository, from a running server."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from lab_utils.server.base import Server
from tests.diagnosis.conftest import ECHO, load, python, write

LOG = """\
I0411 03:30:43.480405 163 model_lifecycle.cc:472] "loading: net:1"
E0411 03:30:43.580405 163 model_lifecycle.cc:642] "failed to load 'net' version 1: Invalid argument: \
instance group net_0 of model net has kind KIND_GPU but no GPUs are available"
"""
KEYS = ["model", "cause", "fix", "file", "line", "log_lines"]


def explain(*arguments: str | Path, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "lab_utils.cli", "explain", *map(str, arguments)]
    return subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=60, check=False)


def test_a_log_file_as_json(tmp_path: Path) -> None:
    (tmp_path / "triton.log").write_text(LOG)
    answer = explain("net", "--log", tmp_path / "triton.log", "--json")
    value = json.loads(answer.stdout)
    assert list(value) == KEYS
    assert value["model"] == "net"
    assert "GPU" in value["cause"]
    assert "KIND_CPU" in value["fix"]
    assert value["log_lines"] == LOG.splitlines()[1:]


def test_standard_input_with_the_place_in_a_repository(tmp_path: Path) -> None:
    config = python("instance_group [ { kind: KIND_GPU } ]\n")
    write(tmp_path, "net", config, {"1/model.py": ECHO})
    value = json.loads(explain("net", "--log", "-", "--repository", tmp_path, "--json", stdin=LOG).stdout)
    assert value["file"] == str(tmp_path / "net" / "config.pbtxt")
    assert value["line"] == 5


def test_text_for_a_person() -> None:
    answer = explain("net", "--log", "-", stdin=LOG)
    assert answer.returncode == 0
    assert "asks for a GPU" in answer.stdout
    assert "Mend:" in answer.stdout


def test_no_cause_is_null() -> None:
    value = json.loads(
        explain("net", "--log", "-", "--json", stdin="failed to load 'net' version 1: zzz").stdout
    )
    assert value["cause"] is None
    assert value["log_lines"] == ["failed to load 'net' version 1: zzz"]


def test_an_unknown_model_gets_the_nearest_names() -> None:
    answer = explain("nett", "--log", "-", stdin=LOG)
    assert answer.returncode == 1
    assert "Did you mean `net`?" in answer.stderr
    assert answer.stdout == ""


def test_a_log_or_a_repository_that_is_not_there(tmp_path: Path) -> None:
    assert "cannot be read" in explain("net", "--log", tmp_path / "none").stderr
    assert "is not a folder" in explain("net", "--repository", tmp_path / "none").stderr
    (tmp_path / "nett").mkdir()
    assert "Did you mean `nett`?" in explain("net", "--repository", tmp_path).stderr


@pytest.mark.live
def test_a_repository_without_a_server(tmp_path: Path) -> None:
    write(tmp_path, "bare", python(), {"1/model.py": "\nimport nothere\n"})
    value = json.loads(explain("bare", "--repository", tmp_path, "--json").stdout)
    assert "nothere" in value["cause"]
    assert (value["file"], value["line"]) == (str(tmp_path / "bare" / "1" / "model.py"), 2)


@pytest.mark.live
def test_a_load_that_hangs_is_explained_all_the_same(tmp_path: Path) -> None:
    write(tmp_path, "hangs", python(), {"1/other.py": ECHO})
    value = json.loads(explain("hangs", "--repository", tmp_path, "--json").stdout)
    assert "model.py" in value["cause"]
    assert "not there" in value["cause"]


@pytest.mark.live
def test_a_running_server(live: Server) -> None:
    assert live.repository is not None
    write(live.repository, "asked", python("max_batch_size: 4\n"), {"1/model.py": ECHO})
    load(live, "asked")
    value = json.loads(explain("asked", "--server", "diagnosis", "--json").stdout)
    assert "max_batch_size" in value["cause"]
    assert value["line"] == 5
    assert "No server named `nobody`" in explain("asked", "--server", "nobody").stderr
