"""Find the exercises of a lab source: heading, answer cells, check cell, hints."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from lab_utils.notebooks.solution import BEGIN
from lab_utils.notebooks.source import SourceCell

_HEADING = re.compile(r"^### Exercise (\d+\.\d+) · (\S.*)$")
_LOOSE_HEADING = re.compile(r"^#+\s*exercise\b", re.IGNORECASE)
_CHECK = re.compile(r"""^\s*(?:\w+\s*=\s*)?lab\.check\(\s*["']([^"']*)["']\s*\)\s*;?\s*$""", re.MULTILINE)
_HINT = re.compile(r"<summary>Hint (\d): \S[^<]*</summary>")


@dataclass
class Exercise:
    """One exercise of a lab source. Cell positions count from 0; None means missing.

    Attributes:
        id: For example `"1.5"`.
        title: The name behind the middle dot in its heading.
        line: Line of the heading.
        heading: Position of the heading cell.
        minutes, difficulty, points: As the heading says; None when it does not.
        answers: Positions of the code cells that hold a solution block.
        shows: Positions of the other cells between heading and hints.
        check: Position of the cell with `lab.check("…")`.
        checked: The id in that call.
        hints: Position of the cell with the hints.
        hint_numbers: The hints' numbers in order.
    """

    id: str
    title: str
    line: int
    heading: int
    minutes: int | None = None
    difficulty: int | None = None
    points: int | None = None
    answers: list[int] = field(default_factory=list)
    shows: list[int] = field(default_factory=list)
    check: int | None = None
    checked: str = ""
    hints: int | None = None
    hint_numbers: list[int] = field(default_factory=list)

    @property
    def roles(self) -> dict[int, str]:
        """What each cell of the exercise is: heading, answer, show, check or hints."""
        roles = {self.heading: "heading"}
        roles |= dict.fromkeys(self.shows, "show")
        roles |= dict.fromkeys(self.answers, "answer")
        if self.check is not None:
            roles[self.check] = "check"
        if self.hints is not None:
            roles[self.hints] = "hints"
        return roles


@dataclass(frozen=True)
class Loose:
    """A cell that looks like a part of an exercise but belongs to none."""

    position: int
    offset: int
    text: str


def find_exercises(cells: Sequence[SourceCell]) -> tuple[list[Exercise], list[Loose]]:
    """Group the cells of a source into exercises.

    An exercise runs from its heading to its hints, or to the next heading of a cell.

    Returns:
        The exercises in order, and the cells that look like parts of one but belong to none.
    """
    exercises: list[Exercise] = []
    loose: list[Loose] = []
    current: Exercise | None = None
    for position, cell in enumerate(cells):
        first = cell.lines[0]
        if cell.kind == "markdown":
            match = _HEADING.match(first)
            if match:
                current = _from_heading(match.group(1), match.group(2).strip(), position, cell)
                exercises.append(current)
                continue
            for offset, line in enumerate(cell.lines):
                if _LOOSE_HEADING.match(line):
                    wanted = "an exercise heading stands alone at the top of its cell and reads "
                    loose.append(Loose(position, offset, f"{wanted}'### Exercise 1.5 · Name', not '{line}'"))
            if first.startswith("#"):
                current = None
        _place(position, cell, current, loose)
        if current is not None and current.hints == position:
            current = None
    return exercises, loose


def _from_heading(id: str, title: str, position: int, cell: SourceCell) -> Exercise:
    exercise = Exercise(id, title, cell.line, position)
    meta = cell.lines[1] if len(cell.lines) > 1 else ""
    if meta.startswith("*") and meta.rstrip().endswith("*"):
        for name, pattern in (
            ("minutes", r"\b(\d+) minutes?\b"),
            ("difficulty", r"\bdifficulty (\d) of 3\b"),
            ("points", r"\b(\d+) points?\b"),
        ):
            match = re.search(pattern, meta)
            if match:
                setattr(exercise, name, int(match.group(1)))
    return exercise


def _place(position: int, cell: SourceCell, current: Exercise | None, loose: list[Loose]) -> None:
    """Give one cell its place in the exercise that is open, or note that it has none."""
    if cell.kind == "markdown":
        numbers = [int(n) for n in _HINT.findall(cell.text)]
        if current is None:
            if numbers:
                loose.append(Loose(position, 0, "hints outside an exercise"))
        elif numbers:
            current.hints, current.hint_numbers = position, numbers
        else:
            current.shows.append(position)
        return
    check = _CHECK.search(cell.text)
    if check:
        if current is None or current.check is not None:
            loose.append(Loose(position, 0, f'lab.check("{check.group(1)}") outside an exercise of its own'))
        else:
            current.check, current.checked = position, check.group(1)
    elif BEGIN in cell.text:
        if current is None or current.check is not None:
            loose.append(Loose(position, 0, "a solution block outside an exercise, or after its check"))
        else:
            current.answers.append(position)
    elif current is not None:
        current.shows.append(position)
