"""What grading finds: one exercise, one lab, one student. Plain values that go to JSON and come back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from lab_utils.progress.registry import Checkpoint, Status, Verdict

_MOST_WORDS = 4000


class Cause(StrEnum):
    """Why a lab's run gave no full answer. A word that is the same in every run, unlike a reason in words."""

    NONE = ""
    MISSING = "missing"
    FOREIGN = "foreign"
    UNREADABLE = "unreadable"
    TIME = "time"
    MEMORY = "memory"
    PROCESSES = "processes"
    DISK = "disk"
    KERNEL = "kernel died"
    ERROR = "error"
    KILLED = "killed"
    INTERNAL = "internal"


@dataclass(frozen=True)
class ExerciseResult:
    """What one checkpoint said in a graded run.

    Attributes:
        id: Id of the exercise, `"1.5"`; a hidden check of it has one number more, `"1.5.1"`.
        title: The checkpoint's title.
        points: Points for a PASS.
        earned: Points of this run: all, none, or a part where the check or the plan gives a part.
        status: PASS, FAIL or SKIP. Nothing is open in a graded run: without a verdict it is FAIL.
        expected, found, next_step: The verdict's words. They may hold what a student's function returned.
        hidden: A hidden check: the student's report names it, but not what it asks.
    """

    id: str
    title: str
    points: float
    earned: float
    status: Status
    expected: str = ""
    found: str = ""
    next_step: str = ""
    hidden: bool = False

    @classmethod
    def of(cls, one: Checkpoint, verdict: Verdict, *, hidden: bool = False) -> ExerciseResult:
        """The result of a verdict. A check may give a part for a FAIL: `failed(..., credit=0.5)`."""
        share = 1.0 if verdict.passed else 0.0
        if verdict.status is Status.FAIL:
            share = _share(verdict.evidence.get("credit", 0.0))
        return cls(
            id=one.id,
            title=one.title,
            points=one.points,
            earned=round(one.points * share, 2),
            status=verdict.status,
            expected=_bounded(verdict.expected),
            found=_bounded(verdict.found),
            next_step=_bounded(verdict.next_step),
            hidden=hidden,
        )

    def as_dict(self) -> dict[str, Any]:
        """The result as JSON values."""
        return {**vars(self), "status": self.status.value}

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> ExerciseResult:
        """The result of `as_dict`."""
        return cls(**{**raw, "status": Status(raw["status"])})


@dataclass(frozen=True)
class LabResult:
    """What became of one lab's notebook.

    Attributes:
        lab: Two digits.
        title: The lab's title.
        exercises: One for each checkpoint, in order, hidden ones behind the exercise they belong to.
        finished: Every cell ran, and nothing was stopped.
        reason: Why not, in one sentence for a person; empty when it finished.
        cause: Why not, as a word that is the same in every run.
        changes: What was put back before the run (check cells, copies, order), one sentence each.
        seconds: Wall-clock time of the run.
        late: Hours after the deadline; 0 in time. The batch fills it in.
        confined: The run was in a sandbox. False after `--no-sandbox`.
    """

    lab: str
    title: str
    exercises: tuple[ExerciseResult, ...]
    finished: bool
    reason: str = ""
    cause: Cause = Cause.NONE
    changes: tuple[str, ...] = ()
    seconds: float = 0.0
    late: float = 0.0
    confined: bool = True

    @property
    def earned(self) -> float:
        """Points of this run, before any deduction."""
        return round(sum(one.earned for one in self.exercises), 2)

    @property
    def possible(self) -> float:
        """Points that this machine could ask for: those of a SKIP are not among them."""
        return round(sum(one.points for one in self.exercises if one.status is not Status.SKIP), 2)

    def as_dict(self) -> dict[str, Any]:
        """The result as JSON values."""
        return {
            **vars(self),
            "cause": self.cause.value,
            "changes": list(self.changes),
            "exercises": [one.as_dict() for one in self.exercises],
        }

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> LabResult:
        """The result of `as_dict`."""
        values = dict(raw)
        values["exercises"] = tuple(ExerciseResult.from_dict(one) for one in raw["exercises"])
        values["changes"] = tuple(str(change) for change in raw["changes"])
        values["cause"] = Cause(raw["cause"])
        return cls(**values)


@dataclass(frozen=True)
class SubmissionResult:
    """All labs of one student.

    Attributes:
        student: The student's name, as the submission is called.
        labs: One for each lab of the course, in order, also for those that were not handed in.
        problem: What is wrong with the submission as a whole; empty when nothing is.
    """

    student: str
    labs: tuple[LabResult, ...]
    problem: str = ""

    def as_dict(self) -> dict[str, Any]:
        """The result as JSON values."""
        return {
            "student": self.student,
            "problem": self.problem,
            "labs": [one.as_dict() for one in self.labs],
        }

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> SubmissionResult:
        """The result of `as_dict`."""
        labs = tuple(LabResult.from_dict(one) for one in raw["labs"])
        return cls(str(raw["student"]), labs, str(raw["problem"]))


@dataclass(frozen=True)
class SubmissionFiles:
    """What one student handed in, unpacked.

    Attributes:
        student: The student's name, as the folder, zip or notebook is called.
        notebooks: The notebook of each lab (`"01"`), recognised by its content.
        repository: The model repositories that they built, where the submission has them.
        problems: What was refused or left out, in words; never a reason to stop the batch.
        cause: Why a lab has no notebook: nothing came, something else came, or nothing could be read.
    """

    student: str
    notebooks: Mapping[str, Path] = field(default_factory=dict)
    repository: Path | None = None
    problems: tuple[str, ...] = ()
    cause: Cause = Cause.MISSING


def _bounded(text: str) -> str:
    """Words that hold what a student's function returned may be of any length."""
    return text if len(text) <= _MOST_WORDS else f"{text[:_MOST_WORDS]}…"


def _share(value: Any) -> float:
    """A part of the points, from 0 to less than 1: a FAIL never earns them all."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1:
        return 0.0
    return float(value)
