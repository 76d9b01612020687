"""`triton-lab grade` as a teacher starts it: real kernels, real servers, the real sandbox."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import nbformat
import pytest

from lab_utils.grading.sandbox import NoSandbox, find_sandbox
from lab_utils.progress.labs import LABS
from tests.grading.batch.made import ROOT, notebook, shipped, zipped

NAME = f"{LABS['01'].notebook}.ipynb"


def triton_lab(*arguments: str, timeout: float = 400, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "lab_utils.cli", *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT), **env},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def solved(*exercises: str) -> bytes:
    """The student's notebook of Lab 1 with the answers of some exercises."""
    student = nbformat.read(shipped("01"), as_version=4)
    complete = nbformat.read(ROOT / "labs_solutions" / NAME, as_version=4)
    answers = {cell["id"]: cell.source for cell in complete.cells}
    for cell in student.cells:
        ours = cell.metadata.get("triton_lab", {})
        if ours.get("role") == "answer" and ours["exercise"] in exercises:
            cell.source = answers[cell["id"]]
    return nbformat.writes(student).encode()


def running_from(out: Path) -> list[str]:
    """Processes of a batch: its folder stands in their command line or among their mounts."""
    place = "/".join(out.parts[-3:]) + "/.batch/stage"  # a mount is named from the top of its file system
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                text = (entry / "mountinfo").read_text() + (entry / "cmdline").read_text()
                if place in text:
                    found.append((entry / "cmdline").read_text())
    return found


@pytest.fixture
def class_(tmp_path: Path) -> Path:
    folder = tmp_path / "class"
    folder.mkdir()
    (folder / "ann.zip").write_bytes(zipped({f"work/{NAME}": solved("1.2", "1.5")}))
    squeezed = solved("1.5").replace(b"argmax(axis=1)", b"squeeze().argmax(axis=-1)")
    assert squeezed != solved("1.5")
    (folder / "bob").mkdir()
    (folder / "bob" / "mine.ipynb").write_bytes(squeezed)
    (folder / "cid.ipynb").write_bytes(notebook("02"))
    return folder


@pytest.mark.live
@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.timeout(500)
def test_a_class_is_graded_in_one_command(class_: Path, tmp_path: Path) -> None:
    try:
        find_sandbox()
    except NoSandbox as error:
        pytest.skip(str(error))
    plan = tmp_path / "course" / "course.toml"
    plan.parent.mkdir()
    plan.write_text(f"hidden = '{ROOT}/examples/instructors/hidden'\n[labs.01]\n")
    out = tmp_path / "out"
    line = ("grade", str(class_), "--out", str(out), "--plan", str(plan), "--jobs", "2")
    answer = triton_lab(*line, "--format", "canvas")
    assert answer.returncode == 0, answer.stdout + answer.stderr
    rows = {row["student"]: row for row in csv.DictReader(io.StringIO((out / "grades.csv").read_text()))}
    assert list(rows) == ["ann", "bob", "cid"]
    earned = {student: {id for id, cell in row.items() if "." in id and cell not in ("0", "SKIP")}
              for student, row in rows.items()}  # fmt: skip
    assert earned == {"ann": {"1.2", "1.5", "1.5.1"}, "bob": {"1.5"}, "cid": set()}
    assert rows["cid"]["note"] == "01 missing"
    assert "only lab 02 was handed in" in (out / "index.html").read_text()
    report = (out / "students" / "ann" / "report.html").read_text()
    assert "not solved yet" in report
    executed = nbformat.read(out / "students" / "ann" / NAME, as_version=4)
    assert any(cell.get("outputs") for cell in executed.cells)
    assert (out / "canvas.csv").read_text().startswith("Student,ID,")
    # What a hidden check found is for the teacher alone.
    assert "squeeze the batch" not in (out / "students" / "bob" / "report.html").read_text()
    assert "squeeze the batch" in (out / "students" / "bob" / "teacher.html").read_text()
    assert not running_from(out)
    text = (out / "grades.csv").read_bytes()
    again = triton_lab(*line, "--json")
    assert json.loads(again.stdout)["ran"] == 0
    assert (out / "grades.csv").read_bytes() == text

    items = triton_lab("item-analysis", str(out), "--json")
    passed = {one["id"]: one["passed"] for one in json.loads(items.stdout)}
    assert (passed["1.5"], passed["1.5.1"], passed["1.4"]) == (2, 1, 0)
    shown = triton_lab("item-analysis", str(out)).stdout
    assert "1.5.1 hidden" in shown
    assert "1 (50 %)" in shown


def test_without_a_sandbox_nothing_runs(class_: Path, tmp_path: Path) -> None:
    answer = triton_lab("grade", str(class_), "--out", str(tmp_path / "out"), PATH=str(tmp_path))
    assert answer.returncode == 1
    assert "cannot be confined" in answer.stderr
    assert "bubblewrap" in answer.stderr
    assert "--no-sandbox" in answer.stderr
    assert not (tmp_path / "out" / "grades.csv").exists()


def test_a_wrong_plan_is_refused_before_anything_is_made(class_: Path, tmp_path: Path) -> None:
    (tmp_path / "course.toml").write_text("[labs.01]\nwieght = 3\n")
    out = tmp_path / "out"
    answer = triton_lab("grade", str(class_), "--out", str(out), "--plan", str(tmp_path / "course.toml"))
    assert answer.returncode == 1
    assert "Do you mean 'weight'?" in answer.stderr
    assert not out.exists()


def test_item_analysis_wants_the_folder_of_a_batch(tmp_path: Path) -> None:
    answer = triton_lab("item-analysis", str(tmp_path))
    assert answer.returncode == 1
    assert "There are no grades in" in answer.stderr
