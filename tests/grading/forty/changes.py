"""Named changes that make a submission out of a lab's own notebooks."""

from __future__ import annotations

import ast
import copy
from collections.abc import Collection, Iterator, Sequence
from functools import cache

from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_output

from lab_utils.grading.matching import answer_of, check_of, is_setup
from lab_utils.notebooks.read import read_notebook
from lab_utils.paths import project_root
from lab_utils.progress.labs import LABS
from tests.proofs.kit.labs import LabUnderTest, discover
from tests.proofs.kit.wrong import WrongAnswer


@cache
def under(lab: str) -> LabUnderTest:
    """The lab with its wrong answers."""
    return next(one for one in discover() if one.spec.number == lab)


def released(lab: str) -> NotebookNode:
    """The student's notebook as it is handed out."""
    return read_notebook(project_root() / "labs" / f"{LABS[lab].notebook}.ipynb")


def solved(lab: str) -> NotebookNode:
    """The complete notebook."""
    return read_notebook(project_root() / "labs_solutions" / f"{LABS[lab].notebook}.ipynb")


def partly(lab: str, exercises: Collection[str]) -> NotebookNode:
    """The student's notebook with right answers to some exercises."""
    notebook, answers = released(lab), {cell.id: cell.source for cell in solved(lab).cells}
    for cell in notebook.cells:
        if answer_of(cell) in exercises:
            cell.source = answers[cell.id]
    return notebook


def own(source: str, id: str) -> NotebookNode:
    """A cell of a student's own. The same id each time: the same submission in every run."""
    return new_code_cell(source, id=id)


def with_cells(notebook: NotebookNode, *sources: str, last: bool = False) -> NotebookNode:
    """Own cells behind the released start cell, or at the end."""
    notebook = copy.deepcopy(notebook)
    at = len(notebook.cells) if last else 1 + next(i for i, c in enumerate(notebook.cells) if is_setup(c))
    notebook.cells[at:at] = [own(source, f"own-{number}") for number, source in enumerate(sources)]
    return notebook


def with_answer(notebook: NotebookNode, exercise: str, source: str) -> NotebookNode:
    """More code at the end of an exercise's last answer cell; what stands later in a cell wins."""
    notebook = copy.deepcopy(notebook)
    cell = [cell for cell in notebook.cells if answer_of(cell) == exercise][-1]
    cell.source = f"{cell.source}\n\n\n{source.strip()}"
    return notebook


def wrong_answers(lab: str, number: int) -> dict[str, WrongAnswer]:
    """The wrong answer with this number of each exercise; those with fewer begin again."""
    return {
        one.id: answers[number % len(answers)]
        for one in under(lab).checkpoints()
        if (answers := under(lab).wrong_answers[one.id])
    }


def wrong(lab: str, number: int) -> NotebookNode:
    """The complete notebook with a wrong answer to every exercise."""
    notebook = solved(lab)
    for exercise, answer in wrong_answers(lab, number).items():
        notebook = with_answer(notebook, exercise, answer.code)
    return notebook


def unusual(lab: str, only: Collection[str] | None = None) -> NotebookNode:
    """Right answers, to some exercises or to all, by somebody with habits.

    The work is done by helpers in cells of their own, NumPy has another name there, and the names that are
    asked for are lambdas and objects. Between them are the student's notes and plots, and outputs are saved.
    """
    notebook = solved(lab) if only is None else partly(lab, only)
    cells: list[NotebookNode] = []
    for number, cell in enumerate(notebook.cells):
        if answer_of(cell) and (only is None or answer_of(cell) in only):
            helpers, cell.source = _as_helpers(cell.source)
            cells += [own(text, f"helper-{number}-{place}") for place, text in enumerate(helpers)]
        if cell.cell_type == "code":
            cell.outputs = [new_output("stream", text=f"an old output of cell {number}\n")]
            cell.execution_count = 1000 - number
        cells.append(cell)
        if check_of(cell):
            note = f"*My note on {check_of(cell)}: done.*"
            cells.append(new_markdown_cell(note, id=f"note-{number}"))
    notebook.cells = cells
    notebook.metadata.pop("triton_lab", None)
    return with_cells(
        notebook,
        "import numpy as numerics\nfrom matplotlib import pyplot\n\n"
        "pyplot.plot(numerics.linspace(0, 1, 50) ** 2)\npyplot.show()",
        "%%time\ntimes = [n * n for n in range(10)]\ntimes",
    )


def _as_helpers(source: str) -> tuple[list[str], str]:
    """Cells with all else and with helpers that do the work of an answer, and the answer that calls them."""
    other, helpers, answer = [], [], []
    for node in ast.parse(source).body:
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            other.append(ast.unparse(node))
            continue
        name, node.name = node.name, f"_{node.name}_of_mine"
        helper = _Renamed().visit(node)
        helpers.append(ast.unparse(ast.fix_missing_locations(helper)))
        call = f"{node.name}(*args, **kwargs)"
        if len(helpers) % 2:
            answer.append(f"{name} = lambda *args, **kwargs: {call}")
        else:
            answer.append(
                f"class Own_{name}:\n    def __call__(self, *args, **kwargs):\n        return {call}\n\n"
                f"{name} = Own_{name}()"
            )
    return [text for text in ("\n".join(other), *helpers) if text], "\n\n".join(answer)


class _Renamed(ast.NodeTransformer):
    """NumPy under another name."""

    def visit_Name(self, node: ast.Name) -> ast.Name:
        return ast.Name("numerics", node.ctx) if node.id == "np" else node


def without_checks(notebook: NotebookNode) -> NotebookNode:
    """The start cell and all check cells are deleted."""
    notebook.cells = [cell for cell in notebook.cells if not (is_setup(cell) or check_of(cell))]
    return notebook


def with_own_checks(notebook: NotebookNode) -> NotebookNode:
    """Check cells that always say PASS, and a start cell with a laboratory of the student's own."""
    for cell in notebook.cells:
        if check_of(cell):
            cell.source = f"print('PASS  {check_of(cell)}')"
        elif is_setup(cell):
            cell.source += "\nlab.check = lambda id: print('PASS', id)"
    return notebook


def copied(notebook: NotebookNode) -> NotebookNode:
    """Every answer and every check stands there twice; the copies have the same metadata."""
    notebook.cells = [
        copy.deepcopy(cell)
        for cell in notebook.cells
        for _ in range(2 if answer_of(cell) or check_of(cell) else 1)
    ]
    return notebook


def reordered(notebook: NotebookNode) -> NotebookNode:
    """The last cell first."""
    notebook.cells = notebook.cells[::-1]
    return notebook


def converted(notebook: NotebookNode) -> NotebookNode:
    """Answers and checks are text and raw cells by turns."""
    kinds = _turns(("markdown", "raw"))
    for cell in notebook.cells:
        if answer_of(cell) or check_of(cell):
            cell.cell_type = next(kinds)
            cell.pop("outputs", None)
            cell.pop("execution_count", None)
    return notebook


def _turns(kinds: Sequence[str]) -> Iterator[str]:
    while True:
        yield from kinds
