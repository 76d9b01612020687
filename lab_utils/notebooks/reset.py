"""Put back one exercise, or a whole notebook, in the student's folder; always with a backup."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from lab_utils.errors import LabError
from lab_utils.files import write_bytes
from lab_utils.notebooks.copies import backup, find_lab, hand_out, lock
from lab_utils.notebooks.read import counterpart, names_of, place_of, read_notebook
from lab_utils.paths import work_dir

_RELOAD = "If the notebook is open in JupyterLab, choose File > Reload Notebook from Disk."


@dataclass(frozen=True)
class Reset:
    """What a reset did.

    Attributes:
        path: The student's notebook.
        backup: Its content before the reset; None when there was no notebook.
        message: What happened, for the student.
    """

    path: Path
    backup: Path | None
    message: str


def reset(
    lab: str, exercise: str | None = None, *, labs: Path | None = None, work: Path | None = None
) -> Reset:
    """Put back the stub of one exercise, or the whole notebook.

    Args:
        lab: `"1"` or `"01"`.
        exercise: `"1.5"` or `"5"`; None resets the whole notebook.
        labs: Folder of the shipped notebooks; default: the project's `labs/`.
        work: The student's folder; default: `work_dir()`.

    Raises:
        LabError: No such lab or exercise, or the notebook cannot be read (then only the whole
            notebook can be put back).
    """
    work = work or work_dir()
    shipped = find_lab(lab, labs)
    target = work / shipped.name
    wanted = _exercise_id(shipped, exercise) if exercise is not None else None
    with lock(work):
        if not target.exists():
            hand_out(shipped, work)
            return Reset(target, None, f"{target.name} was not there; it is now a fresh copy.")
        if wanted is None:
            saved = backup(target)
            hand_out(shipped, work)
            kept = saved.relative_to(work.parent)
            text = f"{target.name} is as it was at the start. Your version: {kept}. {_RELOAD}"
            return Reset(target, saved, text)
        student = read_notebook(target)
        done = put_back(student, read_notebook(shipped), wanted)
        saved = backup(target)
        write_bytes(target, (nbformat.writes(student) + "\n").encode())
        return Reset(target, saved, f"{done} Your version: {saved.relative_to(work.parent)}. {_RELOAD}")


def _exercise_id(shipped: Path, exercise: str) -> str:
    number = exercise.strip()
    wanted = number if "." in number else f"{int(shipped.name[:2])}.{number}"
    places = (place_of(cell) for cell in read_notebook(shipped).cells)
    known = list(dict.fromkeys(place[0] for place in places if place))
    if wanted not in known:
        raise LabError(
            f"Lab {shipped.name[:2]} has no exercise {wanted!r}.", fix=f"Its exercises: {', '.join(known)}"
        )
    return wanted


def put_back(student: NotebookNode, shipped: NotebookNode, exercise: str) -> str:
    """Restore one exercise inside a student's notebook.

    The stub replaces the answer, wherever the student moved it; deleted cells of the exercise come
    back behind the cell that they followed. Copies of the answer stay where they are: they are the
    student's, and the message names them.

    Args:
        student: Changed in place.
        shipped: The notebook as it is handed out.
        exercise: For example `"1.5"`.

    Returns:
        What was done, in one or two sentences.
    """
    inserted, names = [], set()
    for position, cell in enumerate(shipped.cells):
        place = place_of(cell)
        if not place or place[0] != exercise:
            continue
        found = counterpart(cell, student.cells)
        if found is None:
            student.cells.insert(_behind(student, shipped, position), copy.deepcopy(cell))
            inserted.append(place[1])
        elif place[1] == "answer":
            student.cells[found] = copy.deepcopy(cell)
        if place[1] == "answer":
            names |= names_of(cell)
    done = f"Exercise {exercise} is as it was at the start."
    if inserted:
        done += f" Put in again: {', '.join(inserted)}."
    ours = {cell["id"] for cell in shipped.cells if (place_of(cell) or ("",))[0] == exercise}
    others = [
        str(number)
        for number, cell in enumerate(student.cells, 1)
        if cell["id"] not in ours and names & names_of(cell)
    ]
    if others:
        cells = f"cell{'s' if len(others) > 1 else ''} {', '.join(others)}"
        done += f" Note: {cells} of the notebook also define{'' if len(others) > 1 else 's'} "
        done += f"{', '.join(sorted(names))}; run later, that definition counts."
    return done


def _behind(student: NotebookNode, shipped: NotebookNode, position: int) -> int:
    """Where a shipped cell belongs in the student's notebook: behind its nearest predecessor."""
    for before in range(position - 1, -1, -1):
        found = counterpart(shipped.cells[before], student.cells)
        if found is not None:
            return found + 1
    return 0
