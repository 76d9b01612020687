"""From the story of a run to the result of a lab: one verdict for each check, whatever happened."""

from __future__ import annotations

from lab_utils.grading.hidden import exercise_of
from lab_utils.grading.listening import Story
from lab_utils.grading.plan import CoursePlan
from lab_utils.grading.results import Cause, ExerciseResult, LabResult
from lab_utils.progress.labs import LabSpec
from lab_utils.progress.registry import Checkpoint, Status, Verdict, failed

_AGAIN = "Restart the kernel, run all cells, mend what stops, then check the lab: `triton-lab check`."


def result_of(spec: LabSpec, plan: CoursePlan, story: Story, seconds: float, *, confined: bool) -> LabResult:
    """The result of one run.

    A run that does not reach its end earns no points, whatever had passed before: what cannot be run
    from top to bottom cannot be graded. The words of its verdicts stay in the reasons.
    """
    cause, reason = _end_of(story)
    hidden = {one.id for one in plan.hidden_checks}
    exercises = []
    for one in plan.checks(spec.number):
        verdict = _verdict(one, story, cause, reason)
        exercises.append(ExerciseResult.of(one, verdict, hidden=one.id in hidden))
    return LabResult(
        lab=spec.number,
        title=spec.title,
        exercises=tuple(exercises),
        finished=cause is Cause.NONE,
        reason=reason,
        cause=cause,
        changes=story.changes,
        seconds=seconds,
        confined=confined,
    )


def _end_of(story: Story) -> tuple[Cause, str]:
    """Why a run did not come to its end; nothing when it did."""
    if story.overrun is not None:
        return story.overrun.cause, f"The run was ended: it took {story.overrun.reason}."
    if story.unfit:
        cause = Cause.FOREIGN if story.why == "foreign" else Cause.UNREADABLE
        return cause, f"It was not run: {story.unfit}" + (
            f" ({story.why})." if story.why and story.why != "foreign" else "."
        )
    if story.crash:
        return Cause.INTERNAL, f"The judge failed: {story.crash.strip().splitlines()[-1]}"
    if not story.ended:
        return Cause.KILLED, "The run ended without a word: something in the notebook ended its judge."
    if story.finished:
        return Cause.NONE, ""
    if story.timed_out:
        return Cause.TIME, story.reason
    return (Cause.KERNEL if story.kernel_died else Cause.ERROR), story.reason


def _verdict(one: Checkpoint, story: Story, cause: Cause, reason: str) -> Verdict:
    verdict = story.verdicts.get(one.id)
    if cause is not Cause.NONE:
        before = f"this exercise gave {verdict.status}, but the run did not finish. " if verdict else ""
        if verdict is not None and verdict.status is Status.FAIL:
            return _without_credit(verdict)
        return failed(
            expected="the notebook runs from its first cell to its last",
            found=f"{before}{reason}",
            next_step=_AGAIN,
        )
    if verdict is not None:
        return verdict
    exercise = exercise_of(one.id)
    if exercise in story.in_checks:
        return failed(
            expected=f'the cell `lab.check("{exercise}")` gives a verdict',
            found=story.in_checks[exercise],
            next_step="Mend the first cell that fails; `lab` must be the one of the start cell.",
        )
    return failed(
        expected=f'the cell `lab.check("{exercise}")` gives a verdict',
        found="it ran, but the judge was not asked",
        next_step="See that `lab` is the one of the start cell, and that nothing changes its `check`.",
    )


def _without_credit(verdict: Verdict) -> Verdict:
    """The words of a FAIL in a run that did not finish; a part of the points is not given either."""
    evidence = {name: value for name, value in verdict.evidence.items() if name != "credit"}
    return failed(expected=verdict.expected, found=verdict.found, next_step=verdict.next_step, **evidence)
