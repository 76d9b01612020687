"""Refuse a lab source that breaks the form: pairs, exercises, registry, sizes, leaks.

The limits are those of the course's notebook form: many short cells, a heading often, and in
every exercise the minutes, the difficulty, two hints and a checkpoint.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from statistics import median

from lab_utils.notebooks.exercises import Exercise, find_exercises
from lab_utils.notebooks.problems import MalformedSource, Problem
from lab_utils.notebooks.solution import (
    MarkerError,
    complete_text,
    defined_names,
    find_blocks,
    leaks,
    parse,
    stubs_in,
    student_text,
)
from lab_utils.notebooks.source import SourceCell
from lab_utils.progress.registry import Checkpoint

MAX_CODE_LINES = 35
MEDIAN_CODE_LINES = 8
MAX_WORDS = 120
MAX_CELLS_PER_HEADING = 6
MIN_CELLS, MAX_CELLS = 40, 80
OWN_LABS = 50
"""Labs of this number and above are an instructor's own: they may be short."""
MIN_CELLS_OWN = 10
NO_COMMENTS = "a stub without comments: write one '#: …' line per missing line"
META = {"minutes": "10 minutes", "difficulty": "difficulty 2 of 3", "points": "3 points"}


def words(markdown: str) -> int:
    """Words a person reads in a Markdown cell: no code fences, HTML tags or table rules."""
    prose = re.sub(r"^```.*?^```", " ", markdown, flags=re.MULTILINE | re.DOTALL)
    prose = re.sub(r"<[^>]+>", " ", prose)
    return sum(bool(re.search(r"\w", token)) for token in prose.split())


def has_heading(cell: SourceCell) -> bool:
    """Whether a cell holds a Markdown heading (a `#` line in a code fence is none)."""
    prose = re.sub(r"^```.*?^```", " ", cell.text, flags=re.MULTILINE | re.DOTALL)
    return cell.kind == "markdown" and re.search(r"^#{1,4} \S", prose, re.MULTILINE) is not None


class Validator:
    """Collects every fault of one source, so that an author mends them in one go.

    Args:
        file: Name of the source, for messages.
        lab: Two-digit number, for example `"01"`.
        cells: The source's cells.
        checkpoints: The lab's checkpoints from the registry, in order.
    """

    def __init__(
        self, file: str, lab: str, cells: Sequence[SourceCell], checkpoints: Sequence[Checkpoint]
    ) -> None:
        self.file = file
        self.lab = lab
        self.cells = cells
        self.registered = {checkpoint.id: checkpoint for checkpoint in checkpoints}
        self.problems: list[Problem] = []
        self.exercises, self._loose = find_exercises(cells)
        self._owner = {position: e.id for e in self.exercises for position in e.roles}

    def validate(self) -> list[Exercise]:
        """Check everything.

        Returns:
            The exercises in order.

        Raises:
            MalformedSource: At least one fault was found; it lists all of them.
        """
        for loose in self._loose:
            self._at(loose.position, loose.text, loose.offset)
        if self._code_cells():
            for exercise in self.exercises:
                self._exercise(exercise)
            self._leaks()
        self._order()
        self._form()
        if self.problems:
            raise MalformedSource(self.problems)
        return self.exercises

    def _at(self, position: int, text: str, offset: int = 0) -> None:
        line = self.cells[position].line + offset if self.cells else 1
        self.problems.append(Problem(self.file, line, self._owner.get(position, ""), text))

    def _code_cells(self) -> bool:
        """Markers, syntax, size and stubs of every code cell. False when the markers are broken."""
        paired = True
        for position, cell in enumerate(self.cells):
            if cell.kind != "code":
                if "### BEGIN SOLUTION" in cell.text or "### END SOLUTION" in cell.text:
                    self._at(position, "a solution marker in a Markdown cell")
                continue
            if not cell.text.strip():
                self._at(position, "an empty code cell")
            try:
                blocks = find_blocks(cell.text)
            except MarkerError as error:
                self._at(position, str(error), error.offset)
                paired = False
                continue
            student = student_text(cell.text, self._owner.get(position, "?"))
            for block in blocks:
                if not block.comments:
                    self._at(position, NO_COMMENTS, block.start)
                if not block.code:
                    self._at(position, "an empty solution block", block.start)
            try:
                parse(complete_text(cell.text))
                stubs = stubs_in(parse(student))
            except SyntaxError as error:
                self._at(position, f"not Python: {error.msg} (near line {error.lineno} of the cell)")
                continue
            if blocks and stubs != len(blocks):
                self._at(
                    position, "a solution block inside a string leaves no stub that raises", blocks[0].start
                )
            longest = max(len(text.split("\n")) for text in (complete_text(cell.text), student))
            if longest > MAX_CODE_LINES:
                self._at(position, f"a code cell of {longest} lines; the limit is {MAX_CODE_LINES}")
        return paired

    def _exercise(self, exercise: Exercise) -> None:
        cell = self.cells[exercise.heading]
        here = exercise.heading
        for name, example in META.items():
            if getattr(exercise, name) is None:
                self._at(here, f"no {name}: the heading's second line reads like '*… {example} …*'", 1)
        if not re.search(r"^[-*] \S", cell.text, re.MULTILINE):
            self._at(here, "no bullets that say what the student must do")
        if not exercise.answers:
            self._at(here, "no code cell with '### BEGIN SOLUTION' between heading and check")
        if exercise.check is None:
            self._at(here, f'no check cell: lab.check("{exercise.id}")')
        elif exercise.checked != exercise.id:
            self._at(exercise.check, f'the check cell calls lab.check("{exercise.checked}")')
        if exercise.hints is None:
            self._at(here, "no hints: a Markdown cell with <details><summary>Hint 1: …</summary> and Hint 2")
        elif exercise.hint_numbers != [1, 2]:
            self._at(
                exercise.hints, f"hints numbered {exercise.hint_numbers}; there must be Hint 1 and Hint 2"
            )
        if exercise.check is not None and exercise.hints is not None and exercise.hints < exercise.check:
            self._at(exercise.hints, "the hints stand before the check cell; they come after it")
        self._registry(exercise)

    def _registry(self, exercise: Exercise) -> None:
        checkpoint = self.registered.get(exercise.id)
        if checkpoint is None:
            module = f"lab_utils/checks/lab{int(self.lab)}.py"
            self._at(exercise.heading, f"no checkpoint {exercise.id} in {module}")
            return
        for name in ("title", "minutes", "difficulty", "points"):
            said, registered = getattr(exercise, name), getattr(checkpoint, name)
            if said is not None and said != registered:
                self._at(
                    exercise.heading, f"{name}: the heading says {said!r}, the checkpoint says {registered!r}"
                )
        defined: set[str] = set()
        for position in exercise.answers:
            try:
                defined |= defined_names(parse(complete_text(self.cells[position].text)))
            except SyntaxError:
                return  # already reported for the cell
        for name in checkpoint.answers:
            if exercise.answers and name not in defined:
                self._at(
                    exercise.answers[0], f"the checkpoint asks for '{name}', which no answer cell defines"
                )

    def _leaks(self) -> None:
        shown = [
            student_text(cell.text, self._owner.get(position, "?")) if cell.kind == "code" else cell.text
            for position, cell in enumerate(self.cells)
        ]
        for exercise in self.exercises:
            for position in exercise.answers:
                for block in find_blocks(self.cells[position].text):
                    where = leaks(block, shown)
                    if where is not None:
                        line = self.cells[where].line
                        self._at(position, f"the cell at line {line} shows the whole solution", block.start)

    def _order(self) -> None:
        ids = [exercise.id for exercise in self.exercises]
        for exercise in self.exercises:
            if ids.count(exercise.id) > 1:
                self._at(exercise.heading, f"two exercises are called {exercise.id}")
        if ids != sorted(ids, key=lambda id: [int(part) for part in id.split(".")]):
            self._at(0, f"the exercises are out of order: {', '.join(ids)}")
        for id in self.registered.keys() - set(ids):
            self._at(0, f"checkpoint {id} ({self.registered[id].title}) has no exercise")

    def _form(self) -> None:
        count = len(self.cells)
        least = MIN_CELLS if int(self.lab) < OWN_LABS else MIN_CELLS_OWN
        if not least <= count <= MAX_CELLS:
            self._at(0, f"{count} cells; a lab has {least} to {MAX_CELLS}")
        code = [len(complete_text(c.text).split("\n")) for c in self._readable_code()]
        if code and median(code) > MEDIAN_CODE_LINES:
            self._at(0, f"the median code cell has {median(code)} lines; the limit is {MEDIAN_CODE_LINES}")
        last = -1
        for position, cell in enumerate(self.cells):
            if cell.kind == "markdown" and words(cell.text) > MAX_WORDS:
                self._at(position, f"a Markdown cell of {words(cell.text)} words; the limit is {MAX_WORDS}")
            if has_heading(cell):
                last = position
            elif position - last == MAX_CELLS_PER_HEADING:
                self._at(position, f"{MAX_CELLS_PER_HEADING} cells without a heading")
        text = "\n".join(cell.text for cell in self.cells)
        if not self.cells or not self.cells[0].text.startswith("# "):
            self._at(0, "the first cell must be Markdown and begin with the lab's title: '# …'")
        for pattern, what in (
            (rf'^lab = Lab\("{self.lab}"\)$', f'the start cell: lab = Lab("{self.lab}")'),
            (r"^## What you learned$", "the section '## What you learned'"),
            (r"^## Go further$", "the section '## Go further'"),
            (r"^lab\.stop\(", "the clean-up cell: lab.stop()"),
        ):
            if not re.search(pattern, text, re.MULTILINE):
                self._at(0, f"{what} is missing")

    def _readable_code(self) -> list[SourceCell]:
        readable = []
        for cell in self.cells:
            try:
                find_blocks(cell.text)
            except MarkerError:
                continue  # already reported
            if cell.kind == "code":
                readable.append(cell)
        return readable
