"""The tables of a batch: `grades.csv`, `grades.json`, and the imports of Canvas and nbgrader.

The tables hold nothing that differs between two runs of the same input: no times of runs, no order
of completion, no reason in words. `grades.json` has all of that.
"""

from __future__ import annotations

import csv
import io
import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC

from lab_utils.grading.batch import Batch, Student
from lab_utils.grading.plan import LabPlan
from lab_utils.grading.roster import Member
from lab_utils.grading.scoring import LabGrade
from lab_utils.progress.registry import Status

FORMATS = ("canvas", "nbgrader")
# A spreadsheet takes a cell with one of these in front for a formula.
_FORMULA = ("=", "+", "-", "@")


def grades_csv(batch: Batch) -> str:
    """One row per student; one column per lab and per checkpoint. SKIP stands where nothing was asked."""
    labs = batch.plan.labs
    ids = [one.id for lab in labs for one in batch.plan.checks(lab.lab)]
    header = ["student", "percent", "points", "possible"]
    header += [f"lab {lab.lab}" for lab in labs] + ids + ["note"]
    rows = []
    for grade in batch.grades:
        cells = {
            one.id: "SKIP" if one.status is Status.SKIP else number(one.earned)
            for lab in grade.labs
            for one in lab.result.exercises
        }
        notes = [f"{lab.result.lab} {lab.note}" for lab in grade.labs if lab.note]
        rows.append(
            [grade.student, number(grade.percent), number(grade.score), number(grade.possible)]
            + [number(lab.score) for lab in grade.labs]
            + [cells[id] for id in ids]
            + ["; ".join(notes)]
        )
    return _table(header, rows)


def grades_json(batch: Batch) -> str:
    """Everything: verdicts with their words, reasons, lateness, times of the runs."""
    data = {
        "title": batch.plan.title,
        "confined": all(grade.confined for grade in batch.grades),
        "students": [
            {**grade.as_dict(), "folder": f"students/{student.folder}"} for student, grade in batch.students
        ],
    }
    return json.dumps(data, indent=1, ensure_ascii=False) + "\n"


def canvas_csv(batch: Batch) -> tuple[str, list[str]]:
    """The import of a Canvas gradebook: one column per lab, and a second row with the points.

    Canvas finds a student by ID, SIS User ID or SIS Login ID. They come from the list of students
    (`--roster`, the export of the same gradebook); without it, from the names of Canvas's own files.

    Returns:
        The table, and warnings about rows that Canvas will not find.
    """
    labs = batch.plan.labs
    header = ["Student", "ID", "SIS User ID", "SIS Login ID", "Section", *(lab.column for lab in labs)]
    possible = ["    Points Possible", "", "", "", "", *(number(_full(batch, lab)) for lab in labs)]
    unclear = {id(student) for student, _ in batch.students if student.doubtful}
    for _, several in shared_members(batch):
        unclear |= {id(student) for student in several}
    rows, warnings = [possible], []
    for student, grade in batch.students:
        if id(student) in unclear:  # `remarks` says why
            continue
        identity = _canvas_identity(student, batch.listed)
        if not any(identity[1:4]):
            warnings.append(f"{student.name}: no number or login is known (see --roster).")
        rows.append([*identity, *(number(_scaled(batch, lab)) for lab in grade.labs)])
    return _table(header, rows), warnings


def shared_members(batch: Batch) -> list[tuple[Member, list[Student]]]:
    """Students of the list of whom there are several submissions."""
    by_member: dict[int, list[Student]] = defaultdict(list)
    for student, _ in batch.students:
        if student.member is not None:
            by_member[id(student.member)].append(student)
    found = []
    for several in by_member.values():
        member = several[0].member
        if member is not None and len(several) > 1:
            found.append((member, several))
    return found


def nbgrader_csv(batch: Batch) -> tuple[str, list[str]]:
    """The columns of nbgrader's own table of grades (`nbgrader export`): one row per lab and student.

    Returns:
        The table, and warnings (none).
    """
    header = ["assignment", "duedate", "timestamp", "student_id", "last_name", "first_name", "email"]
    header += ["raw_score", "late_submission_penalty", "score", "max_score"]
    rows = []
    for number_, planned in enumerate(batch.plan.labs):
        for student, grade in batch.students:
            lab = grade.labs[number_]
            due = planned.deadline.astimezone(UTC).replace(tzinfo=None) if planned.deadline else ""
            came = lab.submitted.astimezone(UTC).replace(tzinfo=None) if lab.submitted else ""
            columns = student.member.columns if student.member else {}
            rows.append(
                [
                    f"lab{planned.lab}",
                    str(due),
                    str(came),
                    columns.get("student_id") or columns.get("id") or student.name,
                    columns.get("last_name", ""),
                    columns.get("first_name", ""),
                    columns.get("email", ""),
                    number(lab.result.earned),
                    number(lab.deduction),
                    number(lab.score),
                    number(lab.possible),
                ]
            )
    return _table(header, rows), []


def number(value: float) -> str:
    """A number with at most two decimals, without needless zeros."""
    return f"{value:.2f}".rstrip("0").rstrip(".")


def safe_cell(text: str) -> str:
    """One line that no spreadsheet takes for a formula: names come from files that students named."""
    text = "".join(letter if letter.isprintable() else " " for letter in text)
    return f"'{text}" if text.startswith(_FORMULA) else text


def _canvas_identity(student: Student, listed: bool) -> list[str]:
    """What Canvas finds a student by: their row of the list, else the number in Canvas's file name."""
    if student.member is not None:
        columns = student.member.columns
        names = ("ID", "SIS User ID", "SIS Login ID", "Section")
        return [student.member.name, *(columns.get(name, "") for name in names)]
    user = student.author.user if student.author.canvas and not listed else ""
    return [student.name, user, "", "", ""]


def _full(batch: Batch, lab: LabPlan) -> float:
    """The lab's points, those of a SKIP included: the column of a gradebook has one maximum for all."""
    return round(sum(batch.plan.points_of(one) for one in batch.plan.checks(lab.lab)), 2)


def _scaled(batch: Batch, lab: LabGrade) -> float:
    """The lab's score on the column's scale: what a SKIP left out of the lab is not lost."""
    full = round(sum(one.points for one in lab.result.exercises), 2)
    return round(lab.score * full / lab.possible, 2) if lab.possible else 0.0


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(header)
    writer.writerows([safe_cell(cell) for cell in row] for row in rows)
    return out.getvalue()
