"""The plan of a course, and the hidden checks: every fault in them is named before anything runs."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from lab_utils.errors import LabError
from lab_utils.grading.hidden import load_hidden
from lab_utils.grading.plan import CoursePlan, load_plan
from lab_utils.progress import registry
from lab_utils.progress.labs import LABS, lab_spec
from tests.grading.batch.made import ROOT

EXAMPLE = ROOT / "examples" / "instructors"
CHECK = """
from lab_utils.progress.registry import checkpoint, passed
@checkpoint({id!r}, title="T", points=1, minutes=1, difficulty=1, answers=({answer!r},))
def check(ctx, answers):
    return passed("so")
"""


def write(folder: Path, text: str, **hidden: str) -> Path:
    (folder / "course.toml").write_text(text)
    (folder / "hidden").mkdir(exist_ok=True)
    for name, source in hidden.items():
        (folder / "hidden" / f"{name}.py").write_text(source)
    return folder / "course.toml"


def check(id: str, answer: str = "classify_http") -> str:
    return CHECK.format(id=id, answer=answer)


def test_without_a_file_all_labs_count_with_their_own_points() -> None:
    plan = load_plan(None)
    assert [lab.lab for lab in plan.labs] == sorted(LABS)
    assert [plan.points_of(one) for one in plan.checks("01")] == [
        one.points for one in lab_spec("01").checkpoints()
    ]
    assert not plan.has_deadlines


def test_the_example_is_a_plan_with_a_hidden_check() -> None:
    plan = load_plan(EXAMPLE / "course.toml")
    ids = [one.id for one in plan.checks("01")]
    assert ids[ids.index("1.5") + 1] == "1.5.1"
    assert plan.points_of(plan.checks("01")[ids.index("1.5")]) == 4
    assert plan.labs[0].deadline == datetime(2026, 11, 6, 22, 59, tzinfo=UTC)
    assert plan.labs[2].deadline == datetime(2026, 12, 4, 22, 59, tzinfo=UTC)
    assert plan.late.per_day == 0.1
    assert plan.times == EXAMPLE / "times.csv"
    # The mistake that earns a part is one that the check really names.
    source = (ROOT / "lab_utils" / "checks" / "lab1_classify.py").read_text()
    assert plan.partial[0].next_step in source


def test_hidden_checks_never_enter_the_registry() -> None:
    before = [one.id for one in registry.checkpoints("01")]
    loaded = load_hidden({"a.py": check("1.5.2"), "b.py": check("1.5.1")})
    assert [one.id for one in loaded] == ["1.5.1", "1.5.2"]
    assert [one.id for one in registry.checkpoints("01")] == before
    assert loaded[0].lab == "01"
    assert load_hidden({"a.py": check("1.5.2")})[0].id == "1.5.2"  # a second time, too


def test_a_hidden_check_may_hold_dataclasses_and_runs_from_its_text() -> None:
    source = "from __future__ import annotations\nfrom dataclasses import dataclass\n"
    source += "@dataclass(frozen=True)\nclass P:\n    x: int\n" + check("1.5.1")
    (one,) = load_hidden({"a.py": source})
    assert one.function(None, {}).passed  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("def", "(line 1)"),
        ("x = 1\ny = 1 / 0\n", "ZeroDivisionError: division by zero (line 2)"),
        ("import sys\nsys.exit(0)\n", "SystemExit"),
        (check("1.5"), 'Give it one number more: `@checkpoint("1.5.1", ...)`'),
        (check("1.99"), "another form"),
        (check("1.99.1"), "there is no 1.99"),
        (check("9.1.1"), "there is no 9.1"),
        (check("1.5.1") + check("1.5.1"), "registered twice"),
        (check("1.5.1", "classify_htp"), "Do you mean `classify_http`?"),
    ],
)
def test_a_faulty_hidden_check_is_refused(source: str, words: str) -> None:
    with pytest.raises(LabError) as caught:
        load_hidden({"mine.py": source})
    assert words in str(caught.value)
    assert caught.value.fix
    load_hidden({"a.py": check("1.5.1")})  # and nothing of it stays behind


def test_two_files_with_one_id_are_refused() -> None:
    with pytest.raises(LabError, match=r"two hidden checks 1\.5\.1"):
        load_hidden({"a.py": check("1.5.1"), "b.py": check("1.5.1")})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("title = 3", "title is not a text"),
        ("titel = 'x'", "Do you mean 'title'?"),
        ("[labs.05]", "is not a lab"),
        ("[labs.01]\nwieght = 2", "Do you mean 'weight'?"),
        ("[labs.01]\nweight = -1", "at least 0"),
        ("[labs.01]\n[labs.1]", "two tables"),
        ("[labs.01]\nweight = true", "not a number"),
        ("[labs.01]\nweight = nan", "not a number"),
        ("[labs.01]\ndeadline = 2026-11-30T23:59:00", "has no time zone"),
        ("[labs.01]\ndeadline = 2026-11-30", "A day alone"),
        ("[labs.01]\ndeadline = 'soon'", "not a date with a time"),
        ("timezone = 'Mars/Olympus'", "not known"),
        ("timezone = '../etc/passwd'", "not known"),
        ("[points]\n'1.55' = 3", "is not a checkpoint"),
        ("[points]\n'1.11' = 3", "'1.10'"),
        ("[labs.01]\ndeadline = 06.11.2026", "a time reads 2026-11-30T23:59:00+01:00"),
        ("[points]\n'1.5' = 'many'", "not a number"),
        ("[late]\nper_day = 2", "at most 1"),
        ("[late]\nper_week = 2", "means nothing"),
        ("skip = 'sometimes'", "excluded, zero"),
        ("[[partial]]\nexercise = '1.5'\ncredit = 0.5", "next_step is missing"),
        ("[[partial]]\nexercise = '1.5'\nnext_step = 'x'\ncredit = 1.5", "at most 1"),
        ("[limits]\nminutes = 0", "more than 0"),
        ("hidden = 'nowhere'", "does not exist"),
        ("hidden = 'hidden'", "holds no Python file"),
        ("labs = 3", "is not a table"),
        ("a = [", "cannot be read"),
    ],
)
def test_a_faulty_plan_is_refused_with_its_place(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(LabError) as caught:
        load_plan(write(tmp_path, text))
    assert words in str(caught.value)
    assert caught.value.fix


def test_hidden_checks_in_the_student_package_are_refused(tmp_path: Path) -> None:
    text = f"hidden = '{ROOT}/lab_utils/checks'"
    with pytest.raises(LabError, match="part of the student package"):
        load_plan(write(tmp_path, text))


def test_a_plan_of_one_lab_takes_only_its_hidden_checks(tmp_path: Path) -> None:
    text = "hidden = 'hidden'\n[labs.02]\n"
    plan = load_plan(write(tmp_path, text, one=check("1.5.1"), two=check("2.2.1", "write_config")))
    assert [lab.lab for lab in plan.labs] == ["02"]
    assert [one.lab for one in plan.hidden_checks] == ["02"]


def test_a_missing_plan_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="There is no plan"):
        load_plan(tmp_path / "course.toml")
    assert CoursePlan().title
