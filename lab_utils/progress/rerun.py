"""Check a lab by executing its notebook again: fresh kernel, fresh folders, own server.

Only verdicts of this very run count. They carry its number (`TRITON_LAB_RUN`), so a progress file
from an earlier day, or one that a notebook brings along, proves nothing. A run that does not reach
its end earns no points, whatever had passed before: what cannot be run from top to bottom cannot be
graded, and the reason says which cell to mend.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lab_utils.notebooks.execute import Execution, execute_notebook
from lab_utils.paths import project_root, work_dir
from lab_utils.progress.labs import LabSpec, lab_spec
from lab_utils.progress.registry import Checkpoint, Status, Verdict, failed
from lab_utils.progress.store import RUN_VARIABLE, Entry, ProgressStore, Score
from lab_utils.stack.state import triton_image


@dataclass(frozen=True)
class Result:
    """One exercise of a run.

    Attributes:
        checkpoint: The exercise.
        verdict: What this run proved. Never open: an exercise without a verdict is a FAIL.
        attempts: How often the notebook checked it in this run.
    """

    checkpoint: Checkpoint
    verdict: Verdict
    attempts: int = 0


@dataclass(frozen=True)
class LabReport:
    """The outcome of a lab's notebook, executed from top to bottom.

    Attributes:
        lab: Two digits.
        title: The lab's title.
        notebook: The file that was executed. It is not changed.
        results: One per exercise, in order.
        finished: Every cell ran.
        reason: Why it did not finish; empty when it did.
        errors: Cells that raised, in words, unsolved exercises included.
        unexpected: Those of them that are not unsolved exercises.
        seconds: Wall-clock time of the execution.
    """

    lab: str
    title: str
    notebook: Path
    results: tuple[Result, ...]
    finished: bool
    reason: str = ""
    errors: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    seconds: float = 0.0

    @property
    def score(self) -> Score:
        """Points of this run."""
        by = {
            status: sum(r.checkpoint.points for r in self.results if r.verdict.status is status)
            for status in Status
        }
        passed = sum(1 for r in self.results if r.verdict.passed)
        possible = by[Status.PASS] + by[Status.FAIL]
        return Score(by[Status.PASS], possible, by[Status.SKIP], passed, len(self.results))

    @property
    def complete(self) -> bool:
        """True when nothing failed and at least one exercise passed."""
        return self.score.points > 0 and all(r.verdict.status is not Status.FAIL for r in self.results)

    def as_dict(self) -> dict[str, Any]:
        """The report as JSON values."""
        score = self.score
        return {
            "lab": self.lab,
            "title": self.title,
            "notebook": str(self.notebook),
            "points": score.points,
            "possible": score.possible,
            "skipped": score.skipped,
            "finished": self.finished,
            "reason": self.reason,
            "errors": list(self.errors),
            "seconds": round(self.seconds, 1),
            "exercises": [
                {
                    "id": r.checkpoint.id,
                    "title": r.checkpoint.title,
                    "points": r.checkpoint.points,
                    "attempts": r.attempts,
                    **r.verdict.as_dict(),
                }
                for r in self.results
            ],
        }


@dataclass
class _Folders:
    """Throwaway work and state folders of one run."""

    root: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="triton-lab-run-")))

    @property
    def work(self) -> Path:
        return self.root / "work"

    def environment(self, run: str) -> dict[str, str]:
        """Variables of the kernel. Servers die with it; a FAIL does not stop the notebook."""
        path = os.pathsep.join(filter(None, [str(project_root()), os.environ.get("PYTHONPATH", "")]))
        # The run has a state folder of its own, and the stack's image stands in the student's.
        image = os.environ.get("TRITON_LAB_IMAGE") or triton_image()
        return {
            **({"TRITON_LAB_IMAGE": image} if image else {}),
            "TRITON_LAB_WORK": str(self.work),
            "TRITON_LAB_HOME": str(self.root / "home"),
            "TRITON_LAB_LIFETIME": "kernel",
            "TRITON_LAB_STRICT": "0",
            RUN_VARIABLE: run,
            "PYTHONPATH": path,
        }


def check_lab(
    lab: str | int,
    notebook: Path | None = None,
    *,
    cell_timeout: float = 300.0,
    total_timeout: float = 1800.0,
) -> LabReport:
    """Execute a lab's notebook in a fresh kernel and report what its checks proved.

    Args:
        lab: The lab's number.
        notebook: The notebook; default: the student's copy in `work/`.
        cell_timeout: Seconds that one cell may take.
        total_timeout: Seconds that the notebook may take.

    Returns:
        One result per exercise. A dead kernel, a time-out and a deleted cell are FAIL with the reason.

    Raises:
        LabError: There is no such lab, or the file cannot be read as a notebook.
    """
    spec = lab_spec(lab)
    path = (notebook or work_dir() / f"{spec.notebook}.ipynb").resolve()
    folders, run = _Folders(), secrets.token_hex(16)
    try:
        folders.work.mkdir()
        execution = execute_notebook(
            path,
            env=folders.environment(run),
            cell_timeout=cell_timeout,
            total_timeout=total_timeout,
            keep_going=True,
        )
        entries = ProgressStore(folders.work / "progress.json").entries()
    finally:
        shutil.rmtree(folders.root, ignore_errors=True)
    mine = {id: entry for id, entry in entries.items() if entry.run == run}
    return _report(spec, path, execution, mine)


def _report(spec: LabSpec, path: Path, execution: Execution, entries: Mapping[str, Entry]) -> LabReport:
    results = []
    for one in spec.checkpoints():
        entry = entries.get(one.id)
        if entry is None:
            verdict = _without_verdict(one, execution)
        elif not execution.finished and entry.verdict.status is not Status.FAIL:
            verdict = _unfinished(entry.verdict, execution)
        else:
            verdict = entry.verdict
        results.append(Result(one, verdict, entry.attempts if entry else 0))
    return LabReport(
        lab=spec.number,
        title=spec.title,
        notebook=path,
        results=tuple(results),
        finished=execution.finished,
        reason=execution.reason,
        errors=tuple(map(str, execution.errors)),
        unexpected=tuple(map(str, execution.unexpected)),
        seconds=execution.seconds,
    )


def _unfinished(verdict: Verdict, execution: Execution) -> Verdict:
    """A verdict that was good, in a run that did not reach its end."""
    return failed(
        expected="the notebook runs from its first cell to its last",
        found=f"this exercise gave {verdict.status}, but the run did not finish: {execution.reason}",
        next_step="Mend that cell, restart the kernel, run all cells, then check the lab again.",
        before=verdict.status.value,
        evidence_before=dict(verdict.evidence),
    )


def _without_verdict(one: Checkpoint, execution: Execution) -> Verdict:
    """Why an exercise has no verdict in this run."""
    expected = f'the cell `lab.check("{one.id}")` runs and gives a verdict'
    call = re.compile(rf"""\bcheck\(\s*["']{re.escape(one.id)}["']\s*\)""")
    cells = execution.notebook.cells
    places = [i for i, cell in enumerate(cells) if cell.cell_type == "code" and call.search(cell.source)]
    if not places:
        if not execution.finished:
            return failed(
                expected=expected,
                found=f'the notebook has no cell with `lab.check("{one.id}")`, and it did not finish: '
                f"{execution.reason}",
                next_step=f"Put the cell back: `triton-lab reset {one.lab} {one.id}`.",
            )
        return failed(
            expected=expected,
            found=f'the notebook has no cell with `lab.check("{one.id}")`',
            next_step=f"Put the cell back: `triton-lab reset {one.lab} {one.id}`.",
        )
    raised = [error for error in execution.errors if error.position in places]
    if raised:
        return failed(
            expected=expected,
            found=str(raised[0]),
            next_step="Restart the kernel, run all cells, and mend the first cell that fails.",
        )
    if not execution.finished:
        return failed(
            expected=expected,
            found=f"the run ended before this check: {execution.reason}",
            next_step="Mend that cell, restart the kernel, run all cells, then check the lab again.",
        )
    return failed(
        expected=expected,
        found="the cell ran, but no verdict was stored in this run",
        next_step="See that `lab` is the one that the notebook's first cell makes.",
    )
