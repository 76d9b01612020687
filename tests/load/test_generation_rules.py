"""Figures of tokens, lengths, text and pictures: all that needs no server."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from lab_utils.load import (
    GenerationResult,
    LoadError,
    LoadResult,
    draw_generation,
    draw_timeline,
    generation_table,
    heavy_tailed_lengths,
    uniform_lengths,
)
from lab_utils.load.figures import Window
from lab_utils.load.generation_figures import summarize_generation
from lab_utils.load.lengths import lengths_from
from lab_utils.load.summary import Measured
from lab_utils.load.view import Counters


def summarized(
    window: Window, *requests: tuple[float, float, list[tuple[float, int]], int]
) -> GenerationResult:
    """Figures of requests given as (due, done, [(moment, tokens), ...], fault)."""
    rows = [(due, due, moments[0][0] if moments else done, done, fault, len(moments))
            for due, done, moments, fault in requests]  # fmt: skip
    arrivals = [entry for request in requests for entry in request[2]]
    measured = Measured(
        np.array(rows, dtype=float), np.empty((0, 2)), {}, [], window, Counters(), False, None,
        np.array(arrivals, dtype=float).reshape(-1, 2),
    )  # fmt: skip
    load = LoadResult("llama", "stream", concurrency=2, seconds=window.seconds, requests=len(rows))
    return summarize_generation(load, measured, checked=True)


def test_tokens_count_when_they_arrive_in_the_window() -> None:
    found = summarized(
        Window(10, 20),
        (8, 12, [(9, 1), (10, 1), (12, 2)], 0),  # began before the window: its first token does not count
        (15, 22, [(16, 1), (19, 1), (22, 1)], 0),  # ends after it: its last token does not count
        (15, 16, [(15.5, 5)], 9),  # a wrong answer
        (16, 17, [], 0),  # an answer without tokens
    )
    assert (found.tokens, found.tokens_per_second) == (5, 0.5)
    assert (found.itl.count, found.itl.min, found.itl.max) == (4, 0, 3)
    assert (found.between.count, found.between.mean) == (3, 2)
    assert (found.ttft.count, found.ttft.mean) == (1, 1), (
        "the request that ended in the window and had a token"
    )
    assert found.tpot.mean == pytest.approx(1.0), "three seconds for three tokens after the first"
    assert found.tokens_per_response == pytest.approx(5 / 4)
    assert [(line.due, line.tokens) for line in found.timelines] == [(-2, [-1, 0, 2, 2]), (6, [])]


def test_no_request_at_all() -> None:
    found = summarized(Window(0, 1), (0, 2, [], 9))
    assert (found.tokens, found.itl.count, found.timelines) == (0, 0, [])
    assert GenerationResult.from_json(found.to_json()).tokens == 0
    assert "-" in str(found)


def test_lengths_are_reproducible_and_as_described() -> None:
    even = uniform_lengths(4000, 8, 48, seed=1)
    assert even == uniform_lengths(4000, 8, 48, seed=1) != uniform_lengths(4000, 8, 48, seed=2)
    assert (min(even), max(even)) == (8, 48)
    assert np.mean(even) == pytest.approx(28, rel=0.03)
    heavy = heavy_tailed_lengths(4000, 16, low=2, high=200, seed=1)
    assert heavy == heavy_tailed_lengths(4000, 16, low=2, high=200, seed=1)
    assert np.median(heavy) == pytest.approx(16, abs=1)
    assert (min(heavy), max(heavy)) == (2, 200)
    assert np.percentile(heavy, 90) / np.median(heavy) == pytest.approx(3.2, rel=0.12)
    assert np.mean(heavy) > 1.3 * np.median(heavy), "the tail pulls the mean up"
    assert set(heavy_tailed_lengths(9, 16, sigma=0)) == {16}
    assert all(isinstance(length, int) for length in even + heavy)


def test_lengths_by_a_short_name() -> None:
    assert lengths_from("32", 3) == [32, 32, 32]
    assert lengths_from("uniform:8-48", 50, seed=3) == uniform_lengths(50, 8, 48, seed=3)
    assert lengths_from("heavy:16", 50) == heavy_tailed_lengths(50, 16)
    assert lengths_from("heavy:16-64", 50) == heavy_tailed_lengths(50, 16, high=64)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: lengths_from("many", 3),
        lambda: lengths_from("8-48", 3),
        lambda: lengths_from("uniform:8", 3),
        lambda: lengths_from("0", 3),
        lambda: uniform_lengths(3, 9, 8),
        lambda: uniform_lengths(0, 1, 8),
        lambda: heavy_tailed_lengths(3, 16, high=8),
        lambda: heavy_tailed_lengths(3, 16, sigma=-1),
    ],
)
def test_lengths_that_make_no_sense(wrong: Callable[[], object]) -> None:
    with pytest.raises(LoadError) as caught:
        wrong()
    assert caught.value.fix


def test_text_and_pictures_show_these_figures() -> None:
    fast = summarized(Window(0, 10), (0, 2, [(0.5, 1), (1, 1), (2, 1)], 0), (1, 2, [(1.2, 1), (2, 1)], 0))
    slow = summarized(Window(0, 10), (0, 9, [(9, 3)], 0))
    text = str(fast)
    for part in (
        "0.5 tokens/s",
        "2 answered",
        "every answer as expected",
        "2.5 per request",
        "TTFT",
        "p50 350",
    ):
        assert part in text, text
    table = generation_table({"streaming": fast, "at once": slow}).splitlines()
    assert table[1].split()[:2] == ["streaming", "0.5"]
    assert table[2].startswith("at once")
    assert "gap of 0" not in text

    figure = draw_timeline({"streaming": fast, "at once": slow})
    first, second = figure.axes
    ticks = sum(len(collection.get_segments()) for collection in first.collections)
    assert ticks == 5
    assert "0 tokens/s" in second.get_title(loc="left")
    assert len(draw_timeline(fast, requests=1).axes[0].get_yticks()) == 1

    figure = draw_generation({"streaming": fast, "at once": slow})
    throughput, ttft = figure.axes[:2]
    assert [bar.get_width() for bar in throughput.patches] == pytest.approx([0.5, 0.3])
    assert [bar.get_width() for bar in ttft.patches] == pytest.approx([350, 9000])
    assert ttft.get_xscale() == "log"
    assert [label.get_text() for label in throughput.get_yticklabels()] == ["streaming", "at once"]
    assert figure._repr_png_().startswith(b"\x89PNG")
