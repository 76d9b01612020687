"""The progress panel: every exercise with its state, a check button each, and what comes next."""

from __future__ import annotations

import traceback
import weakref
from collections.abc import Callable, Sequence
from html import escape
from typing import Any

import ipywidgets as widgets

from lab_utils.progress import render
from lab_utils.progress.registry import Checkpoint, Verdict
from lab_utils.progress.store import ProgressStore
from lab_utils.progress.table import as_text, next_exercise

_COLUMNS = "52px minmax(180px, 1fr) 70px 70px 90px 110px"
_shown: weakref.WeakSet[Panel] = weakref.WeakSet()


class Panel:
    """One shown panel of a lab. All shown panels of a lab follow every check.

    Attributes:
        widget: The ipywidgets box.
        buttons: The check buttons by checkpoint id; `Button.click()` works without a browser too.
        check_all: The button that checks every exercise in order.
        message: Shows the verdict of the last button, or the error that a button met.
    """

    def __init__(
        self,
        lab: str,
        title: str,
        checkpoints: Sequence[Checkpoint],
        store: ProgressStore,
        check: Callable[[str], Verdict],
    ) -> None:
        """Build the panel from what the store holds.

        Args:
            lab: Two digits.
            title: The lab's title.
            checkpoints: The rows.
            store: Where verdicts are kept.
            check: Checks one exercise by id and stores the verdict; must not display anything.
        """
        self.lab = lab
        self._title = title
        self._checkpoints = list(checkpoints)
        self._store = store
        self._check = check
        self.buttons: dict[str, widgets.Button] = {}
        self._states: dict[str, widgets.HTML] = {}
        self.message = widgets.HTML()
        self._summary = widgets.HTML()
        self._bar = widgets.IntProgress(min=0, max=1, description="Points", layout={"width": "320px"})
        self.check_all = widgets.Button(
            description="Check all", tooltip="Check every exercise in order", icon="list"
        )
        self.check_all.on_click(lambda _: self._run([c.id for c in self._checkpoints]))
        top = widgets.HBox([self._bar, self.check_all], layout={"flex_flow": "row wrap"})
        self.widget = widgets.VBox([self._summary, top, self._table(), self.message])
        _shown.add(self)
        self.refresh()

    def _table(self) -> widgets.GridBox:
        head = ("No.", "Exercise", "Minutes", "Points", "State", "")
        cells: list[widgets.Widget] = [widgets.HTML(f"<strong>{name}</strong>") for name in head]
        for one in self._checkpoints:
            button = widgets.Button(
                description=f"Check {one.id}",
                tooltip=f"Check exercise {one.id}, {one.title}",
                layout={"width": "auto"},
            )
            button.on_click(lambda _, id=one.id: self._run([id]))
            self.buttons[one.id] = button
            self._states[one.id] = widgets.HTML()
            texts = (one.id, one.title, str(one.minutes), str(one.points))
            cells += [widgets.HTML(escape(text)) for text in texts]
            cells += [self._states[one.id], button]
        return widgets.GridBox(
            cells, layout={"grid_template_columns": _COLUMNS, "grid_gap": "2px 8px", "max_width": "900px"}
        )

    def _run(self, ids: Sequence[str]) -> None:
        """Check some exercises. An error is shown: inside a callback nobody else would see it."""
        everything = [self.check_all, *self.buttons.values()]
        parts: list[str] = []
        for button in everything:
            button.disabled = True
        try:
            for id in ids:
                self.message.value = "".join([*parts, f"<div>Checking {escape(id)} ...</div>"])
                one = next(c for c in self._checkpoints if c.id == id)
                parts.append(render.as_html(one, self._check(id)))
            self.message.value = "".join(parts)
        except BaseException as error:
            text = "".join(traceback.format_exception_only(error)).strip()
            trace = "".join(traceback.format_exception(error))
            self.message.value = "".join(parts) + (
                f'<div role="alert"><strong>The check could not run.</strong> '
                f'<pre style="white-space:pre-wrap">{escape(text)}</pre>'
                f"<details><summary>Whole traceback</summary><pre>{escape(trace)}</pre></details></div>"
            )
            if not isinstance(error, Exception):
                raise
        finally:
            for button in everything:
                button.disabled = False
            self.refresh()

    def refresh(self) -> None:
        """Show what the store holds now."""
        entries = self._store.entries()
        score = self._store.score(self._checkpoints)
        self._bar.max, self._bar.value = max(score.possible, 1), score.points
        self._summary.value = (
            f"<h4 style='margin:4px 0'>Lab {escape(self.lab)}: {escape(self._title)}</h4>"
            f"<div>{escape(str(score))}. {escape(next_exercise(self._checkpoints, entries))}</div>"
            + "".join(f'<div role="alert">{escape(w)}</div>' for w in self._store.warnings)
        )
        for one in self._checkpoints:
            entry = entries.get(one.id)
            state = render.badge(entry.verdict.status if entry else None)
            self._states[one.id].value = state + (
                " <small>passed before</small>" if entry and entry.fell_back else ""
            )

    def text(self) -> str:
        """The panel in plain text, for a terminal."""
        return as_text(self.lab, self._title, self._checkpoints, self._store)

    def __repr__(self) -> str:
        return self.text()

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        bundle = self.widget._repr_mimebundle_(**kwargs)
        data: dict[str, Any] = dict(bundle[0] if isinstance(bundle, tuple) else bundle or {})
        return {**data, "text/plain": self.text()}


def refresh_all(lab: str) -> None:
    """Let every shown panel of a lab show the store again."""
    for panel in list(_shown):
        if panel.lab == lab:
            panel.refresh()
