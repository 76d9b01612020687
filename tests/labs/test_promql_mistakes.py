"""The formulas behind the messages of 4.3 give different numbers: no mistake gets another one's words."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest

from lab_utils.checks.lab4_mistakes import MISTAKES, RIGHT, fill
from lab_utils.checks.lab4_promql import _AT, _WINDOWS, series
from lab_utils.checks.lab4_promtool import evaluate, missing_prometheus
from lab_utils.progress.context import LabContext

pytestmark = pytest.mark.skipif(missing_prometheus() is not None, reason="promtool is not on this machine")


@pytest.mark.parametrize("seed", range(4))
def test_every_formula_gives_a_number_of_its_own(seed: int) -> None:
    context = LabContext.of("04")
    context.rng = np.random.default_rng(seed)
    made = series(context, "timed")
    for key, mistakes in MISTAKES.items():
        formulas = [RIGHT[key], *mistakes.values()]
        found: dict[str, list[float]] = {formula: [] for formula in formulas}
        for window in _WINDOWS:
            results = evaluate(made, [fill(formula, "timed", window) for formula in formulas], _AT)
            for formula, result in zip(formulas, results, strict=True):
                assert result.value is not None, (key, formula, result)
                found[formula].append(result.value)
        for a, b in combinations(formulas, 2):
            apart = [not math.isclose(x, y, rel_tol=1e-3) for x, y in zip(found[a], found[b], strict=True)]
            assert any(apart), (key, a, b)


def test_the_right_values_are_those_of_the_series() -> None:
    """Counted by hand from the series, without PromQL."""
    context = LabContext.of("04")
    made = series(context, "timed")
    steps = {name: values for name, values in made.items() if 'model="timed"' in name}
    wanted = sum(
        int(values.rpartition(" ")[2].partition("+")[2].partition("x")[0])
        for name, values in steps.items()
        if name.startswith("nv_inference_request_success")
    )
    (result,) = evaluate(made, [fill(RIGHT["requests"], "timed", _WINDOWS[0])], _AT)
    assert result.value is not None
    assert math.isclose(result.value, wanted, rel_tol=0.02)


def test_a_refused_expression_brings_the_words_of_prometheus() -> None:
    (result,) = evaluate({'nv_x{model="a"}': "0+1x9"}, ["rate(sum(nv_x)[5s])"], 8)
    assert "ranges only allowed" in result.error
    assert result.value is None


def test_an_expression_that_finds_nothing_and_one_that_finds_two() -> None:
    made = {'nv_x{model="a"}': "0+1x9", 'nv_x{model="b"}': "0+2x9"}
    nothing, both = evaluate(made, ['nv_x{model="c"}', "nv_x"], 5)
    assert not nothing.series
    assert not nothing.error
    assert both.value is None
    assert sorted(both.series.values()) == [5, 10]
