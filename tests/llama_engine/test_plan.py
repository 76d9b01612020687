"""The share of the budget: in order, within the budget, nobody stalled, nobody starved."""

from __future__ import annotations

import pytest

pytest.importorskip("torch", reason="PyTorch is not installed: make test EXTRAS=torch")
pytest.importorskip("transformers", reason="transformers is not installed: make test EXTRAS=torch")

from hypothesis import given
from hypothesis import strategies as st

from lab_utils.llama.engine.plan import Plan, group_by_length, plan_prefill


def test_short_prompts_are_taken_in_order_within_budget_and_slots() -> None:
    assert plan_prefill([10, 20, 30], free=8, unread=0, budget=100) == Plan(None, 0, (0, 1, 2))
    assert plan_prefill([50, 40, 20, 1], free=8, unread=0, budget=100) == Plan(None, 0, (0, 1))
    assert plan_prefill([10, 20, 30], free=2, unread=0, budget=100) == Plan(None, 0, (0, 1))
    assert plan_prefill([10], free=0, unread=0, budget=100) == Plan(None, 0, ())


def test_a_long_prompt_alone_gets_the_whole_budget() -> None:
    assert plan_prefill([1000], free=1, unread=0, budget=100) == Plan(0, 100, ())
    assert plan_prefill([60], free=1, unread=0, budget=100) == Plan(0, 60, ())
    assert plan_prefill([], free=1, unread=900, budget=100) == Plan(None, 100, ())
    assert plan_prefill([], free=1, unread=30, budget=100) == Plan(None, 30, ())


def test_a_long_prompt_and_short_ones_share() -> None:
    assert plan_prefill([30, 30], free=8, unread=900, budget=100) == Plan(None, 70, (0,))
    assert plan_prefill([1000, 20, 20, 20], free=8, unread=0, budget=100) == Plan(0, 60, (1, 2))
    # A second long one waits; short ones pass it.
    assert plan_prefill([1000, 20, 20, 20], free=8, unread=500, budget=100) == Plan(None, 60, (1, 2))
    # ... but nobody passes a request that waits for a slot.
    assert plan_prefill([1000, 20], free=1, unread=0, budget=100) == Plan(0, 100, ())


@given(
    waiting=st.lists(st.integers(1, 300), max_size=20),
    free=st.integers(0, 8),
    unread=st.integers(0, 300),
    budget=st.integers(2, 128),
)
def test_the_rules_hold_for_every_queue(waiting: list[int], free: int, unread: int, budget: int) -> None:
    plan = plan_prefill(waiting, free, unread, budget)
    taken = [*plan.whole, *([] if plan.start is None else [plan.start])]
    assert len(taken) == len(set(taken)) <= free
    assert plan.chunk + sum(waiting[at] for at in plan.whole) <= budget
    assert list(plan.whole) == sorted(plan.whole)
    reading = unread > 0 or plan.start is not None
    assert (plan.chunk > 0) == reading
    if reading:
        left = unread or waiting[plan.start or 0]
        assert plan.chunk >= min(left, budget // 2)
    assert not (unread and plan.start is not None)
    if waiting and free and not unread:
        assert 0 in taken, "the oldest request is served first"


@given(st.lists(st.integers(1, 200), max_size=20))
def test_groups_hold_everybody_once_and_little_padding(lengths: list[int]) -> None:
    groups = group_by_length(lengths)
    assert sorted(at for group in groups for at in group) == list(range(len(lengths)))
    for group in groups:
        real = sum(lengths[at] for at in group)
        assert max(lengths[at] for at in group) * len(group) <= 1.5 * real


def test_equal_lengths_are_read_in_one_call() -> None:
    assert len(group_by_length([10] * 16)) == 1
    assert len(group_by_length([200, 3, 3, 3])) == 2
