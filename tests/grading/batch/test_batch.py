"""A whole folder of submissions: every student a row, no one stops another, the same grades twice."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from lab_utils.errors import LabError
from lab_utils.grading.plan import CoursePlan, LabPlan, load_plan
from lab_utils.grading.results import LabResult
from lab_utils.grading.roster import read_roster
from lab_utils.grading.state import BatchFolder
from lab_utils.progress.labs import LABS
from tests.grading.batch.made import PLAN, ROOT, TextRunner, class_of, graded, notebook, table, zipped


def test_every_student_has_a_row_and_every_checkpoint_a_column(class_: Path, tmp_path: Path) -> None:
    batch, runner = graded(class_, tmp_path / "out", jobs=3)
    rows = {row["student"]: row for row in table(tmp_path / "out" / "grades.csv")}
    assert list(rows) == ["ann", "bob", "cid", "dan", "eve", "fay", "gus", "hal", "ivy.pdf", "jon"]
    ids = [one.id for lab in ("01", "02") for one in PLAN.checks(lab)]
    for row in rows.values():
        assert all(row[id] for id in ids)
        assert None not in row
    assert rows["ann"]["percent"] == "100"
    assert rows["ann"]["lab 01"] == str(sum(one.points for one in PLAN.checks("01")))
    assert {rows["bob"][id] for id in ids} == {"0"}
    assert 0 < float(rows["cid"]["percent"]) < 100
    assert rows["dan"]["note"] == "01 time; 02 time"
    assert rows["eve"]["note"] == "01 internal; 02 internal"
    assert rows["fay"]["1.1"] == "SKIP"
    assert rows["gus"]["note"] == "02 missing"
    assert rows["hal"]["note"] == "01 foreign; 02 foreign"
    assert rows["ivy.pdf"]["note"] == "01 unreadable; 02 unreadable"
    assert rows["jon"]["note"] == "01 missing; 02 missing"
    assert float(rows["gus"]["lab 02"]) == 0
    assert batch.ran == 13
    assert len(runner.calls) == 13 + 2  # a fault of the machine is tried once more


def test_the_same_input_gives_the_same_table(class_: Path, tmp_path: Path) -> None:
    graded(class_, tmp_path / "one", jobs=1, formats=["canvas", "nbgrader"])
    graded(class_, tmp_path / "two", jobs=4, formats=["canvas", "nbgrader"])
    for name in ("grades.csv", "items.csv", "canvas.csv", "nbgrader.csv", "index.html", "items.html"):
        one, two = (tmp_path / folder / name for folder in ("one", "two"))
        assert one.read_bytes() == two.read_bytes(), name


def test_nothing_is_written_outside_the_out_folder(class_: Path, tmp_path: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    graded(class_, tmp_path / "out")
    out = tmp_path / "out"
    assert before == {
        path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if out not in (path, *path.parents)
    }
    assert {path.name for path in out.iterdir()} == {
        *(".batch", "students", "index.html", "items.html", "items.csv", "grades.csv", "grades.json")
    }


def test_a_second_start_runs_nothing_but_what_could_not_be_run(class_: Path, tmp_path: Path) -> None:
    first, _ = graded(class_, tmp_path / "out")
    text = (tmp_path / "out" / "grades.csv").read_text()
    again, runner = graded(class_, tmp_path / "out")
    assert {student for student, _ in runner.calls} == {"eve"}
    assert (again.ran, again.kept) == (2, 11)
    assert first.ran == 13
    assert (tmp_path / "out" / "grades.csv").read_text() == text


def test_a_changed_notebook_hidden_check_or_sandbox_runs_again_a_changed_weight_does_not(
    tmp_path: Path,
) -> None:
    class_ = class_of(tmp_path / "class", {"ann": "right", "bob": "wrong"})
    plan = CoursePlan(labs=(LabPlan("01"),))
    graded(class_, tmp_path / "out", plan)
    weighted = replace(plan, labs=(LabPlan("01", weight=9),), points={"1.5": 50})
    batch, runner = graded(class_, tmp_path / "out", weighted)
    assert not runner.calls
    assert batch.grades[0].possible > 50
    class_of(class_, {"bob": "half"})
    _, runner = graded(class_, tmp_path / "out", plan)
    assert runner.calls == [("bob", "01")]
    source = (ROOT / "examples" / "instructors" / "hidden" / "one_image.py").read_text()
    _, runner = graded(class_, tmp_path / "out", replace(plan, hidden={"a.py": source}))
    assert len(runner.calls) == 2
    _, runner = graded(class_, tmp_path / "out", plan, confined=False)
    assert len(runner.calls) == 2


def test_a_damaged_result_is_made_again(tmp_path: Path) -> None:
    class_ = class_of(tmp_path / "class", {"ann": "right", "bob": "right", "cid": "right"})
    plan = CoursePlan(labs=(LabPlan("01"),))
    graded(class_, tmp_path / "out", plan)
    results = tmp_path / "out" / ".batch" / "results"
    (results / "ann" / "01.json").write_text("{")
    (results / "bob" / "01.json").write_text('{"schema": 1, "key": 3, "result": []}')
    _, runner = graded(class_, tmp_path / "out", plan)
    assert sorted(student for student, _ in runner.calls) == ["ann", "bob"]


def test_a_fault_that_passes_is_not_held_against_the_student(tmp_path: Path) -> None:
    class_ = class_of(tmp_path / "class", {"ann": "raise once", "bob": "right"})
    batch, runner = graded(class_, tmp_path / "out", CoursePlan(labs=(LabPlan("01"),)))
    assert [grade.percent for grade in batch.grades] == [100, 100]
    assert len(runner.calls) == 3
    assert "the machine is broken" in (tmp_path / "out" / ".batch" / "faults.log").read_text()


def test_a_stop_keeps_what_is_done_and_ends_what_runs(tmp_path: Path) -> None:
    class_ = class_of(tmp_path / "class", dict.fromkeys("abcdef", "right"))
    plan = CoursePlan(labs=(LabPlan("01"),))
    inner = TextRunner(plan)
    running = threading.Event()

    def slow(lab: str, path: Path) -> tuple[LabResult, bytes | None]:
        if len(inner.calls) >= 3:
            running.set()
            time.sleep(1)  # a sandbox that is being killed hands back nothing that counts
        return inner(lab, path)

    def watch(done: int, total: int, text: str) -> None:
        if done == 3:
            assert running.wait(10)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        graded(class_, tmp_path / "out", plan, slow, watch=watch)
    assert not (tmp_path / "out" / "grades.csv").exists()
    assert len(list((tmp_path / "out" / ".batch" / "results").rglob("*.json"))) == 3
    batch, runner = graded(class_, tmp_path / "out", plan)
    assert (batch.ran, batch.kept) == (3, 3)
    assert len(runner.calls) == 3


@pytest.mark.parametrize("where", ["class", "class/out", ".", "other", "file"])
def test_an_out_folder_that_holds_other_things_is_refused(tmp_path: Path, where: str) -> None:
    class_ = class_of(tmp_path / "class", {"ann": "right"})
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("years of work")
    (tmp_path / "file").write_text("x")
    with pytest.raises(LabError) as caught:
        graded(class_, tmp_path / where)
    assert "--out" in caught.value.fix
    assert (tmp_path / "other" / "thesis.txt").read_text() == "years of work"


def test_two_batches_in_one_folder_exclude_each_other(tmp_path: Path) -> None:
    class_ = class_of(tmp_path / "class", {"ann": "right"})
    with BatchFolder(tmp_path / "out").opened(class_), pytest.raises(LabError, match="Another batch"):
        graded(class_, tmp_path / "out")


def test_deadlines_need_times(tmp_path: Path) -> None:
    class_ = class_of(tmp_path / "class", {"ann": "right", "bob": "right"})
    text = "timezone = 'Europe/Berlin'\n[labs.01]\ndeadline = 2026-11-06T23:59:00\n[late]\nper_day = 0.1\n"
    (tmp_path / "course.toml").write_text(text)
    with pytest.raises(LabError, match="nothing says when"):
        graded(class_, tmp_path / "out", load_plan(tmp_path / "course.toml"))
    (tmp_path / "course.toml").write_text("times = 'times.csv'\n" + text)
    (tmp_path / "times.csv").write_text("student,submitted\nann,2026-11-07T10:00:00\n")
    batch, _ = graded(class_, tmp_path / "out", load_plan(tmp_path / "course.toml"))
    assert [grade.percent for grade in batch.grades] == [90, 100]
    assert "is not known: it counts as in time" in batch.grades[1].problem
    report = (tmp_path / "out" / "students" / "ann" / "report.html").read_text()
    assert "10.02 hours after the deadline: 1 day begun; that is 10 % of the points." in report


def test_who_handed_in_nothing_has_a_row_too(tmp_path: Path) -> None:
    class_ = tmp_path / "class"
    class_.mkdir()
    content = zipped({f"{LABS['01'].notebook}.ipynb": notebook("01", "right")})
    (class_ / "doejane_1234_1_mine.zip").write_bytes(content)
    (class_ / "stranger.zip").write_bytes(content)
    roster = tmp_path / "gradebook.csv"
    roster.write_text(
        "Student,ID,SIS User ID,SIS Login ID,Section,Lab 1\n    Points Possible,,,,,30\n"
        '"Doe, Jane",1234,S1,jdoe,A,\n"Roe, Rick",1235,S2,rroe,B,\n'
    )
    plan = CoursePlan(labs=(LabPlan("01", canvas="Lab 1 (55)"),))
    batch, _ = graded(
        class_, tmp_path / "out", plan, roster=read_roster(roster), formats=["canvas", "nbgrader"]
    )
    assert [grade.student for grade in batch.grades] == ["doejane", "Roe, Rick", "stranger"]
    rows = table(tmp_path / "out" / "canvas.csv")
    full = str(sum(one.points for one in plan.checks("01")))
    assert list(rows[0]) == ["Student", "ID", "SIS User ID", "SIS Login ID", "Section", "Lab 1 (55)"]
    assert [(row["Student"], row["ID"], row["SIS Login ID"], row["Lab 1 (55)"]) for row in rows] == [
        ("    Points Possible", "", "", full),
        ("Doe, Jane", "1234", "jdoe", full),
        ("Roe, Rick", "1235", "rroe", "0"),
        ("stranger", "", "", full),
    ]
    first = table(tmp_path / "out" / "nbgrader.csv")[0]
    assert (first["assignment"], first["student_id"], first["score"], first["max_score"]) == (
        *("lab01", "doejane", full, full),
    )
