"""From verdicts to a grade: the plan's points, parts of them, lateness, weights. Pure arithmetic.

It comes after the runs, so that a changed weight or deadline needs no notebook to run again.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from lab_utils.grading.plan import CoursePlan, LabPlan, Late, Partial
from lab_utils.grading.results import Cause, ExerciseResult, LabResult, SubmissionResult
from lab_utils.progress.registry import Checkpoint, Status


@dataclass(frozen=True)
class LabGrade:
    """One lab's grade.

    Attributes:
        result: What the run found, with the plan's points and the lateness in it.
        weight: The lab's share of the whole, relative to the others.
        possible: Points that could be reached.
        deduction: Points taken off for lateness.
        late_share: Which share of the points reached that is, 0 to 1.
        submitted: When it was handed in, as far as it is known.
    """

    result: LabResult
    weight: float
    possible: float
    deduction: float = 0.0
    late_share: float = 0.0
    submitted: datetime | None = None

    @property
    def score(self) -> float:
        """Points that count."""
        return round(self.result.earned - self.deduction, 2)

    @property
    def reason_of_deduction(self) -> str:
        """How the deduction is counted, in words; empty when nothing is taken off."""
        if not self.result.late:
            return ""
        days = math.ceil(self.result.late / 24)
        share = f"{100 * self.late_share:.4g} %"
        return f"{days} {'day' if days == 1 else 'days'} begun; that is {share} of the points"

    @property
    def note(self) -> str:
        """What a teacher should know, in words that are the same in every run; usually empty."""
        words = [str(self.result.cause)] if self.result.cause else []
        if self.result.late:
            words.append("late")
        return " ".join(words)


@dataclass(frozen=True)
class StudentGrade:
    """A student's grade.

    Attributes:
        student: The student's name.
        labs: One for each lab of the plan, in order.
        problem: What is wrong with the submission as a whole; empty when nothing is.
    """

    student: str
    labs: tuple[LabGrade, ...]
    problem: str = ""

    @property
    def score(self) -> float:
        """Points that count, of all labs."""
        return round(sum(lab.score for lab in self.labs), 2)

    @property
    def possible(self) -> float:
        """Points that could be reached."""
        return round(sum(lab.possible for lab in self.labs), 2)

    @property
    def percent(self) -> float:
        """The grade: the labs' shares by their weights. A lab of which nothing could be asked is left out."""
        counted = [lab for lab in self.labs if lab.possible > 0]
        weights = sum(lab.weight for lab in counted)
        if not weights:
            return 0.0
        return round(100 * sum(lab.weight * lab.score / lab.possible for lab in counted) / weights, 2)

    @property
    def confined(self) -> bool:
        """Whether every run was in a sandbox."""
        return all(lab.result.confined for lab in self.labs)

    def as_dict(self) -> dict[str, Any]:
        """The grade as JSON values."""
        return {
            "student": self.student,
            "percent": self.percent,
            "points": self.score,
            "possible": self.possible,
            "problem": self.problem,
            "labs": [
                {
                    **lab.result.as_dict(),
                    "weight": lab.weight,
                    "earned": lab.result.earned,
                    "possible": lab.possible,
                    "deduction": lab.deduction,
                    "score": lab.score,
                    "submitted": lab.submitted.isoformat() if lab.submitted else None,
                }
                for lab in self.labs
            ],
        }


def grade(
    result: SubmissionResult, plan: CoursePlan, submitted: dict[str, datetime] | None = None
) -> StudentGrade:
    """Apply the plan to what the runs found.

    Args:
        result: The verdicts of a student.
        plan: What counts how much.
        submitted: When each lab was handed in; a lab that is not in it counts as in time.
    """
    by_lab = {lab.lab: lab for lab in result.labs}
    grades = []
    for planned in plan.labs:
        found = by_lab.get(planned.lab) or not_handed_in(plan, planned.lab)
        grades.append(_lab_grade(found, planned, plan, (submitted or {}).get(planned.lab)))
    return StudentGrade(result.student, tuple(grades), result.problem)


def no_answer(
    plan: CoursePlan, lab: str, cause: Cause, reason: str, next_step: str, *, confined: bool = True
) -> LabResult:
    """The result of a lab that could not be run: each checkpoint is a FAIL with the reason."""
    checks = plan.checks(lab)
    hidden = {one.id for one in plan.hidden_checks}
    exercises = tuple(
        ExerciseResult(
            one.id,
            one.title,
            one.points,
            0.0,
            Status.FAIL,
            expected="a notebook of this lab that can be run",
            found=reason,
            next_step=next_step,
            hidden=one.id in hidden,
        )
        for one in checks
    )
    return LabResult(lab, _title(lab), exercises, False, reason, cause, confined=confined)


def not_handed_in(plan: CoursePlan, lab: str, why: str = "") -> LabResult:
    """The result of a lab without a notebook."""
    reason = f"no notebook of this lab was handed in{f' ({why})' if why else ''}"
    return no_answer(plan, lab, Cause.MISSING, reason, "Hand in the lab's notebook: `triton-lab submit`.")


def _title(lab: str) -> str:
    from lab_utils.progress.labs import lab_spec

    return lab_spec(lab).title


def _lab_grade(result: LabResult, planned: LabPlan, plan: CoursePlan, submitted: datetime | None) -> LabGrade:
    found = {one.id: one for one in result.exercises}
    exercises = tuple(_exercise(check, found.get(check.id), plan) for check in plan.checks(planned.lab))
    hours = lateness(planned.deadline, submitted, plan.late)
    result = replace(result, exercises=exercises, late=hours)
    everything = round(sum(one.points for one in exercises), 2)
    share = late_share(hours, plan.late)
    return LabGrade(
        result=result,
        weight=planned.weight if planned.weight is not None else everything,
        possible=everything if plan.skip_counts else result.possible,
        deduction=round(result.earned * share, 2),
        late_share=share,
        submitted=submitted,
    )


def _exercise(check: Checkpoint, found: ExerciseResult | None, plan: CoursePlan) -> ExerciseResult:
    """One result with the plan's points. A checkpoint that the run says nothing of is a FAIL."""
    points = plan.points_of(check)
    if found is None:
        return ExerciseResult(
            check.id,
            check.title,
            points,
            0.0,
            Status.FAIL,
            expected=f"a verdict of the check {check.id}",
            found="the run gave none",
            next_step="Run the notebook from its first cell to its last.",
            hidden=check in plan.hidden_checks,
        )
    if found.status is Status.PASS:
        share = 1.0
    elif found.status is Status.FAIL:
        own = found.earned / found.points if found.points and plan.partial_credit else 0.0
        share = max([own, *(one.credit for one in plan.partial if is_mistake(one, found))])
    else:
        share = 0.0
    return replace(found, points=points, earned=round(points * share, 2))


def is_mistake(partial: Partial, found: ExerciseResult) -> bool:
    """Whether a verdict gave the advice of this mistake."""
    return bool(partial.exercise == found.id and partial.next_step.split() == found.next_step.split())


def lateness(deadline: datetime | None, submitted: datetime | None, late: Late) -> float:
    """Hours after the deadline; 0 in time, within the grace time, or when a moment is not known."""
    if deadline is None or submitted is None:
        return 0.0
    over = submitted - deadline
    if over <= timedelta(minutes=late.grace_minutes):
        return 0.0
    return round(over.total_seconds() / 3600, 2)


def late_share(hours: float, late: Late) -> float:
    """Which share of the points so many hours cost."""
    if hours <= 0:
        return 0.0
    days = hours / 24
    if late.closed_after_days is not None and days > late.closed_after_days:
        return 1.0
    return min(late.most, late.per_day * math.ceil(days))
