"""Which prompts are read before the next decode step. Plain arithmetic, no tensors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Plan:
    """What to read now.

    Attributes:
        start: Position in the queue of a long prompt to begin with, or None.
        chunk: Tokens of the long prompt to read now: of the one begun before, or of `start`.
        whole: Positions in the queue of the prompts to read whole, in order.
    """

    start: int | None
    chunk: int
    whole: tuple[int, ...]


def plan_prefill(waiting: Sequence[int], free: int, unread: int, budget: int) -> Plan:
    """Share the budget of one step among the prompts that wait.

    Requests are taken in the order in which they came, with one exception: while one long prompt is being
    read in pieces, short ones may pass another long one, which must wait for the first.

    A prompt is long if it has more tokens than half of the budget. When short ones wait it gets half of the
    budget, else all of it: so it neither stalls the others nor starves, and no step reads more than the
    budget.

    Args:
        waiting: Prompt lengths in tokens of the queue, oldest first.
        free: Slots that are free. A long prompt that is being read has its slot already.
        unread: Tokens left of the long prompt that is being read; 0 if there is none.
        budget: Most tokens to read in this step, at least 2.
    """
    start, whole, used = None, list[int](), 0
    for at, length in enumerate(waiting):
        if free == 0:
            break
        if length > budget // 2:
            if not unread:
                start, unread = at, length
                free -= 1
            continue
        # What the long prompt is sure to get stays free for it.
        if length > budget - used - min(unread, budget // 2):
            break
        whole.append(at)
        used += length
        free -= 1
    return Plan(start, min(unread, budget - used), tuple(whole))


def group_by_length(lengths: Sequence[int], waste: float = 0.5) -> list[list[int]]:
    """Batches of prompts that are read together, padded to the longest of each batch.

    One call for all prompts costs least where calls are dear, and padding costs most where tokens are
    dear. A batch may hold `waste` padding tokens for each real one.

    Args:
        lengths: Prompt lengths in tokens.
        waste: Most padding, relative to the real tokens of the batch.

    Returns:
        Indices into `lengths`, each once.
    """
    groups: list[list[int]] = []
    real = 0
    for at in sorted(range(len(lengths)), key=lambda i: lengths[i], reverse=True):
        if groups:
            padded = lengths[groups[-1][0]] * (len(groups[-1]) + 1)
            if padded - (real + lengths[at]) <= waste * (real + lengths[at]):
                groups[-1].append(at)
                real += lengths[at]
                continue
        groups.append([at])
        real = lengths[at]
    return groups
