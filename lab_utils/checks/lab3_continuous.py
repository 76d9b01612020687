"""Checkpoint 3.11: decode steps of static and of continuous batches, counted."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

from lab_utils.checks.judging import judge_values, number
from lab_utils.progress.context import LabContext
from lab_utils.progress.registry import Verdict, checkpoint, passed

Case = tuple[list[int], int]


def _batches(lengths: Sequence[int], slots: int) -> list[Sequence[int]]:
    return [lengths[start : start + slots] for start in range(0, len(lengths), slots)]


def static_steps(lengths: Sequence[int], slots: int) -> int:
    """Decode steps when a batch lasts until its longest answer is done."""
    return sum(max(batch) for batch in _batches(lengths, slots))


def idle_share(lengths: Sequence[int], slots: int) -> float:
    """Share of the rows of all static decode steps whose token nobody wants, between 0 and 1."""
    return 1 - sum(lengths) / sum(len(batch) * max(batch) for batch in _batches(lengths, slots))


def continuous_steps(lengths: Sequence[int], slots: int) -> int:
    """Decode steps when a free slot takes the next request at once, found by playing it through."""
    waiting, active, steps = deque(lengths), list[int](), 0
    while waiting or active:
        while waiting and len(active) < slots:
            active.append(waiting.popleft())
        steps += 1
        active = [left - 1 for left in active if left > 1]
    return steps


def _whole_batches(lengths: Sequence[int], slots: int) -> list[Sequence[int]]:
    return [batch for batch in _batches(lengths, slots) if len(batch) == slots]


def _fixed_slots(lengths: Sequence[int], slots: int) -> int:
    return max(sum(lengths[slot::slots]) for slot in range(slots))


_STATIC = {
    "A batch lasts as long as its *longest* answer: `max` of each batch.": lambda lengths, slots: sum(
        min(batch) for batch in _batches(lengths, slots)
    ),
    "A batch makes one token per request in each step: do not add up the lengths in it.": (
        lambda lengths, slots: sum(lengths)
    ),
    "Sorting first is another scheduler. Requests are batched in the order in which they came.": (
        lambda lengths, slots: static_steps(sorted(lengths), slots)
    ),
    "Longest first is another scheduler. Requests are batched in the order in which they came.": (
        lambda lengths, slots: static_steps(sorted(lengths, reverse=True), slots)
    ),
    "The last batch may be smaller than `slots`: its requests want an answer too.": (
        lambda lengths, slots: sum(max(batch) for batch in _whole_batches(lengths, slots))
    ),
    "That is the number of batches times the longest answer of all. Each batch has a longest of its own.": (
        lambda lengths, slots: len(_batches(lengths, slots)) * max(lengths)
    ),
}

_CONTINUOUS = {
    "That is the static count. Here a slot is free again as soon as its own request is done.": static_steps,
    "Total divided by slots is a bound from below: at the end slots stand empty, and one request cannot be "
    "spread over two slots.": lambda lengths, slots: -(-sum(lengths) // slots),
    "No slot has a list of its own: the next request goes to the slot that is free first.": _fixed_slots,
    "The queue is first come, first served: do not sort the lengths.": (
        lambda lengths, slots: continuous_steps(sorted(lengths), slots)
    ),
    "First come, first served: putting the longest first needs lengths that nobody knows beforehand.": (
        lambda lengths, slots: continuous_steps(sorted(lengths, reverse=True), slots)
    ),
    "The longest answer alone is a bound from below: the others need slots too.": (
        lambda lengths, slots: max(lengths)
    ),
    "A request takes one step per token, no step more to leave its slot.": (
        lambda lengths, slots: continuous_steps([length + 1 for length in lengths], slots)
    ),
}

_IDLE = {
    "That is the share that is of use. Idle is the rest.": lambda lengths, slots: (
        1 - idle_share(lengths, slots)
    ),
    "Divide by all rows of all steps, not by the useful ones alone.": lambda lengths, slots: (
        1 / (1 - idle_share(lengths, slots)) - 1
    ),
    "A smaller last batch has fewer rows: count `len(batch)`, not `slots`.": lambda lengths, slots: (
        1 - sum(lengths) / (slots * static_steps(lengths, slots))
    ),
    "The mean over batches counts a short batch like a long one. Add up rows first, then divide.": (
        lambda lengths, slots: (
            sum(1 - sum(b) / (len(b) * max(b)) for b in _batches(lengths, slots))
            / len(_batches(lengths, slots))
        )
    ),
    "A share is between 0 and 1, not in percent.": lambda lengths, slots: 100 * idle_share(lengths, slots),
}


def _cases(ctx: LabContext) -> list[Case]:
    """Lists of lengths on which every plausible mistake gives another number."""
    slots = int(ctx.rng.integers(3, 6))
    equal = [int(ctx.rng.integers(5, 20))] * (2 * slots)
    few = [int(n) for n in ctx.rng.integers(3, 30, slots - 1)]
    cases = [(equal, slots), ([7, 30, 11], 1), (few, slots)]
    for _ in range(4):  # heavy-tailed, unordered, with a last batch that is not full
        lengths = 4 + ctx.rng.pareto(1.2, 5 * slots - 1).clip(0, 15) * 10
        cases.append(([*(int(n) for n in lengths)], slots))
    return cases


def _show(lengths: Sequence[int], slots: int) -> str:
    return f"answers of {', '.join(map(str, lengths))} tokens in {slots} slots"


@checkpoint(
    "3.11", title="Count the steps of static and continuous batching", points=4, minutes=8, difficulty=2,
    answers=("static_steps", "continuous_steps", "idle_share"), needs_server=False,
)  # fmt: skip
def check_continuous(ctx: LabContext, answers: Mapping[str, Any]) -> Verdict:
    """Fresh lists of lengths; the truth is played through step by step."""
    cases = _cases(ctx)
    static = judge_values(
        ctx, answers["static_steps"], cases, static_steps, _STATIC, read=number, show=_show,
        otherwise="Cut the list into batches of `slots`; each lasts as long as its longest answer.",
        hints={r"range\(\) arg 3|slice step": "A batch begins every `slots` requests."},
    )  # fmt: skip
    continuous = judge_values(
        ctx, answers["continuous_steps"], cases, continuous_steps, _CONTINUOUS, read=number, show=_show,
        otherwise="Keep for each slot the step at which it is free. The next request goes to the smallest; "
        "the largest at the end is the answer.",
    )  # fmt: skip
    judge_values(
        ctx, answers["idle_share"], cases, idle_share, _IDLE, read=number, show=_show,
        otherwise="Rows that were computed: for each batch its size times its longest answer. Rows that were "
        "wanted: the sum of the lengths.",
    )  # fmt: skip
    gain = sum(static[3:]) / sum(continuous[3:])
    return passed(
        f"the counts are right; on these heavy-tailed lengths static batching needs {gain:.1f} times as many "
        "steps",
        static=[int(steps) for steps in static],
        continuous=[int(steps) for steps in continuous],
    )
