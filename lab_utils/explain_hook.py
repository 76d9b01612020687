"""In a notebook: when a cell made a model fail to load, say why below the cell, without being asked.

After every cell the hook compares the sizes of the logs of this lab's servers with those it knew.
It reads only what was added, so that a cell without a failure costs a few system calls.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab_utils import paths
from lab_utils.surroundings import show

if TYPE_CHECKING:
    from lab_utils.diagnosis import Explanation

_FAILED = ("failed to load", "Poll failed", "load failed for model", "failed to poll model")
_LOAD_ERROR = re.compile(r"(?:failed to load|load failed for model) '(?P<model>[^']+)'")
_LATE = 1.0
"""Seconds to wait for the log of a failed load: Triton writes it a moment after its answer."""

_SETTLE = 0.2
"""Seconds in which the log of what just happened is written."""


class ExplainHook:
    """Watches the logs of one lab's servers.

    Attributes:
        lab: The lab; with `lab.explain_automatically = False` nothing is shown.
    """

    def __init__(self, lab: Any, server_name: str) -> None:
        self.lab = lab
        # Logs are called NAME-ID.log; a check's throwaway servers, NAME-check-..., break models on purpose.
        self._own = re.compile(rf"{re.escape(server_name)}(?:-(?!check-)[\w.-]+)?-[0-9a-f]{{12}}\.log")
        self._read: dict[Path, int] = self._sizes()
        self._told: set[tuple[Path, str, str | None]] = set()

    def after_cell(self, result: Any = None) -> None:
        """The `post_run_cell` of IPython. Never raises: a fault here must not look like the student's."""
        with contextlib.suppress(Exception):
            error = getattr(result, "error_in_exec", None)
            said = f"{error}" if error is not None else ""
            asked = _LOAD_ERROR.search(said)
            found = self._new()
            end = time.monotonic() + _LATE
            while asked and not found and time.monotonic() < end:
                time.sleep(0.05)
                found = self._new()
            if not getattr(self.lab, "explain_automatically", True):
                return
            for path, text in found:
                self._tell(path, text, said)

    def skip(self) -> None:
        """Take everything up to here as seen."""
        self._read = self._sizes()

    @contextlib.contextmanager
    def ignoring(self) -> Iterator[None]:
        """What the logs say inside the block is not explained (a check that breaks models on purpose)."""
        before = self._sizes()
        try:
            yield
        finally:
            if self._sizes() != before:
                time.sleep(_SETTLE)
            for path, size in self._sizes().items():
                if size > before.get(path, 0):
                    self._read[path] = size

    def _sizes(self) -> dict[Path, int]:
        folder = paths.state_home() / "logs"
        if not folder.is_dir():
            return {}
        return {p: p.stat().st_size for p in folder.iterdir() if self._own.fullmatch(p.name)}

    def _new(self) -> list[tuple[Path, str]]:
        """The logs with new failures, and what was added to each."""
        found = []
        for path, size in self._sizes().items():
            start = self._read.get(path, 0)
            if size <= start:
                continue
            with path.open("rb") as file:
                file.seek(start)
                text = file.read(size - start).decode("utf-8", "replace")
            if any(word in text for word in _FAILED):
                found.append((path, text))
            self._read[path] = size
        return found

    def _repository(self, log: Path) -> Path | None:
        """The repository of the server that wrote this log; the lab's own if the server is gone."""
        from lab_utils.server import all_records

        of_log = {record.log: record.repository for record in all_records()}
        lab_repository: Path | None = getattr(self.lab, "repository", None)
        return of_log.get(log, lab_repository)

    def _tell(self, path: Path, text: str, said: str) -> None:
        from lab_utils.diagnosis import explain_log, read_log
        from lab_utils.diagnosis.events import FAILED, READY, read_events

        # The last thing counts: a model that failed and was mended in the same cell is not explained.
        last = {
            event.model: event.kind for event in read_events(read_log(text)) if event.kind in (FAILED, READY)
        }
        for model in [name for name, kind in last.items() if kind == FAILED]:
            told = explain_log(text, model, self._repository(path))
            key = (path, model, told.cause)
            if key in self._told or told.ready or (told.cause and told.cause in said):
                continue
            self._told.add(key)
            show(as_html(told), str(told))


def install(shell: Any, lab: Any) -> ExplainHook | None:
    """Explain failed loads below the cells of a notebook from now on.

    Args:
        shell: The running IPython; None outside of one.
        lab: The lab, with `repository`, and the name of its server in `_name`.

    Returns:
        The hook; None when there is no IPython. A second lab in the same notebook replaces the first.
    """
    if shell is None:
        return None
    old = getattr(shell, "_triton_lab_explain", None)
    if old is not None:
        with contextlib.suppress(ValueError):
            shell.events.unregister("post_run_cell", old.after_cell)
    hook = ExplainHook(lab, str(lab._name))
    shell.events.register("post_run_cell", hook.after_cell)
    shell._triton_lab_explain = lab._explain_hook = hook
    return hook


@contextlib.contextmanager
def silent(lab: Any) -> Iterator[None]:
    """Nothing is explained of what happens inside the block, not even by the end of the cell."""
    before = getattr(lab, "explain_automatically", True)
    lab.explain_automatically = False
    try:
        yield
    finally:
        hook = getattr(lab, "_explain_hook", None)
        if hook is not None:
            time.sleep(_SETTLE)
            hook.skip()
        lab.explain_automatically = before


def as_html(told: Explanation) -> str:
    """An explanation for a notebook. All text is escaped: a log may hold anything."""

    def code(text: str) -> str:
        return re.sub(r"`([^`\n]+)`", r"<code>\1</code>", escape(text))

    from lab_utils.diagnosis import NO_CAUSE

    at = f"{told.file}, line {told.line}" if told.line else told.file
    rows = [("Why", told.cause or NO_CAUSE), ("Mend", told.fix), ("Place", at)]
    cells = "".join(
        '<tr style="background:none"><th style="text-align:left;vertical-align:top;padding:2px 12px 2px 0">'
        f"{name}</th>"
        f'<td style="text-align:left;white-space:pre-wrap;padding:2px 0">{code(text)}</td></tr>'
        for name, text in rows
        if text
    )
    lines = escape("\n".join(told.log_lines))
    return (
        '<div role="status" style="border-left:4px solid #5b4a00;padding:4px 12px">'
        f"<div><strong>The model {escape(told.model)} was not loaded</strong></div>"
        f'<table style="border:none;margin:4px 0 0 0">{cells}</table>'
        '<details><summary>The log says</summary><pre style="white-space:pre-wrap">'
        f"{lines}</pre></details></div>"
    )
