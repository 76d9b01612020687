"""The lean run: what a lab only shows is not run again, so that a class is graded in a tenth of the time.

Answers are functions that get what they need as arguments, so a check needs the imports, helpers and literal
values of the cells around it, and the lab's server; not the loads and pictures. An answer that leans on
more than that fails here, and then the whole notebook is run: a lean run can only spare time, never points.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterable

from IPython.core.inputtransformer2 import TransformerManager
from nbformat import NotebookNode

from lab_utils.grading.matching import is_setup
from lab_utils.notebooks.read import place_of
from lab_utils.progress.registry import Status, Verdict

_DEFINING = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_UNSOLVED = ("NotImplementedError", "missing name")


def lean(notebook: NotebookNode, released: NotebookNode) -> NotebookNode:
    """A restored notebook in which cells that were not touched only define; all others are as they were.

    Args:
        notebook: The student's cells in the released frame. It is not changed.
        released: The student notebook of this release.
    """
    shown = {
        one.source
        for one in released.cells
        if one.cell_type == "code" and place_of(one) is None and not is_setup(one)
    }
    made = copy.deepcopy(notebook)
    started = False
    for cell in made.cells:
        if cell.cell_type == "code" and cell.source in shown and place_of(cell) is None:
            cell.source, started = _definitions(cell.source, started)
    return made


def whole_again(executed: NotebookNode, notebook: NotebookNode) -> NotebookNode:
    """The executed notebook with the text of every cell as it was handed in."""
    sources = {cell.id: cell.source for cell in notebook.cells}
    for cell in executed.cells:
        cell.source = sources.get(cell.id, cell.source)
    return executed


def is_enough(verdicts: Iterable[Verdict], raised: int) -> bool:
    """Whether a lean run that reached its end says all: nothing raised, and nothing failed that was written.

    Args:
        verdicts: Those of the run.
        raised: Cells that raised something else than the error of an unsolved exercise.
    """
    return raised == 0 and all(
        one.status is not Status.FAIL or one.evidence.get("error") in _UNSOLVED for one in verdicts
    )


def _definitions(source: str, started: bool) -> tuple[str, bool]:
    """What is left of a cell that only shows, and whether the lab's server has been started by now."""
    try:
        nodes = ast.parse(TransformerManager().transform_cell(source)).body
    except SyntaxError:
        return source, started
    kept = []
    for node in nodes:
        starts = not started and _starts_server(node)
        if starts or _defines(node):
            kept.append(ast.unparse(node))
        started = started or starts
    return "\n".join(kept), started


def _defines(node: ast.stmt) -> bool:
    """Imports, functions, classes, and names for literal values."""
    if isinstance(node, _DEFINING):
        return True
    if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
        try:
            ast.literal_eval(node.value)
        except (ValueError, TypeError):
            return False
        return True
    return False


def _starts_server(node: ast.stmt) -> bool:
    return any(isinstance(one, ast.Call) and ast.unparse(one.func) == "lab.start" for one in ast.walk(node))
