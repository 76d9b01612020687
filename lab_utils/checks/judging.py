"""How checks judge a function that gives a value back: fresh cases, and the formula behind a mistake."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from lab_utils.checks.asking import need_return, shorten, with_hint
from lab_utils.progress.context import LabContext, Refusal, refuse

Formula = Callable[..., Any]


def same(found: Any, wanted: Any) -> bool:
    """Equal; numbers but for the rounding of the last digits, and NaN equals NaN."""
    if _is_number(found) and _is_number(wanted):
        both_nan = math.isnan(found) and math.isnan(wanted)
        return both_nan or math.isclose(found, wanted, rel_tol=1e-9, abs_tol=1e-12)
    if isinstance(wanted, Mapping):
        return (
            isinstance(found, Mapping)
            and set(found) == set(wanted)
            and all(same(found[key], wanted[key]) for key in wanted)
        )
    return type(found) is type(wanted) and bool(found == wanted)


def judge_values(
    ctx: LabContext,
    function: Any,
    cases: Sequence[tuple[Any, ...]],
    truth: Formula,
    mistakes: Mapping[str, Formula],
    *,
    show: Callable[..., str],
    otherwise: str,
    hints: Mapping[str, str] | None = None,
    nothing: str = "",
    read: Callable[[str, Any], Any] | None = None,
) -> list[Any]:
    """Ask a student's function for a value in each case, and compare with the right one.

    When answers are wrong, the formula among `mistakes` that gives just these answers names the mistake: the
    same wrong value in every case is no accident.

    Args:
        ctx: The check's context.
        function: The student's function.
        cases: Its arguments, case by case.
        truth: The right formula.
        mistakes: Next step → the formula of a beginner who needs it. A formula that raises fits no answer.
        show: Says a case in words; gets its arguments.
        otherwise: The next step when no formula fits.
        hints: Regular expression for the error of a function that raises → next step.
        nothing: The next step for an answer of None where a value was right; empty: None means no `return`.
        read: Gets the function's name and an answer, refuses what it cannot be, and returns it as it is
            compared; default: as it is, NumPy's numbers as Python's.

    Returns:
        The right values.

    Raises:
        Refusal: An answer is not the right one.
    """
    name = getattr(function, "__name__", "the function")
    wanted = [_plain(truth(*case)) for case in cases]
    found: list[Any] = []
    for case in cases:
        try:
            value = ctx.call(function, *case)
        except Refusal as refusal:
            with_hint(refusal, hints or {})
        found.append(_plain(value) if read is None else read(name, value))
    if not any(value is None for value in wanted) and not nothing:
        for value in found:
            need_return(name, value)
    wrong = [place for place in range(len(cases)) if not same(found[place], wanted[place])]
    if not wrong:
        return wanted
    step = next((s for s, formula in mistakes.items() if _fits(found, cases, formula)), "")
    if not step and nothing and any(found[place] is None for place in wrong):
        step = nothing
    first = wrong[0]
    verb = "is" if len(wrong) == 1 else "are"
    refuse(
        expected=f"{show(*cases[first])}: {said(wanted[first])}",
        found=f"`{name}` returned {said(found[first])} ({len(wrong)} of {len(cases)} cases {verb} wrong)",
        next_step=step or otherwise,
    )


def number(name: str, value: Any) -> float:
    """For `judge_values(read=number)`: one number; a tensor with one number is one.

    Raises:
        Refusal: It is None, or no number.
    """
    need_return(name, value)
    if isinstance(value, np.generic) or type(value).__name__ == "Tensor":
        value = value.item()
    if not _is_number(value):
        refuse(
            expected=f"`{name}` returns a number",
            found=f"it returned {type(value).__name__}: {shorten(repr(value), 60)}",
            next_step="Return one number, not a text or a list.",
        )
    return float(value)


def said(value: Any) -> str:
    """A value in words: numbers with ten digits."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {said(entry)}" for key, entry in value.items()) + "}"
    return f"{value:.10g}" if _is_number(value) else shorten(repr(value), 80)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _plain(value: Any) -> Any:
    """NumPy's numbers as Python's."""
    return value.item() if isinstance(value, np.generic) else value


def _fits(found: Sequence[Any], cases: Sequence[tuple[Any, ...]], formula: Formula) -> bool:
    try:
        return all(same(value, _plain(formula(*case))) for value, case in zip(found, cases, strict=True))
    except Exception:
        return False
