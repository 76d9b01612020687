"""Checkpoints: what one is, what it answers, and the one table that holds them all.

One registry drives the check cells, the panel, `triton-lab check`, grading and CI.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lab_utils.progress.context import LabContext


class Status(StrEnum):
    """The three possible answers of a checkpoint. SKIP is never PASS."""

    PASS = "PASS"
    FAIL = "FAIL"
    SKIP = "SKIP"


@dataclass(frozen=True)
class Verdict:
    """What a checkpoint says.

    Attributes:
        status: PASS, FAIL or SKIP.
        expected: What should be true, in one sentence.
        found: What is true instead (or what was proven, for a PASS).
        next_step: What the student does now. Never empty for FAIL and SKIP.
        evidence: Facts from the live server that the verdict rests on (JSON values only).
    """

    status: Status
    expected: str = ""
    found: str = ""
    next_step: str = ""
    evidence: Mapping[str, Any] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """True for PASS alone."""
        return self.status is Status.PASS

    def as_dict(self) -> dict[str, Any]:
        """The verdict as JSON values."""
        return {**asdict(self), "status": self.status.value, "evidence": dict(self.evidence)}


def passed(found: str, **evidence: Any) -> Verdict:
    """PASS, with what was proven and the facts it rests on."""
    return Verdict(Status.PASS, found=found, evidence=evidence)


def failed(*, expected: str, found: str, next_step: str, **evidence: Any) -> Verdict:
    """FAIL, with what was expected, what was found and the next step."""
    return Verdict(Status.FAIL, expected, found, next_step, evidence)


def skipped(reason: str, next_step: str, **evidence: Any) -> Verdict:
    """SKIP: this machine cannot do it. Says why, and how it could."""
    return Verdict(Status.SKIP, found=reason, next_step=next_step, evidence=evidence)


CheckFunction = Callable[["LabContext", Mapping[str, Any]], Verdict]


@dataclass(frozen=True)
class Checkpoint:
    """One exercise's check.

    Attributes:
        id: Stable id, `lab.exercise`, for example `"1.3"`.
        title: The exercise's name, the same as in its heading.
        points: Points for a PASS.
        minutes: Minutes the exercise takes a student who read the section.
        difficulty: 1 (follow the section), 2 (combine), 3 (find out).
        answers: Names the student must define in the notebook.
        function: Receives the lab context and the answers by name; returns a verdict.
        needs_server: True when the lab's own server must be proven alive before the check.
            With False, `ctx.server` is None.
    """

    id: str
    title: str
    points: int
    minutes: int
    difficulty: int
    answers: tuple[str, ...]
    function: CheckFunction
    needs_server: bool = True

    @property
    def lab(self) -> str:
        """The lab's two-digit number, for example `"01"`."""
        return f"{int(self.id.split('.')[0]):02d}"


_REGISTRY: dict[str, Checkpoint] = {}


def checkpoint(
    id: str,
    *,
    title: str,
    points: int,
    minutes: int,
    difficulty: int,
    answers: tuple[str, ...],
    needs_server: bool = True,
) -> Callable[[CheckFunction], CheckFunction]:
    """Register a check function. Refuses an id that is taken and numbers that make no sense."""
    if id in _REGISTRY:
        raise ValueError(f"checkpoint {id} is registered twice")
    if points < 1 or minutes < 1 or difficulty not in (1, 2, 3) or not answers:
        raise ValueError(f"checkpoint {id}: points, minutes, difficulty (1-3) and answers are all needed")

    def register(function: CheckFunction) -> CheckFunction:
        _REGISTRY[id] = Checkpoint(id, title, points, minutes, difficulty, answers, function, needs_server)
        return function

    return register


def checkpoints(lab: str) -> list[Checkpoint]:
    """The checkpoints of one lab (`"01"`), in the order of their numbers."""
    found = [c for c in _REGISTRY.values() if c.lab == lab]
    return sorted(found, key=lambda c: int(c.id.split(".")[1]))
