"""Things that the tests of the batch make: notebooks, zips, and a runner that only looks at the text."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import nbformat

from lab_utils import paths
from lab_utils.grading.batch import Batch, run_batch
from lab_utils.grading.intake import HandedIn, find_submissions, take_in
from lab_utils.grading.names import Author
from lab_utils.grading.outputs import write_outputs
from lab_utils.grading.plan import CoursePlan, LabPlan
from lab_utils.grading.results import Cause, ExerciseResult, LabResult, SubmissionFiles
from lab_utils.grading.state import BatchFolder
from lab_utils.progress.labs import LABS
from lab_utils.progress.registry import Status

ROOT = paths.project_root()


LAB1 = f"{LABS['01'].notebook}.ipynb"
FOREIGN = nbformat.writes(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("print(1)")])).encode()


def taken(folder: Path, into: Path) -> dict[str, SubmissionFiles]:
    """What every student of a folder handed in."""
    return {
        entry.author.student: take_in(entry, into / str(place))
        for place, entry in enumerate(find_submissions(folder))
    }


def one(path: Path, into: Path) -> SubmissionFiles:
    """What one student handed in."""
    return take_in(HandedIn(Author("jane"), (path,)), into)


def shipped(lab: str) -> Path:
    """The student's notebook of a lab, as it is handed out."""
    return ROOT / "labs" / f"{LABS[lab].notebook}.ipynb"


def notebook(lab: str, text: str = "") -> bytes:
    """The notebook of a lab in which a student wrote something (`text`) into the first answer cell."""
    made = nbformat.read(shipped(lab), as_version=4)
    if text:
        cell = next(
            cell for cell in made.cells if cell.metadata.get("triton_lab", {}).get("role") == "answer"
        )
        cell.source = f"# {text}"
    return nbformat.writes(made).encode()


def zipped(files: Mapping[str, bytes]) -> bytes:
    """A zip with these files."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return out.getvalue()


def class_of(folder: Path, answers: Mapping[str, str], labs: Sequence[str] = ("01",)) -> Path:
    """A folder of submissions: for each student a zip whose notebooks say what shall become of them."""
    folder.mkdir(parents=True, exist_ok=True)
    for student, text in answers.items():
        files = {f"{LABS[lab].notebook}.ipynb": notebook(lab, text) for lab in labs}
        (folder / f"{student}.zip").write_bytes(zipped(files))
    return folder


class TextRunner:
    """Gives verdicts by a word in the notebook's text, without running it.

    The words: `right` (all PASS), `wrong` (all FAIL), `half` (every second), `skip`, `time`, `raise`
    (the runner itself fails), `raise once`. It stands for the sandbox where the batch is tested.
    """

    def __init__(self, plan: CoursePlan) -> None:
        self.plan = plan
        self.calls: list[tuple[str, str]] = []

    def __call__(self, lab: str, path: Path) -> tuple[LabResult, bytes | None]:
        text = path.read_text()
        self.calls.append((path.parent.parent.name, lab))
        word = next((w for w in ("right", "wrong", "half", "skip", "time", "raise") if f"# {w}" in text), "")
        if word == "raise" and ("# raise once" not in text or len(set(self.calls)) == len(self.calls)):
            raise RuntimeError("the machine is broken")
        return self.result(lab, "right" if word == "raise" else word), json.dumps({"ran": lab}).encode()

    def result(self, lab: str, word: str) -> LabResult:
        """The verdicts for a word."""
        checks = self.plan.checks(lab)
        exercises = []
        for place, one in enumerate(checks):
            good = word == "right" or (word == "half" and place % 2 == 0)
            status = Status.PASS if good else Status.SKIP if word == "skip" and place == 0 else Status.FAIL
            exercises.append(
                ExerciseResult(
                    one.id,
                    one.title,
                    one.points,
                    one.points if good else 0.0,
                    status,
                    expected="<b>an answer</b>",
                    found=f"found {word}",
                    next_step="write `it`",
                    hidden=one in self.plan.hidden_checks,
                )
            )
        found = LabResult(lab, LABS[lab].title, tuple(exercises), True, seconds=1.5)
        if word == "time":
            reason = "The notebook took more than 900 s; it was at cell 7."
            return replace(found, finished=False, reason=reason, cause=Cause.TIME)
        return found


PLAN = CoursePlan(labs=(LabPlan("01"), LabPlan("02")))


def graded(
    submissions: Path, out: Path, plan: CoursePlan = PLAN, runner: Any = None, **options: Any
) -> tuple[Batch, TextRunner]:
    """Grade, write all files, hand back the batch and the runner."""
    runner = runner or TextRunner(plan)
    folder = BatchFolder(out)
    formats = options.pop("formats", ())
    with folder.opened(submissions):
        batch = run_batch(submissions, folder, plan, runner, **options)
        write_outputs(batch, folder, formats)
    return batch, runner


def table(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(path.read_text())))
