"""The parts of the live dashboard: numbers, plots, what it remembers."""

from __future__ import annotations

import math
import re
from xml.etree import ElementTree

import pytest

from lab_utils.monitoring import MetricsError, Scrape, parse
from lab_utils.monitoring.dashboard import Dashboard
from lab_utils.monitoring.dashboard_history import MOST_MODELS, SHOWN_SECONDS, SPAN_SECONDS, History
from lab_utils.monitoring.dashboard_svg import Line, draw_plot, number, pieces, round_up
from lab_utils.monitoring.dashboard_view import table_html, table_text

NAN = math.nan


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (0.0341, "0.034"),
        (4.1234, "4.12"),
        (87.26, "87.3"),
        (1240.4, "1,240"),
        (2_430_000, "2.4M"),
        (NAN, "-"),
        (math.inf, "-"),
    ],
)
def test_numbers_have_about_three_digits(value: float, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize(
    ("value", "top"),
    [(0, 1), (NAN, 1), (0.03, 0.05), (1, 1), (1.01, 2), (2, 2), (3, 5), (70, 100), (100, 100), (101, 200)],
)
def test_the_top_of_an_axis_is_round(value: float, top: float) -> None:
    assert round_up(value) == pytest.approx(top)


def test_a_hole_breaks_a_line() -> None:
    points = [(-4.0, 1.0), (-3.0, 2.0), (-2.0, NAN), (-1.0, 3.0), (0.0, NAN)]
    assert list(pieces(points)) == [[(-4.0, 1.0), (-3.0, 2.0)], [(-1.0, 3.0)]]
    svg = draw_plot("x", [Line("a", points, "#123456")], seconds=10)
    assert svg.count('stroke="#123456"') == 2


def test_a_plot_is_well_formed_and_says_in_words_what_it_shows() -> None:
    lines = [
        Line("a<b", [(-10.0, 5.0), (0.0, 7.5)], "#000"),
        Line("p99", [(-10.0, NAN), (0.0, NAN)], "#111", dashed=True),
    ]
    root = ElementTree.fromstring(draw_plot("latency & more", lines, seconds=10))
    assert root.attrib["role"] == "img"
    assert root.attrib["aria-label"] == "latency & more: a<b 7.50; p99 -"
    texts = [element.text for element in root.iter("text")]
    assert texts == ["latency & more", "0", "5", "10", "10 s ago", "now"]


def test_points_lie_where_their_values_say() -> None:
    """The axis goes from 0 to 10: the line of 0 and 10 goes from the lower left to the upper right corner."""
    svg = draw_plot("x", [Line("a", [(-10.0, 0.0), (0.0, 10.0)], "#abc")], seconds=10, top=10)
    (x1, y1), (x2, y2) = [
        tuple(map(float, pair.split()))
        for pair in re.search(r'd="M([^"]*)" fill="none" stroke="#abc"', svg)[1].split("L")
    ]
    ground, _, ceiling = [float(y) for y in re.findall(r'd="M44 ([\d.]+)H', svg)]
    assert (x1, y1, x2, y2) == (44.0, ground, 314.0, ceiling)


def test_what_is_older_or_higher_than_the_plot_stays_inside() -> None:
    svg = draw_plot("x", [Line("a", [(-99.0, 1.0), (-5.0, 500.0)], "#abc")], seconds=10, top=100)
    numbers = re.search(r'd="M([^"]*)" fill="none"', svg)[1]
    assert "-" not in numbers  # nothing left of the axis or above the top


def test_a_plot_without_values_says_so() -> None:
    assert "nothing yet" in draw_plot("x", [], seconds=10)
    assert "nothing yet" in draw_plot("x", [Line("a", [(0.0, NAN)], "#000")], seconds=10)


def page(at: float, **requests: float) -> Scrape:
    """A page with the counters of these models, as if each request took 10 ms and waited 4 of them."""
    lines = []
    for metric, each in (
        ("nv_inference_request_success", 1),
        ("nv_inference_request_failure", 0),
        ("nv_inference_count", 2),
        ("nv_inference_exec_count", 1),
        ("nv_inference_request_duration_us", 10_000),
        ("nv_inference_queue_duration_us", 4_000),
        ("nv_inference_compute_input_duration_us", 1_000),
        ("nv_inference_compute_infer_duration_us", 4_000),
        ("nv_inference_compute_output_duration_us", 1_000),
    ):
        lines.append(f"# TYPE {metric} counter")
        lines += [
            f'{metric}{{model="{model}",version="1"}} {count * each}' for model, count in requests.items()
        ]
    lines += ["# TYPE nv_cpu_utilization gauge", "nv_cpu_utilization 0.25"]
    lines += ["# TYPE nv_cpu_memory_used_bytes gauge", "nv_cpu_memory_used_bytes 3e9"]
    lines += ["# TYPE nv_cpu_memory_total_bytes gauge", "nv_cpu_memory_total_bytes 4e9"]
    return parse("\n".join(lines) + "\n", at)


def test_the_values_of_a_known_page() -> None:
    history = History(1.0)
    assert not history.add(page(100, a=0))
    assert history.latest is None, "one reading alone says nothing"
    assert not history.add(page(101, a=20))
    found = {name: history.value(name, "a") for name, model in history.latest.values if model == "a"}
    assert found["requests_per_second"] == pytest.approx(20)
    assert found["request_ms"] == pytest.approx(10)
    assert found["queue_ms"] == pytest.approx(4)
    assert found["compute_ms"] == pytest.approx(6)
    assert found["mean_batch"] == pytest.approx(2)
    assert found["failure_ratio"] == 0
    assert math.isnan(found["request_p99_ms"]), "this page has no summaries"
    assert history.value("cpu_utilization") == pytest.approx(0.25)
    assert history.value("memory_share") == pytest.approx(0.75)
    assert math.isnan(history.value("gpu_utilization"))
    assert "20.0" in table_text(history)
    assert ">20.0<" in table_html(history)


def test_a_value_is_taken_over_the_last_seconds_only() -> None:
    history = History(1.0)
    for second in range(30):
        history.add(page(100 + second, a=1000 * min(second, 10)))
    assert history.value("requests_per_second", "a") == 0
    assert max(value for _, value in history.points("requests_per_second", "a", 130)) == pytest.approx(1000)


def test_a_restart_is_noticed_and_makes_no_value_negative_or_huge() -> None:
    history = History(1.0)
    counts = [0, 50, 100, 150, 5, 55, 105]
    restarts = [history.add(page(100 + second, a=count)) for second, count in enumerate(counts)]
    assert restarts == [False, False, False, False, True, False, False]
    rates = [value for _, value in history.points("requests_per_second", "a", 107)]
    assert all(0 <= rate <= 51 for rate in rates), rates


def test_a_silence_is_a_hole_and_does_not_stretch_the_window() -> None:
    history = History(1.0)
    for second in range(5):
        history.add(page(100 + second, a=10 * second))
    for second in range(60):
        history.hole(105 + second)
    history.add(page(170, a=50))
    history.add(page(171, a=60))
    history.add(page(172, a=70))
    rates = [value for _, value in history.points("requests_per_second", "a", 172)]
    assert sum(map(math.isnan, rates)) == 60
    assert rates[-1] == pytest.approx(10)


def test_a_clock_that_is_set_back_begins_anew() -> None:
    history = History(1.0)
    for at in (100, 101, 50, 51):
        history.add(page(at, a=at))
    assert [moment for moment, _ in history.points("requests_per_second", "a", 51)] == [0]


def test_models_are_those_that_were_asked_at_most_five_and_by_name() -> None:
    history = History(1.0)
    names = {f"m{n}": 0.0 for n in range(8)}
    history.add(page(100, idle=7, **names))
    history.add(page(101, idle=7, **{name: float(n + 1) for n, name in enumerate(names)}))
    assert history.models() == ["m3", "m4", "m5", "m6", "m7"]
    assert len(history.models()) == MOST_MODELS
    assert all(model != "idle" for _, model in history.latest.values)


def test_a_model_that_rests_keeps_its_line() -> None:
    history = History(1.0)
    for second, count in enumerate([0, 10, 20, *[20] * 20]):
        history.add(page(100 + second, a=count))
    assert history.models() == ["a"]
    assert history.value("requests_per_second", "a") == 0


def test_wanted_models_are_shown_even_before_they_are_asked() -> None:
    history = History(1.0, ["b", "nowhere"])
    history.add(page(100, a=0, b=0))
    history.add(page(101, a=5, b=0))
    assert history.models() == ["b", "nowhere"]
    assert history.value("requests_per_second", "b") == 0
    assert math.isnan(history.value("requests_per_second", "nowhere"))


@pytest.mark.parametrize("every", [0.5, 1.0, 3.0])
def test_what_is_remembered_is_bounded(every: float) -> None:
    history = History(every)
    bound = math.ceil(SHOWN_SECONDS / every) + 1
    for step in range(bound + 20):
        history.add(page(100 + step * every, a=step))
    assert len(history._moments) == bound
    assert len(history._scrapes) == math.ceil(SPAN_SECONDS / every) + 1


@pytest.mark.parametrize(("every", "seconds"), [(0.1, 10), (5, 4)])
def test_times_that_make_no_sense_are_refused(every: float, seconds: float) -> None:
    with pytest.raises(MetricsError, match=f"every is {every:g} and seconds is {seconds:g}"):
        Dashboard("127.0.0.1:1", every=every, seconds=seconds)
