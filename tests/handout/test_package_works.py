"""The student package is a whole course: `make lab`, the doctor, the checks, all with its own library."""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode

from lab_utils.handout.release import Release
from lab_utils.notebooks.read import place_of
from lab_utils.paths import project_root
from lab_utils.progress.labs import LABS
from tests.handout.conftest import run_in

pytestmark = [pytest.mark.live, pytest.mark.timeout(300)]
ROOT = project_root()
SOLVED = ("1.5", "1.6")


@pytest.fixture(scope="module")
def course(released: Release, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package as a student has it: unpacked from the zip."""
    folder = tmp_path_factory.mktemp("student")
    shutil.unpack_archive(released.archive, folder)
    return folder / released.folder.name


def test_make_lab_opens_jupyterlab_on_copies_in_its_own_work_folder(course: Path, tmp_path: Path) -> None:
    """With an environment that was installed a moment ago, and a JupyterLab that only says its version."""
    venv = tmp_path / "venv"
    (venv / "bin").mkdir(parents=True)
    program = venv / "bin" / "triton-lab"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m lab_utils.cli "$@"\n')
    program.chmod(0o755)
    (venv / ".installed-torch").touch()
    answer = run_in(course, "make", "lab", f"VENV={venv}", "LAB_FLAGS=--version", timeout=240)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert f"Opening JupyterLab on {course / 'work'}" in answer.stdout
    copies = sorted(path.name for path in (course / "work").glob("*.ipynb"))
    assert copies == [f"{spec.notebook}.ipynb" for spec in LABS.values()]
    assert (course / "model_repository" / "mnist_mlp" / "1" / "model.onnx").is_file()


def test_the_doctor_finds_all_that_it_finds_in_the_project(course: Path) -> None:
    there, here = (
        json.loads(run_in(folder, sys.executable, "-m", "lab_utils.cli", "doctor", "--json").stdout)
        for folder in (course, ROOT)
    )
    assert [one["check"] for one in there] == [one["check"] for one in here]
    assert [one["status"] for one in there] == [one["status"] for one in here]


def solved(ids: tuple[str, ...]) -> NotebookNode:
    """These exercises of Lab 1, complete, with the cells that they need: imports and the server's start."""
    book = nbformat.read(ROOT / "labs_solutions" / f"{LABS['01'].notebook}.ipynb", as_version=4)
    places = [place_of(cell) or ("", "") for cell in book.cells]
    last = max(position for position, place in enumerate(places) if place == (ids[-1], "check"))
    kept = [
        cell
        for cell, (id, role) in zip(book.cells[: last + 1], places, strict=False)
        if id in ids or (not role and re.search(r"^\s*(import|from) |lab\.start\(", cell.source, re.M))
    ]
    book.cells = [*kept, nbformat.v4.new_code_cell("lab.stop()")]
    return book


def test_checks_pass_in_it_with_solved_notebooks(course: Path) -> None:
    path = course / "work" / "solved.ipynb"
    path.parent.mkdir(exist_ok=True)
    nbformat.write(solved(SOLVED), path)
    answer = run_in(
        course, sys.executable, "-m", "lab_utils.cli", "check", "01", "--notebook", str(path), "--json",
        timeout=240,
    )  # fmt: skip
    report = json.loads(answer.stdout)
    passed = [one["id"] for one in report["exercises"] if one["status"] == "PASS"]
    assert report["finished"], report["reason"]
    assert passed == list(SOLVED), [one["found"] for one in report["exercises"] if one["id"] in SOLVED]
    server = next(one["evidence"]["server"] for one in report["exercises"] if one["id"] == "1.5")
    assert server
    path.unlink()


def test_it_uses_its_own_library(course: Path) -> None:
    code = "import lab_utils, lab_utils.paths as p; print(lab_utils.__file__, p.work_dir(), sep='\\n')"
    answer = run_in(course, sys.executable, "-c", code)
    assert answer.stdout.splitlines() == [str(course / "lab_utils" / "__init__.py"), str(course / "work")]
