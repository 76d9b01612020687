"""`triton-lab catch-up`: an empty folder becomes one in which the lab can begin; work is left alone."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from lab_utils import server as triton
from lab_utils.handout.catch_up import catch_up, learned, needed
from lab_utils.lab import Lab
from lab_utils.paths import project_root
from lab_utils.progress.labs import LABS
from lab_utils.progress.registry import passed
from lab_utils.progress.store import ProgressStore

pytestmark = [pytest.mark.live, pytest.mark.timeout(240)]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "lab_utils.cli", "catch-up", *arguments]
    return subprocess.run(
        command, cwd=project_root(), capture_output=True, text=True, timeout=200, check=False
    )


def test_a_lab_builds_on_those_that_its_first_page_names() -> None:
    assert [one.number for one in needed(LABS["02"])] == ["01"]
    assert [one.number for one in needed(LABS["04"])] == ["01", "02"]
    for spec in LABS.values():
        assert all(int(one.number) < int(spec.number) for one in needed(spec))


@pytest.mark.parametrize("lab", [lab for lab in LABS if int(lab) < 50])
def test_each_lab_says_what_it_taught(lab: str) -> None:
    points = learned(LABS[lab])
    assert len(points) >= 3
    assert all(point.endswith(".") and "\n" not in point for point in points)


def test_from_nothing_to_a_lab_that_runs(own_folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ProgressStore().record("1.4", passed("by this test"))
    answer = run("02", "--json")
    assert answer.returncode == 0, answer.stdout + answer.stderr
    done = json.loads(answer.stdout)
    assert done["ready"]
    assert {step["name"]: step["status"] for step in done["steps"]} == {
        "packages": "PASS",
        "models": "PASS",
        "server": "PASS",
    }
    assert done["lessons"][0]["passed"] == 1
    assert "1.4" not in done["lessons"][0]["open"]
    assert Path(done["notebook"]).is_file()
    assert triton.running() == [], "the server that it tried is stopped"
    Lab("02", namespace={})
    assert "new models" not in capsys.readouterr().out, "nothing is left to be copied"


def test_what_the_student_has_is_left_alone(own_folders: Path) -> None:
    """A model of the student's own, a notebook with work in it, and a server that runs."""
    lab = Lab("01", namespace={})
    config = lab.repository / "mnist_mlp" / "config.pbtxt"
    config.write_text(config.read_text() + "# mine\n")
    notebook = own_folders / "work" / f"{LABS['01'].notebook}.ipynb"
    notebook.write_text("my work")
    server = lab.start()
    try:
        done = catch_up("01")
        assert done.ready
        assert config.read_text().endswith("# mine\n")
        assert notebook.read_text() == "my work"
        assert "left as they are: mnist_mlp" in done.steps[1].detail
        assert "runs already" in done.steps[-1].detail
        assert server.alive()
    finally:
        server.stop()
    assert done.lessons == ()


def test_a_model_that_cannot_be_served_is_told_with_a_next_step(own_folders: Path) -> None:
    config = Lab("01", namespace={}).repository / "mnist_mlp" / "config.pbtxt"
    config.write_text("max_batch: 8\n")
    answer = run("1")
    assert answer.returncode == 1
    assert "FAIL" in answer.stdout
    assert "could not be served" in answer.stdout
    assert "Next: " in answer.stdout
    assert "You can begin" not in answer.stdout
    assert triton.running() == []


def test_an_unknown_lab_is_a_message(own_folders: Path) -> None:
    answer = run("77")
    assert answer.returncode == 1
    assert "there is no lab" in answer.stderr
    assert "Traceback" not in answer.stderr


def test_what_a_part_of_a_lab_needs_is_a_warning(own_folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRITON_LAB_PROMETHEUS", str(own_folders / "nothing-there"))
    monkeypatch.setattr("lab_utils.handout.catch_up._server", lambda spec: done.append(spec) or ok)
    from lab_utils.doctor import Status
    from lab_utils.handout.catch_up import Step

    done: list[object] = []
    ok = Step(Status.PASS, "server", "not tried in this test")
    steps = {step.name: step for step in catch_up("04").steps}
    assert steps["Prometheus"].status is Status.WARN
    assert steps["Prometheus"].fix
    assert done, "a warning does not keep the lab from being tried"
