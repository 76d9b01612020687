"""What a load gave, as JSON, text and pictures; and the rules that need no server."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from lab_utils.load import Latency, LoadResult, draw_batches, draw_curve, draw_phases, table
from lab_utils.load import figures as rules
from lab_utils.load.figures import Client, Window
from lab_utils.load.progress import Progress


def example(concurrency: int = 4, scale: float = 1.0) -> LoadResult:
    return LoadResult(
        "digits",
        "grpc",
        concurrency=concurrency,
        seconds=2.0,
        requests=200,
        throughput=100.0 * scale,
        latency=Latency.of(np.linspace(0.010, 0.030, 201) * scale),
        errors={"queue_full": 3},
        messages={"queue_full": "Exceeds maximum queue size"},
        server={"queue": 0.004, "compute_input": 0.001, "compute_infer": 0.008, "compute_output": 0.001},
        batch_histogram={1: 50, 2: 25, 4: 25},
        executions=100,
        time_to_first=Latency(),
        notes=["a note"],
    )


def test_json_and_back() -> None:
    result = example()
    text = result.to_json()
    plain = json.loads(text)
    assert plain["time_to_first"]["p50"] is None, "what is not known is null: NaN is no JSON"
    assert plain["batch_histogram"] == {"1": 50, "2": 25, "4": 25}
    assert plain["requests_per_second"] == 100
    again = LoadResult.from_json(text)
    assert again == result
    assert again.batch_histogram[4] == 25
    assert again != replace(result, throughput=1.0)
    assert again != replace(result, latency=Latency.of([1.0]))


def test_figures_of_a_distribution() -> None:
    found = Latency.of(np.arange(1, 102) / 1000)
    assert (found.count, found.min, found.max) == (101, 0.001, 0.101)
    assert (found.p50, found.p90, found.p99) == pytest.approx((0.051, 0.091, 0.100))
    assert math.isnan(Latency.of([]).p50)


def test_text_says_what_was_measured_and_what_failed() -> None:
    text = str(example())
    for part in (
        "100.0 inferences/s",
        "4 in flight",
        "p50 20.0",
        "queue 4.00",
        "3 x queue_full",
        "a note",
        "2.00",
    ):
        assert part in text, part
    several = table([example(1), example(8, 2.0)])
    assert [line.split()[:4] for line in several.splitlines()[1:3]] == [
        ["1", "in", "flight", "100.0"],
        ["8", "in", "flight", "200.0"],
    ]
    assert "8 in flight: 3 x queue_full" in several


def test_pictures_show_these_figures() -> None:
    results = [example(1), example(8, 2.0)]
    axes = draw_curve({"one": results, "two": results[:1]}).axes[0]
    p50, p99 = axes.lines[0], axes.lines[1]
    assert list(p50.get_xdata()) == [100, 200]
    assert list(p50.get_ydata()) == pytest.approx([20, 40])
    assert list(p99.get_ydata()) == pytest.approx([29.8, 59.6])
    assert [text.get_text() for text in axes.texts] == ["1", "8", "1"]

    axes = draw_batches({"plain": results[0], "other": results[1]}).axes[0]
    heights = {round(bar.get_x() + bar.get_width() / 2): bar.get_height() for bar in axes.patches}
    assert heights == {1: 50, 2: 25, 4: 25}
    assert axes.lines[0].get_xdata()[0] == pytest.approx(2.0), "the mean batch"

    figure = draw_phases(results)
    first_bar = [bar.get_width() for bar in figure.axes[0].patches[:5]]
    assert first_bar == pytest.approx([6, 4, 1, 8, 1]), "transport is the rest of the mean latency of 20 ms"
    assert figure._repr_png_().startswith(b"\x89PNG")
    assert len(draw_phases(results[0]).axes[0].texts) == 1
    assert draw_batches(replace(results[0], batch_histogram={})).axes


def rows(*entries: tuple[float, float, float, int]) -> np.ndarray:
    """Requests as (due, sent, done, fault)."""
    return np.array([(due, sent, done, done, fault, 1) for due, sent, done, fault in entries], dtype=float)


def test_which_requests_count() -> None:
    window = Window(10, 20)
    data = rows((9, 9, 11, 0), (12, 12, 13, 0), (19, 19.5, 22, 0), (12, 12, 14, 1), (19, 19, 25, 10))
    assert rules.answered(data, window) == 2
    assert rules.times(rules.good(data, window, open_loop=False)).tolist() == [2, 1]
    assert rules.times(rules.good(data, window, open_loop=True)).tolist() == [1, 3]
    assert rules.errors(data, window, open_loop=False) == {"queue_full": 1, "unfinished": 1}


@pytest.mark.parametrize(
    ("counts", "expected"), [((100, 100, 105), True), ((50, 100, 100, 104), True), ((100, 130, 100), False),
                             ((100, 100), False), ((0, 0, 0), False)],
)  # fmt: skip
def test_three_windows_must_agree(counts: tuple[int, ...], expected: bool) -> None:
    entries = [
        (n + i / 200, n + i / 200, n + i / 200 + 0.001, 0)
        for n, count in enumerate(counts)
        for i in range(count)
    ]
    windows = [Window(n, n + 0.999) for n in range(len(counts))]
    assert rules.stable(rows(*entries) if entries else np.empty((0, 6)), windows, open_loop=False) is expected


def test_windows_of_equal_rate_and_different_latency_do_not_agree() -> None:
    entries = [(n + i / 20, n + i / 20, n + i / 20 + 0.001 * (1 + n), 0) for n in range(3) for i in range(10)]
    assert not rules.stable(rows(*entries), [Window(n, n + 1) for n in range(3)], open_loop=False)


def test_client_bound_needs_a_busy_client_and_an_idle_server() -> None:
    busy, idle, crowded = Client(0.90, 0.05), Client(0.3, 0.1), Client(0.3, 0.65)
    assert rules.is_client_bound(busy, in_server=3, in_flight=16)
    assert not rules.is_client_bound(busy, in_server=14, in_flight=16)
    assert not rules.is_client_bound(idle, in_server=3, in_flight=16)
    assert not rules.is_client_bound(crowded, in_server=3, in_flight=16)


def test_the_bar_is_quiet_here_and_right_elsewhere(capsys: pytest.CaptureFixture[str]) -> None:
    bar = Progress("digits: 8 in flight", 4.0)
    with bar:
        bar._begin -= 2.0
        bar.tick()
    assert capsys.readouterr() == ("", "")
    assert (
        bar.line(2.0)
        == f"digits: 8 in flight [{'#' * 15}{'.' * 15}] 2 of 4 s (Ctrl-C keeps what was measured)"
    )
