"""Which verdicts count, and how much of a notebook's output is kept."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping

from nbformat import NotebookNode

from lab_utils.grading.hidden import exercise_of
from lab_utils.progress.registry import Verdict

Report = Callable[[str, Verdict], None]


class Gate:
    """Lets the first verdict of each check through that was asked for in its own check cell.

    A student's cell may call `lab.check` as often as it likes; those verdicts are for the student alone.

    Args:
        checks: Exercise by the id of the cell that checks it.
        pass_on: Is told the verdicts that count.
    """

    def __init__(self, checks: Mapping[str, str], pass_on: Report) -> None:
        self._checks, self._pass_on = checks, pass_on
        self._open = ""
        self._done: set[str] = set()
        self._lock = threading.Lock()

    def enter(self, cell: NotebookNode) -> None:
        """A cell is about to run."""
        with self._lock:
            self._open = self._checks.get(str(cell.get("id", "")), "")

    def report(self, id: str, verdict: Verdict) -> None:
        """A verdict was given."""
        with self._lock:
            if id in self._done or exercise_of(id) != self._open:
                return
            self._done.add(id)
        self._pass_on(id, verdict)

    def close(self) -> None:
        """The notebook has run: nothing counts any more."""
        with self._lock:
            self._open = ""


def mended(notebook: NotebookNode) -> NotebookNode:
    """A notebook without what no editor writes: metadata of another kind, halves of characters."""
    for cell in notebook.cells:
        if not isinstance(cell.get("metadata"), dict):
            cell.metadata = NotebookNode()
        cell.source = cell.source.encode("utf-8", "replace").decode()
    return notebook


def trimmed(notebook: NotebookNode, most: int) -> NotebookNode:
    """A notebook whose outputs are no longer than `most` bytes: those of the loudest cells are left out."""
    sized = [(len(json.dumps(cell.outputs)), cell) for cell in notebook.cells if cell.get("outputs")]
    total = sum(size for size, _ in sized)
    for size, cell in sorted(sized, key=lambda one: -one[0]):
        if total <= most:
            break
        text = f"[outputs of {size:,d} bytes were left out]\n"
        cell.outputs = [NotebookNode(output_type="stream", name="stderr", text=text)]
        total -= size
    return notebook
