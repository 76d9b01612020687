"""What fits nobody, or more than one, is told after the counting; nothing old lies beside new grades."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import nbformat

from lab_utils.grading.batch import Batch
from lab_utils.grading.borrowed import borrowing
from lab_utils.grading.plan import CoursePlan, LabPlan, Partial, load_plan
from lab_utils.grading.remarks import remarks
from lab_utils.grading.roster import read_roster
from lab_utils.progress.labs import LABS
from tests.grading.batch.made import class_of, graded, notebook, table, zipped

PLAN = CoursePlan(labs=(LabPlan("01"),))
COLUMNS = "Student,ID,SIS User ID,SIS Login ID,Section\n"


def class_called(folder: Path, *names: str) -> Path:
    folder.mkdir()
    for name in names:
        (folder / name).write_bytes(zipped({f"{LABS['01'].notebook}.ipynb": notebook("01", "right")}))
    return folder


def told(batch: Batch) -> str:
    return "\n".join(remarks(batch))


def test_nobody_is_guessed_and_nobody_who_may_have_handed_in_gets_zeros(tmp_path: Path) -> None:
    class_ = class_called(tmp_path / "class", "Jane Doe_77_assignsubmission_file_.zip")
    (tmp_path / "list.csv").write_text(
        f'{COLUMNS}"Doe, Jane",4401,,,\n"Doe, Jane",4409,,,\n"Roe, Rick",4402,,,\n'
    )
    roster = read_roster(tmp_path / "list.csv")
    batch, _ = graded(class_, tmp_path / "out", PLAN, roster=roster, formats=["canvas"])
    assert [grade.student for grade in batch.grades] == ["Jane Doe", "Roe, Rick"]
    assert "Jane Doe fits several students of the list: Doe, Jane (4401), Doe, Jane (4409)" in told(batch)
    assert [row["Student"] for row in table(tmp_path / "out" / "canvas.csv")[1:]] == ["Roe, Rick"]


def test_a_number_of_another_system_is_not_one_of_canvas(tmp_path: Path) -> None:
    class_ = class_called(tmp_path / "class", "Jane Doe_77_assignsubmission_file_.zip", "roerick_78_1_a.zip")
    graded(class_, tmp_path / "out", PLAN, formats=["canvas"])
    rows = {row["Student"]: row["ID"] for row in table(tmp_path / "out" / "canvas.csv")[1:]}
    assert rows == {"Jane Doe": "", "roerick": "78"}


def test_who_is_on_no_list_and_who_is_there_twice_is_told(tmp_path: Path) -> None:
    class_ = class_called(tmp_path / "class", "doejane_1_5_a.zip", "Jane Doe.zip", "stranger_9_6_a.zip")
    (tmp_path / "list.csv").write_text(f'{COLUMNS}"Doe, Jane",1,,,\n')
    roster = read_roster(tmp_path / "list.csv")
    batch, _ = graded(class_, tmp_path / "out", PLAN, roster=roster, formats=["canvas"])
    assert "Several submissions are Doe, Jane's: doejane, Jane Doe." in told(batch).replace(
        "Jane Doe, doejane", "doejane, Jane Doe"
    )
    assert "stranger is not on the list of students." in told(batch)
    rows = {row["Student"]: row["ID"] for row in table(tmp_path / "out" / "canvas.csv")[1:]}
    assert rows == {"stranger": ""}


def test_a_name_in_the_times_and_a_mistake_that_fit_nothing_are_told(tmp_path: Path) -> None:
    class_ = class_of(tmp_path / "class", {"muellerlena": "wrong", "omar": "right"})
    (tmp_path / "course.toml").write_text("times = 'times.csv'\n[labs.01]\ndeadline = 2026-11-06T23:59:00Z\n")
    (tmp_path / "times.csv").write_text(
        "student,submitted\nmuelerlena,2026-11-07T10:00:00Z\nomar,2026-11-05T10:00:00Z\n"
    )
    plan = load_plan(tmp_path / "course.toml")
    mistakes = (Partial("1.5", "write `it`", 0.5), Partial("1.5", "write it", 0.5))
    batch, _ = graded(class_, tmp_path / "out", replace(plan, partial=mistakes))
    assert told(batch).splitlines() == [
        "The table of times has muelerlena, who is no student of this batch. Do you mean muellerlena?",
        '[[partial]] of 1.5 fits no verdict of this batch: "write it". '
        "If somebody made this mistake, copy its advice from items.csv, word for word.",
    ]


def test_nothing_old_lies_beside_new_grades(tmp_path: Path) -> None:
    class_ = class_of(tmp_path / "class", {"ann": "right", "bob": "wrong"})
    out = tmp_path / "out"
    graded(class_, out, PLAN, formats=["nbgrader"])
    bobs = (class_ / "bob.zip").read_bytes()
    (class_ / "bob.zip").unlink()
    batch, runner = graded(class_, out, replace(PLAN, points={"1.5": 50}))
    assert not runner.calls
    assert [path.name for path in (out / "students").iterdir()] == ["ann"]
    (row,) = table(out / "nbgrader.csv")
    assert float(row["max_score"]) == batch.grades[0].possible > 50
    assert not (out / "canvas.csv").exists()
    (class_ / "bob.zip").write_bytes(bobs)
    _, runner = graded(class_, out, PLAN)
    assert not runner.calls, "who comes back need not be run again"
    assert (out / "students" / "bob" / f"{LABS['01'].notebook}.ipynb").is_file()


def test_a_cell_that_uses_the_courses_checks_is_told() -> None:
    cells = [
        nbformat.v4.new_code_cell(source)
        for source in (
            "from lab_utils.checks.lab3_figures import ttft",
            "from lab_utils import server, checks",
            "import importlib\nx = importlib.import_module('lab_utils.checks.lab3_figures')",
            "from lab_utils import server\nchecks = 3",
            "import lab_utils",
        )
    ]
    assert len(borrowing(cells)) == 3
    assert borrowing(cells[3:]) == []
