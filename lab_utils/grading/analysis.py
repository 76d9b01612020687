"""Item analysis: what a class can do and what has to be taught again, checkpoint by checkpoint."""

from __future__ import annotations

import csv
import io
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lab_utils.grading.formats import safe_cell
from lab_utils.grading.results import Cause
from lab_utils.progress.registry import Status

_UNSOLVED = "not solved yet"
_RUN_FAULTS = (Cause.MISSING, Cause.FOREIGN, Cause.UNREADABLE, Cause.INTERNAL)


@dataclass(frozen=True)
class Mistake:
    """A message of a checkpoint, with how many students got it.

    Attributes:
        count: How many.
        expected: What the check expects there.
        next_step: Its advice, word for word: the name of the mistake for `[[partial]]` in a plan.
        example: What was found in the first student's answer.
    """

    count: int
    expected: str
    next_step: str
    example: str


@dataclass(frozen=True)
class Item:
    """One checkpoint over a class.

    Attributes:
        id, title, hidden: The checkpoint.
        passed, failed, unsolved, skipped: How many students; `unsolved` still had the stub.
        stopped: How many runs ended before this check, by cause.
        mistakes: The messages of those who failed, the commonest first.
    """

    id: str
    title: str
    hidden: bool
    passed: int
    failed: int
    unsolved: int
    skipped: int
    stopped: Mapping[str, int]
    mistakes: tuple[Mistake, ...]

    @property
    def judged(self) -> int:
        """How many were judged, PASS or FAIL, of those who handed the lab in."""
        return self.passed + self.failed + self.unsolved + sum(self.stopped.values())

    @property
    def rate(self) -> float | None:
        """Share that passed, in percent; None when nobody was judged."""
        return round(100 * self.passed / self.judged, 1) if self.judged else None

    @property
    def uneven(self) -> bool:
        """SKIP for some and judged for others: on one machine that is worth a look."""
        return 0 < self.skipped < self.skipped + self.judged

    def as_dict(self) -> dict[str, Any]:
        """The item as JSON values."""
        return {
            **{name: value for name, value in vars(self).items() if name not in ("mistakes", "stopped")},
            "stopped": dict(self.stopped),
            "rate": self.rate,
            "mistakes": [vars(one) for one in self.mistakes],
        }


def analyse(students: Iterable[Mapping[str, Any]]) -> list[Item]:
    """The items of a batch.

    Args:
        students: The students of `grades.json`. A lab that somebody did not hand in does not count:
            it says nothing about its checkpoints.
    """
    titles: dict[str, tuple[str, bool]] = {}
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    stopped: dict[str, Counter[str]] = defaultdict(Counter)
    messages: dict[str, dict[tuple[str, str], list[str]]] = defaultdict(lambda: defaultdict(list))
    for student in students:
        for lab in student["labs"]:
            for one in lab["exercises"]:
                id = one["id"]
                titles[id] = (one["title"], one["hidden"])
                if lab["cause"] in _RUN_FAULTS:
                    continue
                if one["status"] != Status.FAIL:
                    counts[id][one["status"]] += 1
                elif one["found"].startswith(_UNSOLVED):
                    counts[id]["unsolved"] += 1
                elif lab["reason"] and lab["reason"] in one["found"]:
                    stopped[id][lab["cause"] or str(Cause.ERROR)] += 1
                else:
                    counts[id]["failed"] += 1
                    messages[id][one["expected"], one["next_step"]].append(one["found"])
    return [
        Item(
            id,
            title,
            hidden,
            passed=counts[id][Status.PASS],
            failed=counts[id]["failed"],
            unsolved=counts[id]["unsolved"],
            skipped=counts[id][Status.SKIP],
            stopped=dict(sorted(stopped[id].items())),
            mistakes=_mistakes(messages[id]),
        )
        for id, (title, hidden) in titles.items()
    ]


def hardest(items: Sequence[Item], most: int = 5) -> list[Item]:
    """The checkpoints that fewest passed, of those that not everybody passed."""
    weak = [one for one in items if one.rate is not None and one.rate < 100]
    return sorted(weak, key=lambda one: (one.rate or 0.0, one.id))[:most]


def items_csv(items: Sequence[Item]) -> str:
    """One row per checkpoint, with the commonest message."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    header = ["id", "title", "percent passed", "passed", "failed", "unsolved", "stopped", "time-outs"]
    writer.writerow([*header, "skipped", "commonest message", "how often"])
    for one in items:
        first = one.mistakes[0] if one.mistakes else None
        writer.writerow(
            [one.id, one.title, "" if one.rate is None else f"{one.rate:g}", one.passed, one.failed]
            + [one.unsolved, sum(one.stopped.values()), one.stopped.get(str(Cause.TIME), 0), one.skipped]
            + ([safe_cell(first.next_step), first.count] if first else ["", 0])
        )
    return out.getvalue()


def _mistakes(found: Mapping[tuple[str, str], Sequence[str]]) -> tuple[Mistake, ...]:
    mistakes = [
        Mistake(len(examples), expected, next_step, examples[0])
        for (expected, next_step), examples in found.items()
    ]
    return tuple(sorted(mistakes, key=lambda one: (-one.count, one.next_step, one.expected)))
