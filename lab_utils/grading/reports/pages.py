"""Write the pages of a batch. Every text in them may come from a student and is escaped.

The pages hold no script, and their policy allows none: a page is safe to open wherever it came from.
"""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from lab_utils.grading.analysis import Item
from lab_utils.grading.batch import Batch, Student
from lab_utils.grading.formats import number
from lab_utils.grading.results import Cause, ExerciseResult
from lab_utils.grading.scoring import LabGrade, StudentGrade
from lab_utils.grading.state import BatchFolder, write_shown
from lab_utils.progress.labs import lab_spec

_MOST_TEXT = 4000
_NO_RUN = (Cause.MISSING, Cause.FOREIGN, Cause.UNREADABLE, Cause.INTERNAL)


def write_reports(batch: Batch, out: BatchFolder, items: Sequence[Item]) -> Path:
    """Write every student's report, the page with all grades, and the item analysis.

    A student's `report.html` does not say what a hidden check asks or found. `teacher.html`, beside
    it where the course has hidden checks, does.

    Returns:
        The page with all grades.
    """
    pages = _environment()
    hidden = bool(batch.plan.hidden_checks)
    for student, grade in batch.students:
        folder = out.student(student.folder)
        _write(pages, folder / "report.html", "student.html.j2", batch, student, grade, reveal=False)
        if hidden:
            _write(pages, folder / "teacher.html", "student.html.j2", batch, student, grade, reveal=True)
        else:
            (folder / "teacher.html").unlink(missing_ok=True)
    write_shown(
        out.root / "items.html",
        pages.get_template("items.html.j2").render(title=batch.plan.title, items=items),
    )
    index = out.root / "index.html"
    text = pages.get_template("index.html.j2").render(
        title=batch.plan.title,
        labs=batch.plan.labs,
        rows=[(student, grade) for student, grade in batch.students],
        hidden=hidden,
        confined=all(grade.confined for grade in batch.grades),
    )
    write_shown(index, text)
    return index


def _write(
    pages: Environment,
    path: Path,
    template: str,
    batch: Batch,
    student: Student,
    grade: StudentGrade,
    *,
    reveal: bool,
) -> None:
    labs = [_lab(lab, path.parent, reveal) for lab in grade.labs]
    text = pages.get_template(template).render(
        title=batch.plan.title, student=student.name, grade=grade, labs=labs, reveal=reveal
    )
    write_shown(path, text)


def _lab(lab: LabGrade, folder: Path, reveal: bool) -> dict[str, Any]:
    """What a page shows of a lab."""
    name, no_run = f"{lab_spec(lab.result.lab).notebook}.ipynb", lab.result.cause in _NO_RUN
    return {
        "grade": lab,
        "result": lab.result,
        "notebook": name if not no_run and (folder / name).is_file() else "",
        "rows": [_row(one, reveal, no_run) for one in lab.result.exercises],
    }


def _row(one: ExerciseResult, reveal: bool, no_run: bool) -> dict[str, Any]:
    """A checkpoint with its words. Where nothing ran, the reason stands once, above."""
    parts = [("Expected", one.expected), ("Found", one.found), ("Next", one.next_step)]
    if no_run:
        parts = []
    elif one.hidden and not reveal:
        parts = [("Note", "What it asks is known to your instructors.")]
    return {"one": one, "parts": [(label, text) for label, text in parts if text]}


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = number
    environment.filters["text"] = _text
    return environment


def _text(text: str) -> Markup:
    """Escaped text of bounded length, with `names in backticks` as code."""
    if len(text) > _MOST_TEXT:
        text = f"{text[:_MOST_TEXT]}… ({len(text) - _MOST_TEXT} more characters)"
    visible = "".join(letter if letter.isprintable() or letter in "\n\t" else "�" for letter in text)
    return Markup(re.sub(r"`([^`\n]+)`", r"<code>\1</code>", html.escape(visible)))
