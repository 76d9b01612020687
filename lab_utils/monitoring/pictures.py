"""Pictures of what Prometheus knows: frames as lines, and what an alert did over time."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from lab_utils.monitoring.alert_states import STATES
from lab_utils.monitoring.receiver import Notification

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLOURS = ("#3182bd", "#e6550d", "#31a354", "#756bb1", "#636363")
_STATE_COLOURS = dict(zip(STATES, ("#d9d9d9", "#fdae6b", "#de2d26", "#a1d99b"), strict=True))


def draw_frame(
    frame: pd.DataFrame, *, title: str = "", unit: str = "", threshold: float | None = None
) -> Figure:
    """Draw a frame of `Monitoring.frame`: one line per series over the time.

    Args:
        frame: Time (UTC) as index, a column per series.
        title: Title of the picture.
        unit: Unit of the values, for the axis.
        threshold: A limit to draw dashed, for example that of an alert rule.
    """
    from lab_utils.models.picture import Picture

    figure = Picture(figsize=(7, 3), layout="constrained")
    axes = figure.subplots()
    _lines(axes, frame, unit, threshold)
    _times(axes)
    if title:
        axes.set_title(title, loc="left", fontsize=10)
    return figure


def draw_alert(
    states: pd.DataFrame,
    values: pd.DataFrame | None = None,
    *,
    unit: str = "",
    threshold: float | None = None,
    notifications: Iterable[Notification] = (),
) -> Figure:
    """Draw what an alert did: a band of its states, and above it the value that the rule looks at.

    Args:
        states: From `Monitoring.alert_states`.
        values: From `Monitoring.frame`, for the expression of the rule without its comparison.
        unit: Unit of the values.
        threshold: The limit in the rule.
        notifications: Those of the receiver; each is a mark at the time when it arrived.
    """
    from lab_utils.models.picture import Picture

    rows = 1 if values is None else 2
    figure = Picture(
        figsize=(7, 1.2 + 0.4 * len(states.columns) + (2.2 if rows == 2 else 0)), layout="constrained"
    )
    heights = [0.6 + 0.4 * len(states.columns)] if rows == 1 else [2.2, 0.6 + 0.4 * len(states.columns)]
    all_axes = figure.subplots(rows, 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0]
    if values is not None:
        _lines(all_axes[0], values, unit, threshold)
    axes = all_axes[-1]
    _bands(axes, states)
    _marks(axes, states, notifications)
    _times(axes)
    _explain(figure, states)
    return figure


def _lines(axes: Axes, frame: pd.DataFrame, unit: str, threshold: float | None) -> None:
    for number, column in enumerate(frame.columns):
        axes.plot(frame.index, frame[column], color=_COLOURS[number % len(_COLOURS)], label=str(column))
    if threshold is not None:
        axes.axhline(threshold, color="black", linestyle="--", linewidth=1, label=f"limit {threshold:g}")
    axes.set_ylabel(unit)
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="upper left", fontsize=8, frameon=False)


def _bands(axes: Axes, states: pd.DataFrame) -> None:
    """One bar per stretch of the same state, with its word in it."""
    index = states.index
    step = (index[-1] - index[0]) / max(1, len(index) - 1)
    for row, column in enumerate(states.columns):
        words = list(states[column])
        start = 0
        for place in range(1, len(words) + 1):
            if place < len(words) and words[place] == words[start]:
                continue
            left, right = index[start], index[place] if place < len(words) else index[-1] + step
            axes.barh(row, right - left, left=left, height=0.8, color=_STATE_COLOURS[words[start]])
            if (right - left) / (index[-1] + step - index[0]) > 0.1:  # else the word does not fit
                axes.text(left + (right - left) / 2, row, words[start], ha="center", va="center", fontsize=8)
            start = place
    axes.set_yticks(range(len(states.columns)), [str(column) for column in states.columns])
    axes.spines[["top", "right"]].set_visible(False)


def _explain(figure: Figure, states: pd.DataFrame) -> None:
    """A legend of the states: in a short stretch there is no room for its word."""
    from matplotlib.patches import Patch

    seen = [state for state in STATES if (states == state).to_numpy().any()]
    handles = [Patch(color=_STATE_COLOURS[state], label=state) for state in seen]
    figure.legend(handles=handles, loc="outside upper center", ncols=4, fontsize=8, frameon=False)


def _marks(axes: Axes, states: pd.DataFrame, notifications: Iterable[Notification]) -> None:
    import pandas as pd

    for notification in notifications:
        at: Any = pd.Timestamp(notification.at, unit="s", tz="UTC")
        if states.index[0] <= at <= states.index[-1] + pd.Timedelta(seconds=5):
            axes.axvline(at, color="black", linewidth=1)
            axes.annotate(
                f"told: {notification.status}",
                (at, len(states.columns) - 0.55),
                textcoords="offset points",
                xytext=(3, 4),
                fontsize=8,
            )
    axes.set_ylim(-0.6, len(states.columns) - 0.1)


def _times(axes: Axes) -> None:
    from matplotlib.dates import AutoDateLocator, DateFormatter

    axes.xaxis.set_major_locator(AutoDateLocator(minticks=3, maxticks=7))
    axes.xaxis.set_major_formatter(DateFormatter("%H:%M:%S"))
    axes.set_xlabel("time (UTC)")
    axes.margins(x=0)
