"""From verdicts to a grade: weights, lateness, parts of points, SKIP."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from lab_utils.errors import LabError
from lab_utils.grading.names import Author
from lab_utils.grading.plan import CoursePlan, LabPlan, Late, Partial
from lab_utils.grading.results import Cause, ExerciseResult, LabResult, SubmissionResult
from lab_utils.grading.roster import Member, Roster, read_roster, read_times
from lab_utils.grading.scoring import grade, late_share, no_answer, not_handed_in
from lab_utils.progress.labs import lab_spec
from lab_utils.progress.registry import Status, Verdict, failed, passed
from tests.grading.batch.made import TextRunner

DUE = datetime(2026, 11, 6, 23, 59, tzinfo=UTC)
LAB1 = CoursePlan(labs=(LabPlan("01"),))
FULL = sum(one.points for one in lab_spec("01").checkpoints())


def result(plan: CoursePlan, word: str, lab: str = "01") -> SubmissionResult:
    return SubmissionResult("jane", (TextRunner(plan).result(lab, word),))


def test_results_go_to_json_and_come_back() -> None:
    one = TextRunner(LAB1).result("01", "time")
    one = replace(one, changes=("a cell was put back",), late=2.5, confined=False)
    whole = SubmissionResult("jane", (one,), "a problem")
    assert SubmissionResult.from_dict(json.loads(json.dumps(whole.as_dict()))) == whole


@pytest.mark.parametrize(
    ("verdict", "earned"),
    [
        (passed("so"), 3.0),
        (failed(expected="a", found="b", next_step="c"), 0.0),
        (failed(expected="a", found="b", next_step="c", credit=0.5), 1.5),
        (failed(expected="a", found="b", next_step="c", credit=1), 0.0),  # a FAIL never earns all
        (failed(expected="a", found="b", next_step="c", credit=-1), 0.0),
        (failed(expected="a", found="b", next_step="c", credit=True), 0.0),
        (failed(expected="a", found="b", next_step="c", credit="0.5"), 0.0),
        (failed(expected="a", found="b", next_step="c", credit=float("nan")), 0.0),
        (Verdict(Status.SKIP, found="no GPU", next_step="x", evidence={"credit": 0.5}), 0.0),
    ],
)
def test_the_points_of_a_verdict(verdict: Verdict, earned: float) -> None:
    (one,) = [c for c in lab_spec("01").checkpoints() if c.id == "1.5"]
    assert ExerciseResult.of(one, verdict).earned == earned


def test_all_right_is_a_hundred_percent_and_nothing_is_zero() -> None:
    assert grade(result(LAB1, "right"), LAB1).percent == 100
    assert grade(result(LAB1, "wrong"), LAB1).percent == 0
    assert grade(SubmissionResult("jane", ()), LAB1).score == 0
    assert grade(SubmissionResult("jane", ()), LAB1).possible == FULL


def test_skip_is_not_asked_for_unless_the_plan_says_so() -> None:
    skipped = result(LAB1, "skip")
    (first, *_) = lab_spec("01").checkpoints()
    assert grade(skipped, LAB1).possible == FULL - first.points
    assert grade(skipped, replace(LAB1, skip_counts=True)).possible == FULL


def test_weights_are_shares_of_the_labs() -> None:
    plan = CoursePlan(labs=(LabPlan("01", weight=3), LabPlan("02", weight=1)))
    runner = TextRunner(plan)
    both = SubmissionResult("jane", (runner.result("01", "right"), runner.result("02", "wrong")))
    assert grade(both, plan).percent == 75
    own = replace(plan, labs=(LabPlan("01"), LabPlan("02")))
    second = sum(one.points for one in lab_spec("02").checkpoints())
    assert grade(both, own).percent == round(100 * FULL / (FULL + second), 2)


def test_the_plan_sets_points_and_takes_exercises_out() -> None:
    plan = replace(LAB1, points={"1.5": 10, "1.8": 0})
    found = grade(result(plan, "right"), plan)
    assert found.possible == FULL - 3 + 10 - next(
        one.points for one in lab_spec("01").checkpoints() if one.id == "1.8"
    )
    assert found.percent == 100


def test_a_mistake_earns_a_part_by_its_advice_and_by_nothing_else() -> None:
    lab = TextRunner(LAB1).result("01", "wrong")
    advice = "Take the\n  whole array."
    plan = replace(LAB1, partial=(Partial("1.5", "Take the whole array.", 0.5),))

    def graded(**words: str) -> float:
        changed = tuple(replace(one, **words) if one.id == "1.5" else one for one in lab.exercises)
        return grade(SubmissionResult("jane", (replace(lab, exercises=changed),)), plan).score

    assert graded(next_step=advice) == 1.5
    # What a student's function returned or raised stands in `found`: it cannot earn anything.
    assert graded(found=advice) == 0
    assert graded(next_step=f"Call `{advice}` in a cell of your own") == 0
    assert graded(next_step="Take the") == 0


def test_a_checks_own_part_counts_only_where_the_plan_wants_it() -> None:
    lab = TextRunner(LAB1).result("01", "wrong")
    changed = tuple(replace(one, earned=1.5) if one.id == "1.5" else one for one in lab.exercises)
    half = SubmissionResult("jane", (replace(lab, exercises=changed),))
    assert grade(half, LAB1).score == 1.5
    assert grade(half, replace(LAB1, partial_credit=False)).score == 0


def test_what_a_run_says_nothing_of_or_invents_counts_nothing() -> None:
    lab = TextRunner(LAB1).result("01", "right")
    invented = replace(lab.exercises[0], id="1.77", points=1000, earned=1000)
    doubled = (*lab.exercises[1:], lab.exercises[1], invented)
    found = grade(SubmissionResult("jane", (replace(lab, exercises=doubled),)), LAB1)
    assert found.score == FULL - lab.exercises[0].points
    assert found.possible == FULL
    assert found.labs[0].result.exercises[0].status is Status.FAIL


@pytest.mark.parametrize(
    ("hours", "share"),
    [(0, 0), (0.2, 0.1), (24, 0.1), (24.1, 0.2), (72, 0.3), (24 * 9, 0.5), (24 * 14, 0.5), (24 * 14.1, 1)],
)
def test_each_day_begun_takes_its_share(hours: float, share: float) -> None:
    late = Late(per_day=0.1, most=0.5, closed_after_days=14)
    assert late_share(hours, late) == pytest.approx(share)


def test_lateness_takes_from_what_was_reached() -> None:
    plan = replace(LAB1, labs=(LabPlan("01", deadline=DUE),), late=Late(per_day=0.1, grace_minutes=15))
    berlin = datetime.fromisoformat("2026-11-07T01:13:00+01:00")  # 14 minutes after the deadline
    assert grade(result(plan, "right"), plan, {"01": berlin}).percent == 100
    late = grade(result(plan, "right"), plan, {"01": DUE + timedelta(hours=30)})
    assert late.percent == 80
    assert late.labs[0].result.late == 30
    assert late.labs[0].note == "late"
    assert grade(result(plan, "right"), plan, {}).percent == 100  # when is not known


def test_a_lab_without_a_run_has_a_row_of_zeros_with_the_reason() -> None:
    missing = not_handed_in(LAB1, "01")
    assert [one.id for one in missing.exercises] == [one.id for one in lab_spec("01").checkpoints()]
    assert {(one.status, one.earned) for one in missing.exercises} == {(Status.FAIL, 0.0)}
    assert all(one.found and one.next_step for one in missing.exercises)
    assert missing.cause is Cause.MISSING
    broken = no_answer(LAB1, "01", Cause.INTERNAL, "why", "what now")
    assert (broken.reason, broken.finished) == ("why", False)


# Who, and when


def test_the_students_of_a_canvas_gradebook(tmp_path: Path) -> None:
    path = tmp_path / "gradebook.csv"
    path.write_text(
        "\ufeffStudent,ID,SIS User ID,SIS Login ID,Section,Old (77)\n"
        "    Points Possible,,,,,10\n"
        '"Doe, Jane",1234,S1,jdoe,A,9\n'
        '"Müller, Max",1235,S2,mmu,A,\n'
        '"Doe, John",1236,S3,jdo,A,\n'
        '"Student, Test",1,,,,\n'
    )
    roster = read_roster(path)
    assert [one.name for one in roster.members] == ["Doe, Jane", "Müller, Max", "Doe, John"]
    for author in (
        Author("doejane"),
        Author("x", "1234"),
        Author("JDOE"),
        Author("Jane Doe"),
        Author("S1"),
    ):
        found = roster.find(author)
        assert found is not None
        assert found.columns["ID"] == "1234"
    assert roster.find(Author("doe")) is None
    max_ = roster.find(Author("mullermax"))
    assert max_ is not None
    assert max_.columns["ID"] == "1235"
    twice = Roster([Member("Li, Na", {"ID": "1"}), Member("Na Li", {"ID": "2"})])
    assert twice.find(Author("nali")) is None  # nobody guesses between two


def test_a_table_without_names_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("a,b\n1,2\n")
    with pytest.raises(LabError, match="no column with the students' names"):
        read_roster(tmp_path / "x.csv")
    with pytest.raises(LabError, match="There is no table"):
        read_roster(tmp_path / "nowhere.csv")
    (tmp_path / "old.csv").write_bytes("student\nM\u00fcller\n".encode("latin-1"))
    with pytest.raises(LabError, match="cannot be read as a table") as caught:
        read_roster(tmp_path / "old.csv")
    assert "CSV UTF-8" in caught.value.fix


def test_a_table_may_be_separated_by_semicolons(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("student;email\nJane;jane@example.org\n")
    (member,) = read_roster(tmp_path / "x.csv").members
    assert member.columns["email"] == "jane@example.org"


def test_the_times_of_submission(tmp_path: Path) -> None:
    path = tmp_path / "times.csv"
    path.write_text(
        "student,lab,submitted\njane,,2026-11-06T10:00:00+00:00\njane,2,2026-11-20T10:00:00+01:00\n"
        "omar,01,2026-11-08T09:00:00Z\n"
    )
    times = read_times(path, None)
    jane = times.of(Author("Jane"))
    days = {lab: moment.day for lab, moment in jane.items()}  # other tests have labs of their own, from 50 on
    assert {lab: day for lab, day in days.items() if int(lab) < 50} == {"01": 6, "02": 20, "03": 6, "04": 6}
    assert list(times.of(Author("omar"))) == ["01"]
    assert times.of(Author("zoe")) == {}
    assert times.unused == []
    assert read_times(path, None).unused == ["jane", "omar"]
    assert times.of(Author("x", "9"), Member("jane", {})) == jane


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("student,when\n", "no column `submitted`"),
        ("student,submitted\njane,2026-11-06T10:00:00\n", "line 2: submitted has no time zone"),
        ("student,submitted\njane,soon\n", "line 2: submitted is not a date"),
        ("student,lab,submitted\njane,9,2026-11-06T10:00:00Z\n", "no lab '9'"),
        (
            "student,submitted\njane,2026-11-08T10:00:00Z\njane,2026-11-05T10:00:00Z\n",
            "line 3: jane has a time already, in line 2",
        ),
    ],
)
def test_a_faulty_table_of_times_is_refused(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "times.csv").write_text(text)
    with pytest.raises(LabError) as caught:
        read_times(tmp_path / "times.csv", None)
    assert words in str(caught.value)


def test_a_lab_result_is_frozen() -> None:
    with pytest.raises(AttributeError):
        not_handed_in(LAB1, "01").seconds = 3.0  # type: ignore[misc]
    assert isinstance(not_handed_in(LAB1, "01"), LabResult)
