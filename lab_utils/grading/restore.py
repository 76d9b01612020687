"""The notebook that is executed: the student's cells in the frame of the released notebook.

Only answers count. So the start cell and the check cells are the released ones, each check stands behind
its answer, copies of them are gone, and cells are of the kind and in the order in which they were handed
out. The student's own cells stay behind the cell that they followed. Each change is told in the report.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import nbformat
from nbformat import NotebookNode

from lab_utils.grading.matching import Matching, answer_of, check_of, defined_in, is_setup
from lab_utils.notebooks.read import KEY, place_of

_KEPT = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom)
_OURS = {"lab", "Lab"}


@dataclass
class Restored:
    """A notebook that is ready to be executed.

    Attributes:
        notebook: The notebook.
        checks: Exercise by the id of the cell that checks it.
        changes: What was put back, one sentence each.
        run: What is executed of it; at first all.
    """

    notebook: NotebookNode
    checks: dict[str, str]
    changes: list[str] = field(default_factory=list)
    run: NotebookNode = field(init=False)

    def __post_init__(self) -> None:
        self.run = self.notebook


def restore(submitted: NotebookNode, released: NotebookNode) -> Restored:
    """Put a student's cells into the frame of the released notebook.

    Args:
        submitted: As `read_notebook` hands it over. It is not changed.
        released: The student notebook of this release.
    """
    return _Frame(submitted, released).build()


@dataclass
class _Piece:
    """A released cell's counterpart with the student's own cells that follow it.

    `order` is its position in the released notebook; -1 for cells before all of them.
    """

    order: int
    cells: list[NotebookNode]


class _Frame:
    """One notebook while it is put together."""

    def __init__(self, submitted: NotebookNode, released: NotebookNode) -> None:
        self.released: list[NotebookNode] = released.cells
        self.submitted: list[NotebookNode] = [_light(cell) for cell in submitted.cells]
        self.metadata = released.metadata
        self.matching = Matching(self.released, self.submitted)
        self.changes: list[str] = []

    def build(self) -> Restored:
        pieces = self._in_order(self._pieces())
        self._put_back_missing(pieces)
        self._put_checks_behind_answers(pieces)
        cells = [cell for piece in pieces for cell in piece.cells]
        self._put_setup_first(cells)
        _own_ids(cells)
        notebook = nbformat.v4.new_notebook(cells=cells, metadata=copy.deepcopy(self.metadata))
        checks = {cell.id: check_of(cell) for cell in cells if check_of(cell) and self._is_ours(cell)}
        return Restored(notebook, checks, self.changes)

    def _pieces(self) -> list[_Piece]:
        """The submitted cells in the student's order, released ones of the right kind and text."""
        order_of = {s: r for r, s in self.matching.found.items()}
        ours = {cell.source.strip() for cell in self.released if check_of(cell) or is_setup(cell)}
        pieces = [_Piece(-1, [])]
        copies = 0
        for s, cell in enumerate(self.submitted):
            r = order_of.get(s)
            if r is not None:
                pieces.append(_Piece(r, self._released_or_own(r, cell)))
            elif cell.source.strip() in ours or check_of(cell):
                copies += 1
            else:
                pieces[-1].cells.append(cell)
        if copies:
            self._say(f"{_count(copies, 'copy', 'copies')} of check cells or of the start cell taken out")
        return pieces

    def _released_or_own(self, r: int, cell: NotebookNode) -> list[NotebookNode]:
        """The cells that stand for a released one: ours with what was defined there, or the student's."""
        wanted = self.released[r]
        if check_of(wanted) or is_setup(wanted):
            what = f"the check cell of {check_of(wanted)}" if check_of(wanted) else "the start cell"
            if cell.source.strip() == wanted.source.strip() and cell.cell_type == wanted.cell_type:
                return [copy.deepcopy(wanted)]
            self._say(f"{what} was changed; it is the released one again")
            rest = _definitions(cell, wanted)
            return [*([rest] if rest is not None else []), copy.deepcopy(wanted)]
        if cell.cell_type != wanted.cell_type:
            self._say(f"{_name(wanted)} was {_kind(cell)}; it is {_kind(wanted)} again")
            source = cell.source
            cell = copy.deepcopy(wanted)
            cell.source = source
        return [cell]

    def _in_order(self, pieces: list[_Piece]) -> list[_Piece]:
        """The released order. What a student moved, moves back together with what follows it."""
        ordered = sorted(pieces, key=lambda piece: piece.order)
        if any(a is not b for a, b in zip(ordered, pieces, strict=True)):
            self._say("the cells are in the released order again")
        return ordered

    def _put_back_missing(self, pieces: list[_Piece]) -> None:
        """Deleted cells come back: checks always, other code where the student has no words of their own."""
        own: set[str] = set().union(*(self.matching.names[s] for s in self.matching.extra()))
        for r in self.matching.missing():
            wanted = self.released[r]
            if is_setup(wanted) or check_of(wanted):
                self._say(f"{_name(wanted)} was missing; it is there again")
            elif answer_of(wanted):
                self._say(f"an answer cell of {answer_of(wanted)} is missing")
                continue
            elif wanted.cell_type != "code" or defined_in(wanted) & own:
                continue
            else:
                self._say(f"{_name(wanted)} was missing; it is there again")
            at = max(i for i, piece in enumerate(pieces) if piece.order < r) + 1
            pieces.insert(at, _Piece(r, [copy.deepcopy(wanted)]))

    def _put_checks_behind_answers(self, pieces: list[_Piece]) -> None:
        """An answer that now stands elsewhere, in a cell of the student's own, is still checked after it."""
        for r, wanted in enumerate(self.released):
            exercise = check_of(wanted)
            if not exercise:
                continue
            last = self._last_answer(exercise, pieces)
            at = next(i for i, piece in enumerate(pieces) if piece.order == r)
            here = pieces[at].cells
            position = next(i for i, cell in enumerate(here) if self._is_ours(cell))
            if last > at or (last == at and position + 1 < len(here)):
                pieces[last].cells.append(here.pop(position))
                self._say(f"the check of {exercise} moved behind its answer")

    def _last_answer(self, exercise: str, pieces: Sequence[_Piece]) -> int:
        """The last piece with an answer of an exercise that has lost an answer cell; else -1."""
        lost = [
            r for r, one in enumerate(self.released)
            if answer_of(one) == exercise and r not in self.matching.found
        ]  # fmt: skip
        names = set().union(*(defined_in(self.released[r]) for r in lost)) if lost else set()
        holding = [
            i for i, piece in enumerate(pieces) if any(names & defined_in(cell) for cell in piece.cells)
        ]
        return max(holding, default=-1)

    def _put_setup_first(self, cells: list[NotebookNode]) -> None:
        """Nothing runs before the start cell."""
        setup = next(i for i, cell in enumerate(cells) if is_setup(cell) and self._is_ours(cell))
        first = next(i for i, cell in enumerate(cells) if cell.cell_type == "code")
        if first < setup:
            cells.insert(first, cells.pop(setup))

    def _is_ours(self, cell: NotebookNode) -> bool:
        return any(cell.source == one.source for one in self.released if check_of(one) or is_setup(one))

    def _say(self, text: str) -> None:
        self.changes.append(text[0].upper() + text[1:] + ".")


def _light(cell: NotebookNode) -> NotebookNode:
    """A cell without outputs, attachments and tags: a tag can make the run pass over it."""
    kind = cell.cell_type if cell.cell_type in ("code", "markdown", "raw") else "raw"
    light = NotebookNode(cell_type=kind, id=cell.id, source=cell.source, metadata=NotebookNode())
    place = place_of(cell) if isinstance(cell.metadata, dict) else None
    if place:
        light.metadata[KEY] = NotebookNode(exercise=place[0], role=place[1])
    if light.cell_type == "code":
        light.outputs, light.execution_count = [], None
    return light


def _definitions(cell: NotebookNode, wanted: NotebookNode) -> NotebookNode | None:
    """What a student defined or imported inside of one of our cells, as a cell of its own."""
    try:
        theirs, ours = ast.parse(cell.source), ast.parse(wanted.source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    known = {ast.dump(node) for node in ours.body}
    kept = [n for n in theirs.body if isinstance(n, _KEPT) and ast.dump(n) not in known and not _takes(n)]
    if not kept:
        return None
    source = "\n\n".join(ast.unparse(node) for node in kept)
    return nbformat.v4.new_code_cell(source, metadata={}, id=f"{cell.id}-own"[:64])


def _takes(node: ast.stmt) -> bool:
    """The statement gives a name of ours another meaning."""
    if isinstance(node, ast.Import | ast.ImportFrom):
        return any((alias.asname or alias.name) in {*_OURS, "*"} for alias in node.names)
    return getattr(node, "name", "") in _OURS


def _own_ids(cells: Iterable[NotebookNode]) -> None:
    """Give every cell an id of its own; ours keep theirs."""
    cells = list(cells)
    seen: set[str] = set()
    for cell in sorted(cells, key=lambda one: not (check_of(one) or is_setup(one))):
        id, number = str(cell.id), 1
        while cell.id in seen:
            number += 1
            cell.id = f"{id[:56]}-{number}"
        seen.add(cell.id)


def _name(cell: NotebookNode) -> str:
    """A released cell in words."""
    place = place_of(cell)
    if is_setup(cell):
        return "the start cell"
    if place:
        return f"the {place[1]} cell of {place[0]}"
    lines = cell.source.strip().splitlines() or [""]
    return f"the cell that begins `{lines[0][:60]}`"


def _kind(cell: NotebookNode) -> str:
    return {"code": "code", "markdown": "text", "raw": "raw text"}.get(cell.cell_type, cell.cell_type)


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"
