"""How the checks of Lab 3 judge a function that calculates: fresh cases, and the formula behind a mistake."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from lab_utils.checks.asking import need_return, shorten, with_hint
from lab_utils.progress.context import LabContext, Refusal, refuse

Formula = Callable[..., float]


def same(found: float, wanted: float) -> bool:
    """Equal, but for the rounding of the last digits."""
    return math.isclose(found, wanted, rel_tol=1e-9, abs_tol=1e-12)


def judge_numbers(
    ctx: LabContext,
    function: Any,
    cases: Sequence[tuple[Any, ...]],
    truth: Formula,
    mistakes: Mapping[str, Formula],
    *,
    show: Callable[..., str],
    otherwise: str,
    hints: Mapping[str, str] | None = None,
) -> list[float]:
    """Ask a student's function for a number in each case, and compare with the right one.

    When the answers are wrong, the formula among `mistakes` that gives just these answers names the
    mistake: the same wrong number in every case is no accident.

    Args:
        ctx: The check's context.
        function: The student's function.
        cases: Its arguments, case by case.
        truth: The right formula.
        mistakes: Next step → the formula of a beginner who needs it.
        show: Says a case in words; gets its arguments.
        otherwise: The next step when no formula fits.
        hints: Regular expression for the error of a function that raises → next step.

    Returns:
        The right numbers.

    Raises:
        Refusal: An answer is no number, or not the right one.
    """
    name = getattr(function, "__name__", "the function")
    found: list[float] = []
    for case in cases:
        try:
            value = ctx.call(function, *case)
        except Refusal as refusal:
            with_hint(refusal, hints or {})
        found.append(_number(name, value))
    wanted = [truth(*case) for case in cases]
    wrong = [place for place in range(len(cases)) if not same(found[place], wanted[place])]
    if wrong:
        first = wrong[0]
        refuse(
            expected=f"{show(*cases[first])}: {wanted[first]:.10g}",
            found=f"`{name}` returned {found[first]:.10g} ({len(wrong)} of {len(cases)} cases are wrong)",
            next_step=_next_step(found, cases, mistakes) or otherwise,
        )
    return wanted


def _number(name: str, value: Any) -> float:
    need_return(name, value)
    if isinstance(value, np.generic) or type(value).__name__ == "Tensor":
        value = value.item()  # a number all the same
    if isinstance(value, bool) or not isinstance(value, int | float):
        refuse(
            expected=f"`{name}` returns a number",
            found=f"it returned {type(value).__name__}: {shorten(repr(value), 60)}",
            next_step="Return one number, not a text or a list.",
        )
    return float(value)


def _next_step(
    found: Sequence[float], cases: Sequence[tuple[Any, ...]], mistakes: Mapping[str, Formula]
) -> str | None:
    for step, formula in mistakes.items():
        if all(same(value, formula(*case)) for value, case in zip(found, cases, strict=True)):
            return step
    return None
