"""Running one checkpoint: names, errors of the check, limits, a server that dies meanwhile."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lab_utils.errors import LabError
from lab_utils.lab import Lab
from lab_utils.progress import runner
from lab_utils.progress.context import LabContext
from lab_utils.progress.registry import Checkpoint, Status, Verdict, passed, skipped
from lab_utils.progress.runner import run_checkpoint


def serverless(function: Callable[..., Any]) -> Checkpoint:
    return Checkpoint("90.8", "no server", 1, 1, 1, ("classify_http",), function, needs_server=False)


def run(function: Callable[..., Any], namespace: dict[str, Any] | None = None) -> Verdict:
    return run_checkpoint(serverless(function), LabContext.of("90"), namespace or {"classify_http": 1})


def test_a_missing_name_is_named_with_the_nearest(own_work: Path) -> None:
    verdict = run(lambda ctx, answers: passed("no"), {"clasify_http": 1, "_": 2})
    assert verdict.status is Status.FAIL
    assert "`classify_http` (there is `clasify_http`)" in verdict.found


def test_a_function_of_the_course_is_no_answer(own_work: Path) -> None:
    from lab_utils.checks.lab3_figures import ttft
    from lab_utils.models.build import build_models

    for borrowed in (ttft, build_models, LabContext):
        verdict = run(lambda ctx, answers: passed("no"), {"classify_http": borrowed})
        assert verdict.status is Status.FAIL
        assert "the course's own" in verdict.found
    ours = LabContext.of("90")  # what a student made with the course's classes is theirs
    assert run(lambda ctx, answers: passed("yes"), {"classify_http": ours}).passed


def test_only_the_named_answers_are_handed_over(own_work: Path) -> None:
    seen: dict[str, Any] = {}

    def check(ctx: LabContext, answers: dict[str, Any]) -> Verdict:
        seen.update(answers)
        assert ctx.server is None
        return passed("yes")

    assert run(check, {"classify_http": 5, "other": 6}).passed
    assert seen == {"classify_http": 5}


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda ctx, answers: 1 / 0, "ZeroDivisionError"),
        (lambda ctx, answers: exit(0), "SystemExit"),
        (lambda ctx, answers: None, "returned NoneType, not a verdict"),
        (lambda ctx, answers: True, "returned bool, not a verdict"),
        (lambda ctx, answers: Verdict(Status.FAIL), "without a next step"),
        (lambda ctx, answers: Verdict("PASS"), "not a verdict"),
    ],
)
def test_a_check_that_breaks_is_never_pass(own_work: Path, function: Callable[..., Any], words: str) -> None:
    verdict = run(function)
    assert verdict.status is Status.FAIL
    assert words in verdict.found
    assert verdict.next_step


def test_an_error_of_the_library_keeps_its_mend(own_work: Path) -> None:
    def check(ctx: LabContext, answers: dict[str, Any]) -> Verdict:
        raise LabError("the cup is empty", why="somebody drank", fix="Fill it.")

    verdict = run(check)
    assert verdict.found == "the cup is empty (somebody drank)"
    assert verdict.next_step == "Fill it."


def test_skip_stays_skip(own_work: Path) -> None:
    assert run(lambda ctx, answers: skipped("no GPU", "get one")).status is Status.SKIP


def test_a_check_that_hangs_is_a_fail(own_work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "CHECK_SECONDS", 0.2)
    verdict = run(lambda ctx, answers: time.sleep(3))
    assert verdict.status is Status.FAIL
    assert "ends within 0.2 s" in verdict.expected


def test_trouble_while_cleaning_up_does_not_change_the_verdict(own_work: Path) -> None:
    def check(ctx: LabContext, answers: dict[str, Any]) -> Verdict:
        ctx.later(lambda: 1 / 0)
        return passed("yes")

    verdict = run(check)
    assert verdict.passed
    assert "ZeroDivisionError" in verdict.evidence["cleanup"]


@pytest.mark.live
def test_a_server_that_dies_during_the_check_is_the_reason(lab: Lab) -> None:
    def check(ctx: LabContext, answers: dict[str, Any]) -> Verdict:
        os.kill(ctx.need_server().pid, signal.SIGKILL)
        time.sleep(0.5)
        ctx.get("/v2/health/ready").raise_for_status()
        return passed("no")

    one = Checkpoint("90.7", "dies", 1, 1, 1, ("x",), check)
    verdict = run_checkpoint(one, LabContext.of("90"), {"x": 1})
    assert verdict.status is Status.FAIL
    assert verdict.found.startswith("during the check: ")
    assert "SIGKILL" in verdict.found
