"""Differences of pages: increase, rate, gauges, resets. On pages written here, so that the truth is known."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab_utils.monitoring import MetricsError, Scrape, Window, parse

COUNTER = "# TYPE c counter\n"


def page(at: float, **series: float) -> Scrape:
    """A page with a counter `c` (one series per name), a gauge `g` of the same values, and a constant."""
    lines = [COUNTER, *(f'c{{s="{name}"}} {value}\n' for name, value in series.items())]
    lines += ["# TYPE g gauge\n", *(f'g{{s="{name}"}} {value}\n' for name, value in series.items())]
    return parse("".join(lines) + "other 1\n", at)


def test_increase_and_rate() -> None:
    window = Window([page(10, a=5, b=100), page(12, a=6, b=100), page(14, a=9, b=101)])
    assert (window.first.at, window.last.at, window.seconds) == (10, 14, 4)
    assert window.increase("c") == 5
    assert window.increase("c", s="a") == 4
    assert window.rate("c", s="a") == 1
    assert window.resets == []


def test_after_a_reset_the_new_value_counts() -> None:
    window = Window([page(0, a=90, b=1), page(1, a=100, b=2), page(2, a=7, b=3), page(3, a=8, b=4)])
    assert window.increase("c", s="a") == 10 + 7 + 1
    assert window.increase("c") == 18 + 3
    assert window.resets == [(2, "c")], "the gauge fell too, but a gauge may"


def test_a_series_that_comes_or_goes() -> None:
    """A model that was loaded in the window counts from 0; while it is unloaded it has no series."""
    window = Window([page(0, a=1), page(1, a=1, b=4), page(2, a=2), page(3, a=3, b=6)])
    assert window.increase("c", s="b") == 4 + 6, "b was gone, so it began anew"
    assert window.increase("c", s="a") == 2
    assert window.gauge("g", s="b") == 5, "the mean of the readings that have it"
    assert window.gauge("g") == (1 + 5 + 2 + 9) / 4


def test_a_reset_behind_a_hole_is_a_reset() -> None:
    window = Window([page(0, a=9), page(1), page(2, a=3)])
    assert window.resets == [(2, "c")]
    assert window.increase("c") == 3


@given(
    st.lists(st.integers(0, 50), min_size=1, max_size=8),
    st.sets(st.integers(0, 7)),
    st.integers(0, 10**6),
)
def test_no_restart_makes_it_negative_or_huge(steps: list[int], restarts: set[int], start: int) -> None:
    """A counter grows by known steps, with restarts between readings: no step counts twice."""
    value, pages, truth = start, [page(0, a=start)], 0
    for number, step in enumerate(steps):
        if number in restarts:
            value = 0
        value += step
        truth += step
        pages.append(page(number + 1, a=value))
    window = Window(pages)
    assert 0 <= window.increase("c") <= truth
    hidden = [b.value("c") >= a.value("c") for i, (a, b) in enumerate(pairwise(pages)) if i in restarts]
    if not any(hidden):
        assert window.increase("c") == truth
    assert len(window.resets) <= len(restarts)


@pytest.mark.parametrize("pages", [[], [page(0, a=1)]])
def test_one_reading_is_no_window(pages: list[Scrape]) -> None:
    with pytest.raises(MetricsError, match="needs two readings"):
        Window(pages)


def test_readings_in_the_wrong_order() -> None:
    one, two = page(1, a=1), page(2, a=1)
    for pages in ([two, one], [one, one]):
        with pytest.raises(MetricsError, match="not in the order of time"):
            Window(pages)


def test_a_gauge_has_no_increase_and_a_counter_no_mean() -> None:
    window = Window([page(0, a=1), page(1, a=2)])
    with pytest.raises(MetricsError, match="goes up and down") as caught:
        window.increase("g")
    assert 'window.gauge("g")' in caught.value.fix
    with pytest.raises(MetricsError, match="is cumulative") as caught:
        window.gauge("c")
    assert 'window.rate("c")' in caught.value.fix
    assert window.increase("other") == 0, "a page that declares nothing leaves the choice to us"
    assert window.gauge("other") == 1


def test_a_name_that_is_nowhere() -> None:
    window = Window([page(0, a=1), page(1, b=2)])
    with pytest.raises(MetricsError, match="no metric `d`"):
        window.increase("d")
    with pytest.raises(MetricsError, match='no series with s="z"'):
        window.gauge("g", s="z")
    assert window.has("c", s="a")
    assert not window.has("c", s="z")
