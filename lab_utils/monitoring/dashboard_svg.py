"""One small plot as SVG text: lines over the last minutes.

Not matplotlib: its axes cost some seventy times the processor time of this text, once a second, on the
machine whose load the plot shows (docs/dashboards.md has the measurement).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 320, 150
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 6, 22, 18


@dataclass(frozen=True)
class Line:
    """One line of a plot.

    Attributes:
        name: What it is, in words.
        points: Pairs (seconds from now, so not above 0; value). A value that is not a number is a hole.
        colour: Any colour of SVG.
        dashed: Whether the line is dashed.
    """

    name: str
    points: Sequence[tuple[float, float]]
    colour: str
    dashed: bool = False

    @property
    def last(self) -> float:
        """The newest value; nan when there is none."""
        return self.points[-1][1] if self.points else math.nan


def number(value: float) -> str:
    """A value with about three digits: `0.034`, `4.12`, `87.3`, `1,240`, `2.4M`; `-` for nan."""
    if not math.isfinite(value):
        return "-"
    if abs(value) >= 1e6:
        return f"{value / 1e6:,.1f}M"
    digits = 0 if abs(value) >= 100 or value == 0 else 1 if abs(value) >= 10 else 2 if abs(value) >= 1 else 3
    return f"{value:,.{digits}f}"


def round_up(value: float) -> float:
    """The next of 1, 2, 5, 10, 20, 50, ... and their fractions: a top of an axis that a person can halve."""
    if not value > 0 or not math.isfinite(value):
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(
        (step * power for step in (1.0, 2.0, 5.0) if value <= step * power * (1 + 1e-9)), 10.0 * power
    )


def _tick(value: float) -> str:
    """A round number beside an axis: `0.5`, `20`, `1,000`, `2.0M`."""
    return number(value) if value >= 1e4 else f"{value:,g}"


def pieces(points: Sequence[tuple[float, float]]) -> Iterator[list[tuple[float, float]]]:
    """The runs of points between the holes."""
    run: list[tuple[float, float]] = []
    for point in points:
        if math.isfinite(point[1]):
            run.append(point)
        elif run:
            yield run
            run = []
    if run:
        yield run


def draw_plot(title: str, lines: Sequence[Line], *, seconds: float, top: float | None = None) -> str:
    """Draw one plot.

    Args:
        title: What is drawn, with its unit.
        lines: The lines, at most a dozen.
        seconds: Width of the axis of time; its right end is now.
        top: Top of the axis of values, which begins at 0. Default: chosen by the values.

    Returns:
        An `<svg>` element. Text has the colour of the page around it. What it shows stands in its label in
        words, too, for those who do not see it.
    """
    values = [value for line in lines for _, value in line.points if math.isfinite(value)]
    # A little room above, so that no line lies on the edge.
    top = round_up(1.04 * max(values, default=0.0)) if top is None else top
    across = (WIDTH - _LEFT - _RIGHT) / seconds
    up = (HEIGHT - _TOP - _BOTTOM) / top
    base = HEIGHT - _BOTTOM
    words = "; ".join(f"{line.name} {number(line.last)}" for line in lines) or "nothing yet"
    parts = [
        f'<svg role="img" aria-label="{escape(title)}: {escape(words)}" viewBox="0 0 {WIDTH} {HEIGHT}" '
        'style="width:100%;height:auto" fill="currentColor" font-size="10">',
        f'<text x="2" y="12" font-size="11" font-weight="bold">{escape(title)}</text>',
    ]
    for share in (0.0, 0.5, 1.0):
        y = base - share * top * up
        parts.append(
            f'<path d="M{_LEFT} {y:.1f}H{WIDTH - _RIGHT}" stroke="currentColor" stroke-opacity="0.2"/>'
            f'<text x="{_LEFT - 4}" y="{y + 3:.1f}" text-anchor="end">{_tick(share * top)}</text>'
        )
    parts.append(
        f'<text x="{_LEFT}" y="{HEIGHT - 5}">{seconds:g} s ago</text>'
        f'<text x="{WIDTH - _RIGHT}" y="{HEIGHT - 5}" text-anchor="end">now</text>'
    )
    for line in lines:
        dash = ' stroke-dasharray="4 3"' if line.dashed else ""
        visible = [(at, min(value, top)) for at, value in line.points if at >= -seconds]
        for run in pieces(visible):
            # A run of one point would be invisible: a line of no length with round ends is a dot.
            path = "L".join(
                f"{WIDTH - _RIGHT + at * across:.1f} {base - value * up:.1f}"
                for at, value in (run if len(run) > 1 else run * 2)
            )
            parts.append(
                f'<path d="M{path}" fill="none" stroke="{line.colour}" stroke-width="1.8" '
                f'stroke-linecap="round" stroke-linejoin="round"{dash}/>'
            )
    if not values:
        parts.append(
            f'<text x="{(WIDTH + _LEFT) / 2:.0f}" y="{HEIGHT / 2:.0f}" text-anchor="middle" '
            'fill-opacity="0.6">nothing yet</text>'
        )
    parts.append("</svg>")
    return "".join(parts)
