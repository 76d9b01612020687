"""Words of the checks of Lab 4 that no wrong answer can bring about: a name that a new kernel lacks."""

from __future__ import annotations

from typing import Any

import pytest

from lab_utils.checks.lab4_bottleneck import check_bottleneck
from lab_utils.checks.lab4_figures import figures, judge_figures
from lab_utils.progress.context import LabContext, Refusal


def test_figures_without_the_helper_names_the_cell_to_run() -> None:
    def answer(window: Any) -> dict[str, float]:
        raise NameError("name 'histogram' is not defined")

    with pytest.raises(Refusal) as caught:
        judge_figures(LabContext.of("04"), answer)
    assert "run the first cell of section 4" in caught.value.verdict.next_step


def test_diagnose_without_report_names_the_cell_to_run() -> None:
    def answer(light: Any, heavy: Any, steps: Any) -> tuple[str, str]:
        raise NameError("name 'report' is not defined")

    with pytest.raises(Refusal) as caught:
        check_bottleneck(LabContext.of("04"), {"diagnose": answer})
    assert "run the first cell of section 5" in caught.value.verdict.next_step


def test_one_wrong_figure_is_named() -> None:
    with pytest.raises(Refusal) as caught:
        judge_figures(LabContext.of("04"), lambda window: {**figures(window), "itl": 7.0})
    assert caught.value.verdict.expected.startswith("itl in a window")
