"""The student's own copies of the notebooks in `work/`: made, refreshed, never overwritten."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

import nbformat
from filelock import FileLock
from nbformat import NotebookNode

from lab_utils.errors import LabError
from lab_utils.files import write_bytes
from lab_utils.notebooks.build import is_edited
from lab_utils.notebooks.read import KEY, counterpart, place_of, read_notebook
from lab_utils.paths import project_root, work_dir

_RECORDS = ".shipped"
_RELOAD = "If it is open in JupyterLab, choose File > Reload Notebook from Disk."


@dataclass(frozen=True)
class Copy:
    """What happened to one notebook.

    Attributes:
        path: The student's copy.
        action: `made`, `unchanged`, `refreshed` (a new version replaced an untouched one) or
            `kept` (the student's work was left as it is).
        message: One sentence for the student.
        new_version: Where the new version lies when the student's work was kept.
    """

    path: Path
    action: Literal["made", "unchanged", "refreshed", "kept"]
    message: str
    new_version: Path | None = None


def shipped_notebooks(labs: Path | None = None) -> list[Path]:
    """The student notebooks of this release, in order.

    Args:
        labs: Folder to look in; default: the project's `labs/`.

    Raises:
        LabError: There is none.
    """
    folder = labs or project_root() / "labs"
    found = sorted(folder.glob("[0-9][0-9]-*.ipynb"))
    if not found:
        raise LabError(
            f"There are no lab notebooks in {folder}.",
            why="They are generated from labs_solutions/*.py and belong to the repository.",
            fix="Write them: make notebooks",
        )
    return found


def make_copies(labs: Path | None = None, work: Path | None = None) -> list[Copy]:
    """Give the student a copy of every notebook; bring untouched copies up to date.

    A copy with the student's work in it stays. The new version then lies beside it as
    `*.new.ipynb`, with the student's answers already in it.

    Args:
        labs: Folder of the shipped notebooks; default: the project's `labs/`.
        work: The student's folder; default: `work_dir()`.

    Returns:
        One entry per notebook.
    """
    work = work or work_dir()
    with _locked(work):
        return [_copy(path, work) for path in shipped_notebooks(labs)]


def backup(path: Path) -> Path:
    """Keep the file's present content as `backups/NAME.YYYYMMDD-HHMMSS.ipynb` beside it.

    Returns:
        The backup, which no later backup overwrites.
    """
    stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
    number = 1
    while True:
        again = "" if number == 1 else f"-{number}"
        target = path.parent / "backups" / f"{path.stem}.{stamp}{again}{path.suffix}"
        if not target.exists():
            write_bytes(target, path.read_bytes())
            return target
        number += 1


def find_lab(lab: str, labs: Path | None = None) -> Path:
    """The shipped notebook of a lab.

    Args:
        lab: `"1"`, `"01"` or the notebook's name.
        labs: Folder of the shipped notebooks.

    Raises:
        LabError: Names the labs there are.
    """
    number = re.match(r"(?:lab)?(\d+)", lab.strip(), re.IGNORECASE)
    shipped = shipped_notebooks(labs)
    for path in shipped:
        if number and int(path.name[:2]) == int(number.group(1)):
            return path
    raise LabError(
        f"There is no lab {lab!r}.", fix=f"The labs are: {', '.join(path.stem for path in shipped)}"
    )


def lock(work: Path) -> FileLock:
    """The lock that everything which writes notebooks in `work` holds."""
    (work / _RECORDS).mkdir(parents=True, exist_ok=True)
    return FileLock(work / _RECORDS / ".lock", timeout=30)


_locked = lock


def record(work: Path, name: str) -> Path:
    """Where the version that a copy was made from is remembered, byte for byte."""
    return work / _RECORDS / name


def hand_out(shipped: Path, work: Path) -> Path:
    """Write a shipped notebook into `work` and remember it. The caller holds the lock."""
    content = shipped.read_bytes()
    write_bytes(record(work, shipped.name), content)
    write_bytes(work / shipped.name, content)
    return work / shipped.name


def _copy(shipped: Path, work: Path) -> Copy:
    target = work / shipped.name
    name, content = shipped.name, shipped.read_bytes()
    if not target.exists():
        return Copy(hand_out(shipped, work), "made", f"{name}: your copy is ready.")
    present = target.read_bytes()
    if present == content:
        write_bytes(record(work, name), content)
        return Copy(target, "unchanged", f"{name}: up to date.")
    known = record(work, name)
    if known.exists() and present == known.read_bytes():
        hand_out(shipped, work)
        return Copy(target, "refreshed", f"{name}: replaced by the new version; you had not touched it.")
    try:
        student = read_notebook(target)
    except LabError as error:
        return Copy(target, "kept", f"{name}: left as it is. {error.what} {error.why} {error.fix}")
    new = read_notebook(shipped)
    if _version(student) == _version(new):
        return Copy(target, "kept", f"{name}: your work, left as it is (the version is up to date).")
    if not is_edited(student):
        saved = backup(target)
        hand_out(shipped, work)
        text = f"you had run it but changed nothing; the old one is backups/{saved.name}. {_RELOAD}"
        return Copy(target, "refreshed", f"{name}: replaced by the new version; {text}")
    return _offer(shipped, target, student, new)


def _version(notebook: NotebookNode) -> str:
    return str(notebook.metadata.get(KEY, {}).get("digest", ""))


def _offer(shipped: Path, target: Path, student: NotebookNode, new: NotebookNode) -> Copy:
    """Put the new version, with the student's answers, beside work that was kept."""
    beside = target.with_suffix(".new.ipynb")
    offered = record(target.parent, f"{target.stem}.offered")
    kept = f"{target.name}: your work, left as it is. The new version is {beside.name}"
    if offered.exists() and offered.read_text() == _version(new) and beside.exists():
        return Copy(target, "kept", f"{kept}.", beside)
    if beside.exists():
        backup(beside)
    known = record(target.parent, target.name)
    base = read_notebook(known) if known.exists() else None
    carried = carry_answers(student, new, base)
    write_bytes(beside, (nbformat.writes(new) + "\n").encode())
    write_bytes(offered, _version(new).encode())
    answers = f", with your answers to {', '.join(carried)}" if carried else ""
    how = f"To go on in it: mv {beside.name} {target.name}"
    return Copy(target, "kept", f"{kept}{answers}. {how}", beside)


def carry_answers(student: NotebookNode, new: NotebookNode, base: NotebookNode | None) -> list[str]:
    """Copy the student's changed answer cells into a new version of the notebook.

    Args:
        student: The student's notebook.
        new: The new version; changed in place.
        base: The version the student began with, to know which stubs were changed; None takes
            every answer cell that no longer raises its `NotImplementedError`.

    Returns:
        Ids of the exercises whose answers were carried over.
    """
    carried = []
    for cell in new.cells:
        place = place_of(cell)
        if not place or place[1] != "answer":
            continue
        position = counterpart(cell, student.cells)
        if position is None:
            continue
        answer = student.cells[position].source
        was = counterpart(cell, base.cells) if base is not None else None
        if base is not None and was is not None:
            changed = answer != base.cells[was].source
        else:
            changed = f'NotImplementedError("{place[0]}:' not in answer
        if changed and answer != cell.source:
            cell.source = answer
            carried.append(place[0])
    return sorted(set(carried), key=lambda id: [int(part) for part in id.split(".")])
