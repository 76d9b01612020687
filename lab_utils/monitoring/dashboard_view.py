"""How the live dashboard looks: one line of words, plots, a table of the newest values, and a button."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import ipywidgets as widgets

from lab_utils.monitoring.dashboard_history import SHOWN_SECONDS, History
from lab_utils.monitoring.dashboard_svg import Line, draw_plot, number

COLOURS = ("#3182bd", "#e6550d", "#31a354", "#9467bd", "#8c564b")
_GRID = "display:grid;grid-template-columns:repeat(auto-fit,minmax(270px,1fr));gap:4px 16px;max-width:1080px"


@dataclass(frozen=True)
class Curve:
    """One quantity in a plot.

    Attributes:
        quantity: Its name in `History`.
        name: What the label says, after the model's name.
        scale: What the value is multiplied with.
        dashed: Whether its lines are dashed.
    """

    quantity: str
    name: str = ""
    scale: float = 1.0
    dashed: bool = False


@dataclass(frozen=True)
class Plot:
    """One plot: a title, and what it draws for each model (or once, for the server)."""

    title: str
    curves: tuple[Curve, ...]
    top: float | None = None


MODEL_PLOTS = (
    Plot("requests per second", (Curve("requests_per_second"),)),
    Plot(
        "latency in ms: mean, p99 dashed", (Curve("request_ms"), Curve("request_p99_ms", "p99", dashed=True))
    ),
    Plot("ms in compute, in queue dashed", (Curve("compute_ms"), Curve("queue_ms", "queue", dashed=True))),
    Plot("rows per execution (batch size)", (Curve("mean_batch"),)),
    Plot("requests that wait in the queue", (Curve("pending"),)),
)
MACHINE_PLOT = Plot(
    "machine in %: CPU, memory dashed; GPU likewise",
    (
        Curve("cpu_utilization", "CPU", 100),
        Curve("memory_share", "memory", 100, dashed=True),
        Curve("gpu_utilization", "GPU", 100),
        Curve("gpu_memory_share", "GPU memory", 100, dashed=True),
    ),
    top=100,
)
_MACHINE_COLOURS = ("#636363", "#636363", "#31a354", "#31a354")
LLAMA_PLOTS = (
    Plot("Llama: tokens per second", (Curve("tokens_per_second"),)),
    Plot(
        "Llama: active slots, waiting requests dashed",
        (Curve("active_slots"), Curve("queue_length", "waiting", dashed=True)),
    ),
    Plot(
        "Llama in ms, p95: next token, first token dashed",
        (Curve("itl_p95", "next token", 1000), Curve("ttft_p95", "first token", 1000, dashed=True)),
    ),
)
_COLUMNS = (
    ("requests/s", "requests_per_second", 1.0),
    ("mean ms", "request_ms", 1.0),
    ("p99 ms", "request_p99_ms", 1.0),
    ("queue ms", "queue_ms", 1.0),
    ("compute ms", "compute_ms", 1.0),
    ("rows per execution", "mean_batch", 1.0),
    ("failed %", "failure_ratio", 100.0),
)


class DashboardView:
    """The widgets of one dashboard.

    Args:
        on_press: Called when the button is pressed.
        on_close: Called when the widget is closed.

    Attributes:
        widget: The ipywidgets box.
        button: Start or Stop.
        status: The line of words.
        plots: All plots, as one piece of HTML: one message to the browser per refresh.
        table: The newest values.
    """

    def __init__(self, on_press: Callable[[], None], on_close: Callable[[], None]) -> None:
        self.button = widgets.Button(description="Start", icon="play")
        self.button.on_click(lambda _: on_press())
        self.status = widgets.HTML()
        self.plots = widgets.HTML(layout={"width": "100%"})
        self.table = widgets.HTML()
        top = widgets.HBox([self.button, self.status], layout={"flex_flow": "row wrap"})
        self.widget = widgets.VBox([top, self.plots, self.table], layout={"width": "100%"})
        # From 0 on, the browser counts here how often the panel is on a screen. (After a reload of the page
        # it counts on from the old number and does not reach 0 any more: then the set time ends it.)
        self.widget._view_count = 0
        self._was_seen = False
        self.widget.observe(lambda change: on_close() if change["new"] is None else None, names="comm")

    @property
    def gone(self) -> bool:
        """True when the panel was on a screen and is on none any more."""
        seen = bool(self.widget._view_count)
        self._was_seen = self._was_seen or seen
        return self._was_seen and not seen

    def forget(self) -> None:
        """Count as not yet seen: a start without a browser must not end at once."""
        self._was_seen = False

    def show(self, history: History, now: float) -> None:
        """Draw the history, with `now` (seconds since 1970) at the right edge."""
        models, llamas = history.models(), history.llamas()
        plots = [_draw(plot, history, models, now) for plot in MODEL_PLOTS]
        plots.append(_draw_machine(history, now))
        if llamas:
            plots += [_draw(plot, history, llamas, now) for plot in LLAMA_PLOTS]
        self.plots.value = f'<div style="{_GRID}">{"".join(f"<div>{plot}</div>" for plot in plots)}</div>'
        self.table.value = table_html(history)

    def say(self, lines: Sequence[str]) -> None:
        """Show words. Screen readers speak them when they change."""
        self.status.value = (
            '<div role="status">' + "".join(f"<div>{escape(line)}</div>" for line in lines) + "</div>"
        )

    def running(self, runs: bool) -> None:
        """Let the button say what it does now."""
        self.button.description, self.button.icon = ("Stop", "stop") if runs else ("Start", "play")


def _draw(plot: Plot, history: History, models: Sequence[str], now: float) -> str:
    lines = [
        Line(
            f"{model} {curve.name}".strip(),
            _scaled(history, curve, model, now),
            COLOURS[place % len(COLOURS)],
            curve.dashed,
        )
        for place, model in enumerate(models)
        for curve in plot.curves
    ]
    return draw_plot(plot.title, lines, seconds=SHOWN_SECONDS, top=plot.top)


def _draw_machine(history: History, now: float) -> str:
    lines = [
        Line(curve.name, _scaled(history, curve, "", now), colour, curve.dashed)
        for curve, colour in zip(MACHINE_PLOT.curves, _MACHINE_COLOURS, strict=True)
    ]
    return draw_plot(MACHINE_PLOT.title, lines, seconds=SHOWN_SECONDS, top=MACHINE_PLOT.top)


def _scaled(history: History, curve: Curve, model: str, now: float) -> list[tuple[float, float]]:
    return [(at, value * curve.scale) for at, value in history.points(curve.quantity, model, now)]


def _rows(history: History) -> Iterator[list[str]]:
    for model in history.models():
        yield [model, *(number(history.value(name, model) * scale) for _, name, scale in _COLUMNS)]


def table_html(history: History) -> str:
    """The newest values, one row per model, with the colour of its lines."""
    head = "".join(
        f'<th scope="col" style="text-align:right;padding-left:14px">{name}</th>' for name, *_ in _COLUMNS
    )
    body = "".join(
        f'<tr><th scope="row" style="text-align:left"><span aria-hidden="true" '
        f'style="color:{COLOURS[place % len(COLOURS)]}">&#9632;</span> {escape(model)}</th>'
        + "".join(f'<td style="text-align:right">{value}</td>' for value in values)
        + "</tr>"
        for place, (model, *values) in enumerate(_rows(history))
    )
    return f'<table><tr><th scope="col" style="text-align:left">model</th>{head}</tr>{body}</table>'


def table_text(history: History) -> str:
    """The newest values in plain text."""
    rows: list[list[Any]] = [["model", *(name for name, *_ in _COLUMNS)], *_rows(history)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        row[0].ljust(widths[0]) + "".join("  " + c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))
        for row in rows
    )
