"""The lean run: what a lab only shows is not run again, so that a class is graded sooner.

Answers are functions that get what they need as arguments, so a check needs the imports, helpers and literal
values of the cells around it, and the lab's server; not the loads and pictures. A notebook that leans on
more than that is run whole: see `leaning`.
"""

from __future__ import annotations

import ast
import copy
from dataclasses import dataclass, field

from IPython.core.inputtransformer2 import TransformerManager
from nbformat import NotebookNode

from lab_utils.grading.leaning import bound_names, global_names
from lab_utils.grading.matching import check_of, is_setup
from lab_utils.notebooks.read import place_of

_DEFINING = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


@dataclass
class Lean:
    """A notebook for a lean run.

    Attributes:
        notebook: Cells that were not touched only define; all others are as they were.
        used: Names that a student's cell uses and that only cells left out give a value to. If there are
            any, the whole notebook must run.
    """

    notebook: NotebookNode
    used: set[str] = field(default_factory=set)


def lean(notebook: NotebookNode, released: NotebookNode) -> Lean:
    """What is run of a restored notebook.

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
    lost: set[str] = set()
    taken: set[str] = set()
    for cell in made.cells:
        if cell.cell_type != "code" or is_setup(cell) or check_of(cell):
            continue
        if cell.source in shown and place_of(cell) is None:
            cell.source, left_out, started = _definitions(cell.source, started)
            lost |= bound_names(left_out)
        else:
            taken |= global_names(cell.source)
    return Lean(made, lost & taken)


def whole_again(executed: NotebookNode, notebook: NotebookNode) -> NotebookNode:
    """The executed notebook with the text of every cell as it was handed in."""
    sources = {cell.id: cell.source for cell in notebook.cells}
    for cell in executed.cells:
        cell.source = sources.get(cell.id, cell.source)
    return executed


def _definitions(source: str, started: bool) -> tuple[str, list[ast.stmt], bool]:
    """Of a cell that only shows: what is left, what is not, and whether the server was started by now."""
    try:
        nodes = ast.parse(TransformerManager().transform_cell(source)).body
    except SyntaxError:
        return source, [], started
    kept, left_out = [], []
    for node in nodes:
        starts = not started and _starts_server(node)
        if starts or _defines(node):
            kept.append(ast.unparse(node))
        else:
            left_out.append(node)
        started = started or starts
    return "\n".join(kept), left_out, started


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
