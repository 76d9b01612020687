"""Read notebooks that students have had in their hands, and find exercises in them."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from lab_utils.errors import LabError
from lab_utils.notebooks.solution import defined_names, parse

KEY = "triton_lab"
"""Our key in the metadata of notebooks and cells."""


def read_notebook(path: Path) -> NotebookNode:
    """Read a notebook of any 4.x minor version and bring it to 4.5 with unique cell ids.

    Raises:
        LabError: The file is not there, is no JSON, or is no notebook.
    """
    try:
        logger = logging.getLogger("traitlets")
        level = logger.level
        logger.setLevel(logging.CRITICAL)  # nbformat logs what `_problem` says in one sentence
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # it warns of copied cells, whose ids are told apart here
                notebook = nbformat.read(path, as_version=4)
            problem = _problem(notebook)
        finally:
            logger.setLevel(level)
    except FileNotFoundError as error:
        raise LabError(
            f"There is no notebook {path}.",
            fix="If you gave yours another name, give it this one again. Else make your copies: "
            "triton-lab notebooks",
        ) from error
    except Exception as error:  # JSON, encoding and format faults each have a class of their own
        problem = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no detail'}"
    if problem:
        raise LabError(
            f"{path} cannot be read as a notebook.",
            why=problem,
            fix="Put back the whole notebook (a dated backup is kept): triton-lab reset " + path.name[:2],
        )
    seen: set[str] = set()
    for number, cell in enumerate(notebook.cells):
        if not isinstance(cell.get("id"), str) or cell["id"] in seen:
            cell["id"] = _free_id(number, seen)
        seen.add(cell["id"])
    notebook.nbformat_minor = max(5, notebook.nbformat_minor)
    return notebook


def _free_id(number: int, seen: set[str]) -> str:
    name = f"cell-{number}"
    while name in seen:
        name += "-again"
    return name


def _problem(notebook: NotebookNode) -> str:
    """Why this is no notebook, or an empty text."""
    if not isinstance(notebook.get("cells"), list):
        return "it has no list of cells"
    for number, cell in enumerate(notebook.cells, 1):
        if not isinstance(cell, dict) or not isinstance(cell.get("source"), str) or "cell_type" not in cell:
            return f"cell {number} has no type or no text"
        cell.setdefault("metadata", NotebookNode())
    if not isinstance(notebook.get("metadata"), dict):
        return "it has no metadata"
    return ""


def place_of(cell: NotebookNode) -> tuple[str, str] | None:
    """Exercise and role of a cell by its metadata or its tags; None when both are lost."""
    ours = cell.metadata.get(KEY)
    if isinstance(ours, dict) and "exercise" in ours and "role" in ours:
        return str(ours["exercise"]), str(ours["role"])
    tags = cell.metadata.get("tags", [])
    for tag in tags if isinstance(tags, list) else []:
        for prefix, role in (("exercise-", "answer"), ("check-", "check")):
            if isinstance(tag, str) and tag.startswith(prefix):
                return tag.removeprefix(prefix), role
    return None


def names_of(cell: NotebookNode) -> set[str]:
    """Names that a code cell defines; empty for Markdown and for code that does not parse."""
    if cell.cell_type != "code":
        return set()
    try:
        return defined_names(parse(cell.source))
    except SyntaxError:
        return set()


def counterpart(wanted: NotebookNode, cells: Sequence[NotebookNode]) -> int | None:
    """Find the cell that a shipped cell became in a student's notebook.

    Looks for the cell's id first, then for its exercise and role (metadata or tag), then for the
    same text, then, for an answer, for a cell that defines one of its names. The first one wins:
    copies that the student made stand behind it.

    Returns:
        Position in `cells`, or None when the student deleted it.
    """
    for position, cell in enumerate(cells):
        if cell.get("id") == wanted.get("id"):
            return position
    place = place_of(wanted)
    names = names_of(wanted) if place and place[1] == "answer" else set()
    if place:
        same = [p for p, cell in enumerate(cells) if place_of(cell) == place]
        # An exercise may have several answer cells: then the names tell them apart. A cell that
        # defines nothing (emptied, or not Python at the moment) is taken when none of them does.
        telling = [p for p in same if names & names_of(cells[p])] if names else same
        telling = telling or [p for p in same if not names_of(cells[p])]
        if telling:
            return telling[0]
    for position, cell in enumerate(cells):
        same_text = cell.cell_type == wanted.cell_type and cell.source.strip() == wanted.source.strip()
        if same_text and place_of(cell) in (None, place):
            return position
    for position, cell in enumerate(cells):
        if names & names_of(cell):
            return position
    return None
