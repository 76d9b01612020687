"""Cells that lean on the course's own checks, which compute right values: for a teacher to look at.

The checks are in the student package, so they can be read, and no program can tell an idea that was found
there from one that was not. A cell that names them is told, and moves no grade; an answer that *is* a
function of the course fails (`lab_utils.progress.runner`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from nbformat import NotebookNode

from lab_utils.notebooks.read import place_of

BORROWED = "uses `lab_utils.checks`, where the right values are computed"
_USE = re.compile(r"lab_utils\s*\.\s*checks\b|\bfrom\s+lab_utils\s+import\b[^#\n]*\bchecks\b")


def borrowing(cells: Iterable[NotebookNode]) -> list[str]:
    """A sentence for each cell of code that names the course's checks."""
    found = []
    for cell in cells:
        if cell.cell_type == "code" and _USE.search(cell.source):
            place = place_of(cell)
            found.append(
                f"{f'the {place[1]} cell of {place[0]}' if place else 'a cell of their own'} {BORROWED}"
            )
    return found
