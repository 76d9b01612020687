"""Submissions of Lab 1 that try to get what they have not earned, or to break the machine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from nbformat import NotebookNode

from tests.grading.forty import changes
from tests.grading.sandbox.attacks import EXIT, FAKE_SERVER, FILL, FORK, KILL, LIARS, SPY, hog
from tests.grading.sandbox.made import WRONG_HTTP

PART = frozenset({"1.1", "1.2", "1.3"})
"""What most of them have solved: exercises that need no server."""


@dataclass(frozen=True)
class Attack:
    """What is handed in, and what comes of it.

    Attributes:
        make: Makes the notebook, with a port and folders that it may try to reach.
        earns: The exercises that pass.
        cause: Why the run gave no full answer; empty when it did.
        says: Words that a verdict must hold.
        changed: Words that the list of what was put back must hold.
    """

    make: Callable[[int, list[str]], NotebookNode]
    earns: frozenset[str] = frozenset()
    cause: str = ""
    says: Mapping[str, str] = field(default_factory=dict)
    changed: str = ""


def _partly() -> NotebookNode:
    return changes.partly("01", PART)


def _lies(*names: str) -> Attack:
    """Wrong answers, and cells that say they are right."""
    wrong = changes.with_answer(changes.released("01"), "1.5", WRONG_HTTP)
    notebook = changes.with_cells(wrong, *(LIARS[name] for name in names))
    return Attack(lambda port, secrets: notebook)


def _ends(source: str, cause: str = "", *, last: bool = False) -> Attack:
    """Right answers, and a cell that ends or hangs something."""
    earns = frozenset() if cause else PART
    return Attack(lambda port, secrets: changes.with_cells(_partly(), source, last=last), earns, cause)


def _changed(change: Callable[[NotebookNode], NotebookNode], words: str) -> Attack:
    """Right answers in cells to which something was done: they earn what they are worth."""
    return Attack(lambda port, secrets: change(_partly()), PART, changed=words)


def _spy(port: int, secrets: list[str]) -> NotebookNode:
    look = SPY.replace("PORT", str(port)).replace("OTHERS", repr(secrets))
    return changes.with_cells(_partly(), look)


def _fake_server(port: int, secrets: list[str]) -> NotebookNode:
    """All answers are right, but the server that they are asked for is none."""
    notebook = changes.partly("01", {"1.5"})
    at = next(i for i, cell in enumerate(notebook.cells) if changes.answer_of(cell) == "1.5")
    notebook.cells.insert(at, changes.own(FAKE_SERVER, "own-server"))
    return notebook


ATTACKS: dict[str, Attack] = {
    "edited-checks": Attack(
        lambda port, secrets: changes.with_own_checks(changes.partly("01", {"1.1"})),
        frozenset({"1.1"}),
        changed="was changed; it is the released one again",
    ),
    "patched-library": _lies("a patched library"),
    "patched-client": _lies("a patched client"),
    "forged-progress": _lies("a forged progress file"),
    "own-judge": _lies("another judge", "a report of its own"),
    "fake-server": Attack(_fake_server, says={"1.5": "does not listen on HTTP port"}),
    "sys-exit": _ends(EXIT),
    "endless": _ends("while True:\n    pass", "time"),
    "fork-bomb": _ends(FORK, "processes"),
    "killed-kernel": _ends(KILL, "kernel died", last=True),
    "all-memory": _ends(hog(14), "memory"),
    "full-disk": _ends(FILL, "disk"),
    "deleted": _changed(changes.without_checks, "was missing; it is there again"),
    "copied": _changed(changes.copied, "taken out"),
    "reordered": _changed(changes.reordered, "released order again"),
    "converted": _changed(changes.converted, "it is code again"),
    "reader-of-solutions": Attack(_spy, PART),
}
