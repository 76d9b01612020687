"""Tokens drawn are those that may be drawn, as often as they should be."""

from __future__ import annotations

import random
from collections import Counter

import pytest

pytest.importorskip("torch", reason="PyTorch is not installed: make test EXTRAS=torch")
pytest.importorskip("transformers", reason="transformers is not installed: make test EXTRAS=torch")

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lab_utils.llama.engine import GenerationRequest
from lab_utils.llama.engine.sampling import Sampler, choose, draw


def sampler(temperature: float = 1.0, top_k: int = 0, top_p: float = 1.0, seed: int = 0) -> Sampler:
    return Sampler(temperature, top_k, top_p, random.Random(seed))


def allowed(logits: torch.Tensor, temperature: float, top_k: int, top_p: float) -> set[int]:
    """What transformers leaves of one row."""
    from transformers import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

    row = TemperatureLogitsWarper(temperature)(None, logits[None].clone())
    if top_k:
        row = TopKLogitsWarper(top_k)(None, row)
    if top_p < 1:
        row = TopPLogitsWarper(top_p)(None, row)
    return set(torch.nonzero(row[0] > -torch.inf)[:, 0].tolist())


@settings(max_examples=100, deadline=None)
@given(
    temperature=st.floats(0.1, 5),
    top_k=st.integers(0, 25),
    top_p=st.floats(0.05, 1),
    seed=st.integers(0, 2**64 - 1),
)
def test_only_what_transformers_allows_is_drawn(
    temperature: float, top_k: int, top_p: float, seed: int
) -> None:
    logits = torch.randn(20, generator=torch.Generator().manual_seed(seed % 2**31))
    may = allowed(logits, temperature, top_k, top_p)
    one = sampler(temperature, top_k, top_p, seed)
    drawn = {int(draw(logits[None], [one])[0]) for _ in range(60)}
    assert drawn <= may


@pytest.mark.parametrize(("top_k", "top_p"), [(0, 1.0), (4, 1.0), (0, 0.7), (5, 0.8)])
def test_tokens_come_as_often_as_they_should(top_k: int, top_p: float) -> None:
    logits = torch.tensor([2.0, 1.5, 1.0, 0.5, 0.0, -0.5, -1.0, -3.0])
    may = sorted(allowed(logits, 1.3, top_k, top_p))
    shares = torch.softmax(logits[may] / 1.3, 0)
    count = 20_000
    rows = logits.expand(100, -1)
    many = [sampler(1.3, top_k, top_p, seed) for seed in range(100)]
    found = Counter(token for _ in range(count // 100) for token in draw(rows, many).tolist())
    assert sorted(found) == may
    for token, share in zip(may, shares.tolist(), strict=True):
        # Five standard deviations.
        assert found[token] / count == pytest.approx(share, abs=5 * (share * (1 - share) / count) ** 0.5)


def test_a_row_does_not_depend_on_its_neighbours() -> None:
    logits = torch.randn(6, 50, generator=torch.Generator().manual_seed(1))
    kinds = [(0.0, 0, 1.0), (1.0, 0, 1.0), (0.7, 5, 1.0), (1.5, 0, 0.5), (2.0, 7, 0.9), (1.0, 1, 1.0)]
    together = [sampler(*kind, seed=i) for i, kind in enumerate(kinds)]
    got = [choose(logits, together) for _ in range(30)]
    for i, kind in enumerate(kinds):
        alone = sampler(*kind, seed=i)
        assert [row[i] for row in got] == [choose(logits[i : i + 1], [alone])[0] for _ in range(30)]


def test_greedy_and_the_limits_of_temperature() -> None:
    logits = torch.tensor([[0.0, 3.0, 2.999]])
    assert choose(logits, [sampler(0.0)]) == [1]
    assert choose(logits, [sampler(1.0, top_k=1)]) == [1]
    assert {choose(logits, [sampler(1e-30, seed=i)])[0] for i in range(50)} == {1}
    assert {choose(logits, [sampler(1.0, top_p=1e-9, seed=i)])[0] for i in range(50)} == {1}
    assert {choose(logits, [sampler(100.0, seed=i)])[0] for i in range(100)} == {0, 1, 2}


def test_tokens_without_a_share_are_never_drawn() -> None:
    class Last(random.Random):
        def random(self) -> float:
            return float(np.nextafter(1.0, 0.0))

    for limits in ({}, {"top_p": 0.999999}, {"top_k": 3}):
        one = sampler(**limits)
        one.dice = Last()
        logits = torch.full((1, 50), -torch.inf)
        logits[0, :3] = torch.tensor([1.0, 2.0, 3.0])
        assert choose(logits, [one])[0] in (0, 1, 2)


def test_a_row_that_is_no_number_is_none_and_the_others_go_on() -> None:
    logits = torch.zeros(4, 5)
    logits[0, 2] = torch.nan
    logits[1, 2] = torch.inf
    logits[2] = -torch.inf
    logits[3, 4] = 1.0
    for temperature in (0.0, 1.0):
        kinds = [sampler(temperature)] * 3 + [sampler(0.0)]
        assert choose(logits, kinds) == [None, None, None, 4]


def test_no_seed_is_a_new_one_every_time() -> None:
    logits = torch.zeros(1, 1000)
    request = GenerationRequest("x", temperature=1.0)
    assert len({choose(logits, [Sampler.of(request)])[0] for _ in range(20)}) > 10
