"""Pages and tables of a batch: what they say, what they keep to themselves, and what they never run."""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from lab_utils.grading.analysis import analyse, hardest
from lab_utils.grading.plan import CoursePlan, LabPlan, Partial, load_plan
from lab_utils.grading.results import ExerciseResult, LabResult
from lab_utils.progress.labs import LABS
from lab_utils.progress.registry import failed
from tests.grading.batch.made import ROOT, TextRunner, class_of, graded, table


def test_a_name_is_never_a_formula_nor_a_page_a_script(tmp_path: Path) -> None:
    name = "=HYPERLINK(1)<script>alert(1)<"
    class_ = class_of(tmp_path / "class", {name: "wrong", "@x": "right"})
    graded(class_, tmp_path / "out", CoursePlan(labs=(LabPlan("01"),)), formats=["canvas", "nbgrader"])
    for file in ("grades.csv", "canvas.csv", "nbgrader.csv"):
        for row in csv.reader(io.StringIO((tmp_path / "out" / file).read_text())):
            assert not any(re.match(r"[=+\-@]", cell) for cell in row)
    for page in (tmp_path / "out").rglob("*.html"):
        text = page.read_text()
        assert "<script" not in text
        assert "<b>an answer" not in text
        assert "default-src 'none'" in text


def test_words_of_any_kind_and_length_can_be_written(tmp_path: Path) -> None:
    """A student's function may return half a character, a million of them, or what ends a page."""
    plan = CoursePlan(labs=(LabPlan("01"),))
    inner = TextRunner(plan)
    odd = "\ud800 \x00 \x1b[31m </dd></html> {{ 7 * 7 }} " + "long" * 250_000

    def runner(lab: str, path: Path) -> tuple[LabResult, bytes | None]:
        result, executed = inner(lab, path)
        verdict = failed(expected=odd, found=odd, next_step=odd)
        exercises = [ExerciseResult.of(one, verdict) for one in plan.checks(lab)]
        return replace(result, exercises=tuple(exercises), reason=odd, changes=(odd,)), executed

    graded(class_of(tmp_path / "class", {"ann": "wrong"}), tmp_path / "out", plan, runner)
    for path in (tmp_path / "out").rglob("*.*"):
        if path.suffix in (".html", ".csv"):
            text = path.read_text(encoding="utf-8")
            assert len(text) < 300_000, path
            assert "{{ 7" in text or path.name in ("grades.csv", "index.html")
            assert "\x1b" not in text
    again, _ = graded(tmp_path / "class", tmp_path / "out", plan, runner)
    assert again.kept == 1


def test_a_report_says_what_was_expected_found_and_what_to_do(class_: Path, tmp_path: Path) -> None:
    graded(class_, tmp_path / "out")
    page = (tmp_path / "out" / "students" / "cid" / "report.html").read_text()
    assert page.count('<span class="status PASS">PASS</span>') == 11
    for words in ("&lt;b&gt;an answer&lt;/b&gt;", "found half", "write <code>it</code>", "1.2 · "):
        assert words in page
    assert f'href="{LABS["01"].notebook}.ipynb"' in page
    executed = tmp_path / "out" / "students" / "cid" / f"{LABS['01'].notebook}.ipynb"
    assert json.loads(executed.read_text()) == {"ran": "01"}
    late = (tmp_path / "out" / "students" / "dan" / "report.html").read_text()
    assert "it was at cell 7" in late
    lost = (tmp_path / "out" / "students" / "jon" / "report.html").read_text()
    assert "no notebook of this lab was handed in" in lost
    assert "the executed notebook" not in lost
    index = (tmp_path / "out" / "index.html").read_text()
    for link in re.findall(r'href="([^"]+)"', index):
        assert (tmp_path / "out" / link).is_file(), link


def test_a_part_of_the_points_is_said(tmp_path: Path) -> None:
    plan = CoursePlan(labs=(LabPlan("01"),), partial=(Partial("1.5", "write `it`", 0.5),))
    graded(class_of(tmp_path / "class", {"ann": "wrong"}), tmp_path / "out", plan)
    page = (tmp_path / "out" / "students" / "ann" / "report.html").read_text()
    assert page.count("A part of the points is given for this mistake.") == 1


def test_a_hidden_check_is_named_but_not_told_in_the_students_report(tmp_path: Path) -> None:
    class_ = class_of(tmp_path / "class", {"bob": "wrong"})
    (tmp_path / "course.toml").write_text(f"hidden = '{ROOT}/examples/instructors/hidden'\n[labs.01]\n")
    plan = load_plan(tmp_path / "course.toml")
    graded(class_, tmp_path / "out", plan)

    def row(page: str) -> str:
        text = (tmp_path / "out" / "students" / "bob" / page).read_text()
        return text[text.index("1.5.1 ·") : text.index("1.6 ·")]

    assert "One image alone" in row("report.html")
    assert "found wrong" not in row("report.html")
    assert "found wrong" in row("teacher.html")
    assert "1.5.1" in table(tmp_path / "out" / "grades.csv")[0]


def test_the_item_analysis_says_what_to_teach_again(class_: Path, tmp_path: Path) -> None:
    graded(class_, tmp_path / "out")
    students = json.loads((tmp_path / "out" / "grades.json").read_text())["students"]
    items = {one.id: one for one in analyse(students)}
    second = items["1.2"]  # ann and gus right; bob, cid, dan, fay wrong; eve could not be run
    assert (second.passed, second.failed, second.skipped) == (2, 4, 0)
    assert second.rate == pytest.approx(33.3)
    assert second.mistakes[0].count == 4
    assert second.mistakes[0].next_step == "write `it`"
    assert (items["1.1"].passed, items["1.1"].skipped) == (3, 1)
    assert items["1.1"].uneven
    assert not second.uneven
    assert hardest(list(items.values()))[0].rate == min(one.rate or 0.0 for one in items.values())
    first = table(tmp_path / "out" / "items.csv")[1]
    assert (first["id"], first["passed"], first["how often"]) == ("1.2", "2", "4")
