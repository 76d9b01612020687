"""Find the cells of the released notebook in a submitted one, whatever a student did to it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from nbformat import NotebookNode

from lab_utils.notebooks.read import names_of, place_of

_SETUP = re.compile(r"^lab\s*=\s*Lab\(", re.MULTILINE)


def is_setup(cell: NotebookNode) -> bool:
    """The start cell of a released notebook."""
    return cell.cell_type == "code" and bool(_SETUP.search(cell.source)) and place_of(cell) is None


def check_of(cell: NotebookNode) -> str:
    """The exercise that a released cell checks; empty for every other cell."""
    place = place_of(cell)
    return place[0] if place and place[1] == "check" else ""


def answer_of(cell: NotebookNode) -> str:
    """The exercise that a released cell holds an answer of; empty for every other cell."""
    place = place_of(cell)
    return place[0] if place and place[1] == "answer" else ""


def defined_in(cell: NotebookNode) -> set[str]:
    """Names that a cell defines, also one that was turned into text; empty where it is no Python."""
    code = NotebookNode(cell_type="code", source=cell.source)
    try:
        return names_of(code) if cell.cell_type in ("code", "raw") else set()
    except (ValueError, RecursionError, MemoryError):  # null bytes, a thousand brackets
        return set()


class Matching:
    """Which submitted cell each released cell became. No submitted cell stands for two.

    Args:
        released: The released cells.
        submitted: The submitted cells.

    Attributes:
        found: Position in `submitted` by position in `released`.
        names: What each submitted cell defines.
    """

    def __init__(self, released: Sequence[NotebookNode], submitted: Sequence[NotebookNode]) -> None:
        self._released, self._submitted = released, submitted
        self.found: dict[int, int] = {}
        self.names = [defined_in(cell) for cell in submitted]
        wanted = [defined_in(cell) if answer_of(cell) else set() for cell in released]
        places = [place_of(cell) for cell in submitted]
        texts = [cell.source.strip() for cell in submitted]

        def same_id(r: int, s: int) -> bool:
            return submitted[s].get("id") == released[r].get("id") and not self._claims_other(r, s)

        def same_place(r: int, s: int) -> bool:
            place = place_of(released[r])
            if place is None or places[s] != place:
                return False
            return not wanted[r] or not self.names[s] or bool(wanted[r] & self.names[s])

        def same_text(r: int, s: int) -> bool:
            return texts[s] == released[r].source.strip() and not self._claims_other(r, s)

        def same_names(r: int, s: int) -> bool:
            return submitted[s].cell_type == "code" and bool(wanted[r] & self.names[s])

        for alike in (same_id, same_place, same_text, same_names):
            self._match(alike)

    def missing(self) -> list[int]:
        """Released cells that the submitted notebook does not have."""
        return [r for r in range(len(self._released)) if r not in self.found]

    def extra(self) -> list[int]:
        """Submitted cells that are no released ones: the student's own, and copies."""
        taken = set(self.found.values())
        return [s for s in range(len(self._submitted)) if s not in taken]

    def _match(self, alike: Callable[[int, int], bool]) -> None:
        free = self.extra()
        for r in self.missing():
            for s in free:
                if alike(r, s):
                    self.found[r] = s
                    free.remove(s)
                    break

    def _claims_other(self, r: int, s: int) -> bool:
        """The submitted cell says that it belongs to another exercise, or to another part of this one."""
        mine, theirs = place_of(self._released[r]), place_of(self._submitted[s])
        return theirs is not None and theirs != mine
