"""Proofs 1 to 3: the complete notebook, the untouched student notebook, and broken ones."""

from __future__ import annotations

import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell

from lab_utils.paths import project_root
from lab_utils.progress.registry import Status
from lab_utils.progress.rerun import LabReport, check_lab
from lab_utils.progress.store import ProgressStore
from tests.proofs.kit.labs import LabUnderTest, names


def code_cells(path: Path) -> int:
    """How many code cells a notebook has."""
    return sum(1 for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code")


def complete_problems(under: LabUnderTest, folder: Path, cell_timeout: int = 300) -> list[str]:
    """Proof 1: every cell passes under nbval with strict checks, and the score is full.

    Args:
        under: The lab.
        folder: An empty folder for the run's work and state.
        cell_timeout: Seconds that one cell may take.
    """
    report = folder / "nbval.xml"
    env = {
        **os.environ,
        "TRITON_LAB_WORK": str(folder / "work"),
        "TRITON_LAB_HOME": str(folder / "home"),
        "TRITON_LAB_LIFETIME": "kernel",
        "TRITON_LAB_STRICT": "1",
        "PYTHONPATH": os.pathsep.join([*map(str, under.pythonpath), str(project_root())]),
    }
    argv = [sys.executable, "-m", "pytest", "--nbval-lax", "--nbval-current-env"]
    argv += [f"--nbval-cell-timeout={cell_timeout}", "-p", "no:cacheprovider", "-q", f"--junitxml={report}"]
    # An empty configuration: the project's own time limit is for tests, not for cells.
    config = folder / "pytest.ini"
    config.write_text("[pytest]\n")
    run = subprocess.run(
        [*argv, f"-c{config}", f"--rootdir={folder}", str(under.complete)],
        env=env, cwd=project_root(), capture_output=True, text=True, timeout=1500, check=False,
    )  # fmt: skip
    problems = []
    suite = next(ET.parse(report).getroot().iter("testsuite")) if report.exists() else None
    collected = int(suite.get("tests", 0)) if suite is not None else 0
    bad = (
        sum(int(suite.get(kind, 0)) for kind in ("failures", "errors", "skipped")) if suite is not None else 0
    )
    cells = code_cells(under.complete)
    if collected != cells or not cells:
        problems.append(f"nbval collected {collected} cells of {cells}")
    if run.returncode != 0 or bad:
        problems.append(f"nbval: {bad} cells failed (exit code {run.returncode}):\n{run.stdout[-4000:]}")
    return problems + _full_points_problems(under, folder / "work" / "progress.json")


def _full_points_problems(under: LabUnderTest, progress: Path) -> list[str]:
    store = ProgressStore(progress)
    entries = store.entries()
    problems = []
    for one in under.checkpoints():
        entry = entries.get(one.id)
        if entry is None:
            problems.append(f"{one.id}: no verdict was stored")
        elif entry.verdict.status is Status.FAIL:
            problems.append(f"{one.id}: {entry.verdict.found}")
    score = store.score(under.checkpoints())
    if not problems and (score.points != score.possible or score.points == 0):
        problems.append(f"the score is not full: {score}")
    return problems


def student_problems(under: LabUnderTest) -> list[str]:
    """Proof 2: the untouched student notebook runs to its end: NotImplementedError alone, 0 points."""
    report = check_lab(under.spec.number, under.student)
    problems = []
    if not report.finished:
        problems.append(f"it did not finish: {report.reason}")
    problems += [f"an error that is not NotImplementedError: {error}" for error in report.unexpected]
    for result in report.results:
        found = result.verdict.found
        if result.verdict.status is not Status.FAIL:
            problems.append(f"{result.checkpoint.id}: {result.verdict.status} with nothing written")
        elif not found.startswith("not solved yet"):
            problems.append(f"{result.checkpoint.id}: fails for another reason than being unsolved: {found}")
    return problems + _zero_problems("untouched", report)


def _zero_problems(label: str, report: LabReport) -> list[str]:
    problems = []
    if report.score.points != 0:
        passed = [r.checkpoint.id for r in report.results if r.verdict.passed]
        problems.append(f"{label}: {report.score} ({names(passed)} passed)")
    if not report.results:
        problems.append(f"{label}: the lab has no checkpoints")
    for result in report.results:
        if not result.verdict.found.strip() or not result.verdict.next_step.strip():
            problems.append(f"{label}: {result.checkpoint.id} has no reason or no next step")
    return problems


FORGERY = """
import json, os, pathlib
work = pathlib.Path(os.environ["TRITON_LAB_WORK"])
work.mkdir(parents=True, exist_ok=True)
verdict = {"status": "PASS", "expected": "", "found": "yes", "next_step": "", "evidence": {}}
entry = {"verdict": verdict, "at": "2024-01-01T00:00:00+00:00"}
ids = IDS
content = {"schema": 1, "checkpoints": {id: entry for id in ids}}
(work / "progress.json").write_text(json.dumps(content))
"""


def _role(cell: NotebookNode) -> str:
    return str(cell.metadata.get("triton_lab", {}).get("role", ""))


def _forged(ids: list[str]) -> Callable[[NotebookNode], None]:
    """The progress file says that all is passed. The answers are there, and nothing else that takes time."""

    def change(book: NotebookNode) -> None:
        answers = [cell for cell in book.cells if _role(cell) == "answer"]
        book.cells = [new_code_cell(FORGERY.replace("IDS", repr(ids))), *answers]

    return change


def _emptied(book: NotebookNode) -> None:
    for cell in book.cells:
        cell.source = ""


def _gutted(book: NotebookNode) -> None:
    """Every answer is deleted; the checks are there. What shows something is left out: proof 2 runs it."""
    begin = next(i for i, cell in enumerate(book.cells) if "lab = Lab(" in cell.source) + 1
    book.cells = [*book.cells[:begin], *(cell for cell in book.cells[begin:] if _role(cell) == "check")]


def _first(source: str) -> Callable[[NotebookNode], None]:
    def change(book: NotebookNode) -> None:
        book.cells.insert(0, new_code_cell(source))

    return change


def _after_first_check(source: str) -> Callable[[NotebookNode], None]:
    def change(book: NotebookNode) -> None:
        checks = [i for i, cell in enumerate(book.cells) if ".check(" in cell.source]
        book.cells.insert(checks[0] + 1, new_code_cell(source))

    return change


def _last(source: str) -> Callable[[NotebookNode], None]:
    def change(book: NotebookNode) -> None:
        book.cells.append(new_code_cell(source))

    return change


_KILL = "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)"
_HANG = "while True:\n    pass"


def broken_problems(under: LabUnderTest, folder: Path, *, thorough: bool = False) -> list[str]:
    """Proof 3: the complete notebook, broken in each way, scores zero and says why.

    Args:
        under: The lab.
        folder: An empty folder.
        thorough: Also the ways that run the whole notebook first.
    """
    ids = [one.id for one in under.checkpoints()]
    # name, change, words that every exercise's reason must hold, execution limit in seconds
    ways: list[tuple[str, Callable[[NotebookNode], None], str, float]] = [
        ("no cells", lambda book: book.cells.clear(), "has no cell with", 300),
        ("emptied", _emptied, "has no cell with", 300),
        ("gutted", _gutted, "not defined in the notebook", 300),
        ("killed at the start", _first(_KILL), "The kernel died", 300),
        ("hangs at the start", _first(_HANG), "took more than 3 s", 3),
        ("killed after the first check", _after_first_check(_KILL), "The kernel died", 300),
        (
            "forged progress, no checks",
            _forged(ids),
            "has no cell with",
            300,
        ),
    ]
    if thorough:
        ways += [
            ("killed at the end", _last(_KILL), "The kernel died", 300),
            ("hangs at the end", _last(_HANG), "took more than 6 s", 6),
        ]
    problems = []
    for name, change, words, limit in ways:
        book = nbformat.read(under.complete, as_version=4)
        change(book)
        path = folder / f"{name.replace(' ', '-')}.ipynb"
        nbformat.write(book, path)
        report = check_lab(under.spec.number, path, cell_timeout=limit)
        problems += _zero_problems(name, report)
        for result in report.results:
            if words not in result.verdict.found:
                problems.append(
                    f"{name}: {result.checkpoint.id} does not say '{words}': {result.verdict.found}"
                )
    return problems
