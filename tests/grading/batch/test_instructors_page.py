"""docs/instructors.md and examples/instructors say what is so."""

from __future__ import annotations

import re
import shlex
import tomllib

import typer

from lab_utils.cli import app
from lab_utils.grading.limits import Limits
from lab_utils.grading.plan import RunLimits, load_plan
from lab_utils.grading.results import Cause
from tests.grading.batch.made import ROOT

PAGE = (ROOT / "docs" / "instructors.md").read_text()
EXAMPLE = ROOT / "examples" / "instructors"


def test_every_command_on_the_page_exists_with_its_options() -> None:
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    lines = re.findall(
        r"^triton-lab [^\n#]*", "\n".join(re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)), re.M
    )
    assert len(lines) >= 5
    for line in lines:
        _, name, *words = shlex.split(line)
        known = {option for one in commands[name].params for option in one.opts}
        assert {word for word in words if word.startswith("--")} <= known, line
    for name, option in (("grade", "--no-sandbox"), ("grade", "--jobs"), ("grade", "--roster")):
        assert option in PAGE
        assert option in {text for one in commands[name].params for text in one.opts}


def test_every_cause_is_named() -> None:
    sentence = PAGE[PAGE.index("The column `note`") : PAGE.index("`late` and `missing` are facts")]
    assert set(re.findall(r"`([a-z ]+)`", sentence)) == {
        *(str(cause) for cause in Cause if cause),
        *("note", "late"),
    }


def test_the_hidden_check_on_the_page_is_the_one_of_the_example() -> None:
    (block,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert block in (EXAMPLE / "hidden" / "one_image.py").read_text()


def test_the_example_shows_every_key_that_a_plan_knows() -> None:
    raw = tomllib.loads((EXAMPLE / "course.toml").read_text().replace("# threads", "threads"))
    assert set(raw) == {
        *("title", "timezone", "times", "hidden", "skip", "partial_credit"),
        *("labs", "late", "points", "partial", "limits"),
    }
    assert set(raw["late"]) == {"grace_minutes", "per_day", "most", "closed_after_days"}
    assert set(raw["partial"][0]) == {"exercise", "next_step", "credit"}
    assert {key for lab in raw["labs"].values() for key in lab} == {"weight", "deadline", "canvas"}
    assert set(raw["limits"]) == set(vars(RunLimits()))


def test_the_limits_in_the_example_are_the_defaults() -> None:
    assert Limits.of(load_plan(EXAMPLE / "course.toml").limits) == Limits()


def test_the_table_of_times_on_the_page_is_the_one_of_the_example() -> None:
    assert f"```\n{(EXAMPLE / 'times.csv').read_text()}```" in PAGE
