"""A verdict as a person reads it: in a notebook (HTML) and in a terminal (plain text).

The status is always a word. Colour only repeats it.
"""

from __future__ import annotations

import re
import textwrap
from html import escape

from lab_utils.progress.registry import Checkpoint, Status, Verdict

# Dark enough on white and light enough on JupyterLab's dark theme (contrast at least 4.5 on both
# the word's own background), so the word stays readable in either.
_INK = {Status.PASS: "#0b6b3a", Status.FAIL: "#a3160f", Status.SKIP: "#5b4a00"}
_PAPER = {Status.PASS: "#dcf5e6", Status.FAIL: "#fde3e1", Status.SKIP: "#fbf0c4"}


def rows(verdict: Verdict) -> list[tuple[str, str]]:
    """Label and text of each part that a verdict has, in reading order."""
    parts = [("Expected", verdict.expected), ("Found", verdict.found), ("Next", verdict.next_step)]
    return [(label, text) for label, text in parts if text]


def as_text(checkpoint: Checkpoint, verdict: Verdict, note: str = "") -> str:
    """Plain text, at most 100 characters a line."""
    lines = [headline(checkpoint, verdict)]
    for label, text in [*rows(verdict), *([("Note", note)] if note else [])]:
        first, *more = text.splitlines() or [""]
        lines += textwrap.wrap(first, 96, initial_indent=f"  {label + ':':<10}", subsequent_indent=" " * 12)
        lines += [" " * 12 + line for line in more]
    return "\n".join(lines)


def headline(checkpoint: Checkpoint, verdict: Verdict) -> str:
    """`PASS  1.3 Server metadata (2 points)`."""
    points = f" ({checkpoint.points} of {checkpoint.points} points)" if verdict.passed else ""
    return f"{verdict.status.value}  {checkpoint.id} {checkpoint.title}{points}"


def badge(status: Status | None) -> str:
    """The status as an HTML word on its own background; `open` when there is none yet."""
    if status is None:
        return '<span style="padding:1px 8px">open</span>'
    return (
        f'<span style="display:inline-block;padding:1px 8px;border-radius:3px;font-weight:600;'
        f'color:{_INK[status]};background:{_PAPER[status]}">{status.value}</span>'
    )


def _html(text: str) -> str:
    """Escaped text, with `names in backticks` as code."""
    return re.sub(r"`([^`\n]+)`", r"<code>\1</code>", escape(text))


def as_html(checkpoint: Checkpoint, verdict: Verdict, note: str = "") -> str:
    """HTML for a notebook. Every text is escaped: it may hold what a student's function returned."""
    cells = "".join(
        f'<tr style="background:none"><th style="text-align:left;vertical-align:top;padding:2px 12px 2px 0">'
        f'{label}</th><td style="text-align:left;white-space:pre-wrap;padding:2px 0">{_html(text)}</td></tr>'
        for label, text in [*rows(verdict), *([("Note", note)] if note else [])]
    )
    head = escape(headline(checkpoint, verdict).split("  ", 1)[1])
    return (
        f'<div role="status" style="border-left:4px solid {_INK[verdict.status]};padding:4px 12px">'
        f"<div>{badge(verdict.status)} <strong>{head}</strong></div>"
        f'<table style="border:none;margin:4px 0 0 0">{cells}</table></div>'
    )
