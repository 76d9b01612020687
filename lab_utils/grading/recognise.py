"""Which lab a notebook is of: by what stands in it, never by its file name."""

from __future__ import annotations

import re
from collections import defaultdict

from nbformat import NotebookNode

from lab_utils.notebooks.read import KEY, place_of
from lab_utils.progress.labs import LABS

_CELL_ID = re.compile(r"exercise-(\d{1,3})-(\d{1,3})-")
_HEADING = re.compile(r"^#+ *Exercise (\d{1,3}\.\d{1,3})\b", re.MULTILINE)
_CHECK = re.compile(r"""\blab\.check\(\s*["'](\d{1,3}\.\d{1,3})["']""")


def lab_of(notebook: NotebookNode) -> str | None:
    """The lab whose exercises the notebook holds most of; None for a foreign notebook.

    Metadata, tags, cell ids, headings and check calls all count, so that one of them is enough when
    a program or a student lost the others. A notebook without any exercise is of the lab that its
    own metadata names.
    """
    seen: dict[str, set[str]] = defaultdict(set)
    for cell in notebook.cells:
        for exercise in _exercises(cell):
            lab = f"{int(exercise.split('.')[0]):02d}"
            if lab in LABS:
                seen[lab].add(exercise)
    if seen:
        claimed = _claimed(notebook)
        return min(seen, key=lambda lab: (-len(seen[lab]), lab != claimed, lab))
    return _claimed(notebook)


def _exercises(cell: NotebookNode) -> set[str]:
    found: set[str] = set()
    place = place_of(cell)
    if place:
        found.add(place[0])
    named = _CELL_ID.match(str(cell.get("id", "")))
    if named:
        found.add(f"{int(named[1])}.{int(named[2])}")
    found.update(_HEADING.findall(cell.source), _CHECK.findall(cell.source))
    return {exercise for exercise in found if re.fullmatch(r"\d{1,3}\.\d{1,3}", exercise)}


def _claimed(notebook: NotebookNode) -> str | None:
    """The lab in the notebook's own metadata."""
    ours = notebook.metadata.get(KEY)
    lab = str(ours.get("lab", "")) if isinstance(ours, dict) else ""
    return lab if lab in LABS else None
