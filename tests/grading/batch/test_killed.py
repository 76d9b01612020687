"""A batch that is killed at any moment goes on where it was."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.grading.batch.made import ROOT, class_of

_STUDENTS = {f"s{number:02d}": "half" if number % 3 else "right" for number in range(24)}


def start(class_: Path, out: Path, log: Path) -> subprocess.Popen[bytes]:
    line = [sys.executable, "-m", "tests.grading.batch.slow", *map(str, (class_, out, log))]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(line, cwd=ROOT, env=environment)


def begun(log: Path) -> list[str]:
    return log.read_text().split() if log.exists() else []


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_batch_killed_again_and_again_comes_to_the_same_grades(tmp_path: Path) -> None:
    class_ = class_of(tmp_path / "class", _STUDENTS)
    log, out = tmp_path / "log", tmp_path / "out"
    kills = 0
    for most in (1, 6, 7, 15, 23):  # killed when so many notebooks have begun
        process = start(class_, out, log)
        while len(begun(log)) < most and process.poll() is None:
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        kills += process.wait() == -signal.SIGKILL
        assert not (out / "grades.csv").exists()
    assert kills == 5
    assert start(class_, out, log).wait(120) == 0
    assert start(class_, tmp_path / "whole", tmp_path / "other").wait(120) == 0
    assert (out / "grades.csv").read_bytes() == (tmp_path / "whole" / "grades.csv").read_bytes()
    # Only those that ran at a kill, two at a time, ran twice; one may be between its end and its file.
    times = Counter(begun(log))
    assert set(times) == set(_STUDENTS)
    assert len(begun(log)) <= len(_STUDENTS) + 2 * kills
    assert not list(out.rglob("*.tmp"))


def test_sigterm_ends_a_batch_like_ctrl_c(tmp_path: Path) -> None:
    """Through the command line: its message, its exit code, and no grades of half a class."""
    code = (
        "import sys, time\n"
        "from lab_utils.grading import launch\n"
        "class Runner:\n"
        "    prepare = staticmethod(lambda: print('running', flush=True))\n"
        "    of = classmethod(lambda cls, *a, **k: cls())\n"
        "    def __call__(self, lab, notebook):\n"
        "        import subprocess; subprocess.run(['sleep', '600']); raise RuntimeError('ended')\n"
        "launch.SandboxRunner = Runner\n"
        "from lab_utils.cli import app\n"
        "app()\n"
    )
    class_of(tmp_path / "class", {"ann": "right"})
    line = [sys.executable, "-c", code, "grade", str(tmp_path / "class"), "--out", str(tmp_path / "out")]
    process = subprocess.Popen(
        line,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "running\n"
    time.sleep(1.0)
    process.terminate()
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "start the same command again" in errors
    assert not (tmp_path / "out" / "grades.csv").exists()
    assert not list((tmp_path / "out" / ".batch" / "results").rglob("*.json"))
