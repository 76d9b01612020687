"""The lean run spares what only shows, and never a point."""

from __future__ import annotations

import nbformat
import pytest
from nbformat import NotebookNode

from lab_utils.grading.lean import lean, whole_again
from lab_utils.grading.leaning import global_names, is_enough
from lab_utils.grading.matching import is_setup
from lab_utils.grading.restore import restore
from lab_utils.notebooks.read import place_of, read_notebook
from lab_utils.paths import project_root
from lab_utils.progress.labs import LABS
from lab_utils.progress.registry import Verdict, failed, passed, skipped
from tests.grading.sandbox import made
from tests.grading.sandbox.conftest import Grade, points

REAL = [number for number in LABS if int(number) < 50]


def both(number: str) -> tuple[NotebookNode, NotebookNode]:
    """The restored solution of a lab, and the released notebook."""
    root, name = project_root(), f"{LABS[number].notebook}.ipynb"
    released = read_notebook(root / "labs" / name)
    return restore(read_notebook(root / "labs_solutions" / name), released).notebook, released


@pytest.mark.parametrize("number", REAL)
def test_answers_checks_and_the_start_stay_and_the_rest_only_defines(number: str) -> None:
    notebook, released = both(number)
    made_lean = lean(notebook, released)
    assert made_lean.used == set()  # the reference answers lean on nothing: a class runs once
    starts = 0
    for cell, before in zip(made_lean.notebook.cells, notebook.cells, strict=True):
        if cell.cell_type != "code":
            continue
        if place_of(cell) or is_setup(cell):
            assert cell.source == before.source
            continue
        starts += cell.source.count("lab.start(")
        assert "run_load(" not in cell.source or "def " in cell.source
    assert starts == notebook_starts(notebook)
    assert whole_again(made_lean.notebook, notebook) == notebook


def notebook_starts(notebook: NotebookNode) -> int:
    """1 when a cell that only shows starts the lab's server."""
    shown = [c.source for c in notebook.cells if c.cell_type == "code" and not place_of(c)]
    return min(1, sum(source.count("lab.start(") for source in shown))


def test_a_cell_that_a_student_wrote_or_changed_is_run() -> None:
    notebook = made.with_cells(made.solved(), "print(1)", "x = [*range(3)]")
    notebook.cells[-1].source += "\nprint('mine')"
    restored = restore(notebook, made.untouched()).notebook
    sources = [cell.source for cell in lean(restored, made.untouched()).notebook.cells]
    assert "print(1)" in sources
    assert "x = [*range(3)]" in sources
    assert any(source.endswith("print('mine')") for source in sources)


@pytest.mark.parametrize(
    ("source", "used"),
    [
        ("def answer(images):\n    return images.shape", set()),
        ("def answer(server):\n    return ten", {"ten"}),
        (
            "def answer(server):\n    def inner():\n        return f'{scores[0]}'\n    return inner()",
            {"scores"},
        ),
        ("ten = [1]\ndef answer():\n    return ten", set()),
        ("def answer():\n    return [scores for scores in range(3)]", set()),
        ("!echo {ten}", set()),  # it is looked up when the cell runs: NameError there
        ("first = await later(ten)", {"ten"}),
        ("def answer(:", set()),
    ],
)
def test_a_student_who_uses_what_is_left_out_has_the_whole_notebook_run(source: str, used: set[str]) -> None:
    notebook = made.with_cells(made.solved(), source)
    restored = restore(notebook, made.untouched()).notebook
    assert lean(restored, made.untouched()).used == used


def test_names_that_a_cell_takes_from_others() -> None:
    source = (
        "import numpy as np\ndef f(a, b=limit):\n    global seen\n    seen = a\n    return np.sum(a) + other"
    )
    assert global_names(source) >= {"limit", "other"}
    assert global_names(source).isdisjoint({"np", "a", "b", "f"})


UNSOLVED = failed(expected="", found="not solved yet: x", next_step="y", error="NotImplementedError")
UNWRITTEN = failed(expected="", found="not defined in the notebook: `x`", next_step="y", error="missing name")
WRONG = failed(expected="1", found="2", next_step="y")


@pytest.mark.parametrize("verdict", [passed("yes"), skipped("no GPU", "get one"), UNSOLVED, UNWRITTEN, WRONG])
def test_a_lean_run_says_all(verdict: Verdict) -> None:
    assert is_enough([passed("yes"), verdict], 0)
    assert not is_enough([passed("yes"), verdict], 1)


@pytest.mark.parametrize(
    "found",
    [
        "`classify` raised NameError: name 'ten' is not defined",
        "FileNotFoundError: [Errno 2] No such file or directory: 'work/zeros.json'",
        "[404] Request for unknown model: 'digits_ab' is not found",
        "KeyError: 'output'",
    ],
)
def test_a_lean_run_does_not_say_all_where_something_was_not_there(found: str) -> None:
    assert not is_enough([failed(expected="1", found=found, next_step="y")], 0)


def test_a_lean_run_does_not_say_all_where_nothing_was_judged() -> None:
    assert not is_enough([failed(expected="1", found="no server", next_step="y", judged=False)], 0)


def test_right_answers_are_right_in_a_lean_run(grade: Grade) -> None:
    graded = grade(made.solved(), lean=True)
    assert points(graded) == made.POINTS, graded.result
    executed = nbformat.reads((graded.notebook or b"").decode(), as_version=4)
    assert [cell.source for cell in executed.cells] == [cell.source for cell in made.solved().cells]


def test_an_answer_that_leans_on_what_was_shown_earns_its_points(grade: Grade) -> None:
    """`ten` is made by a cell that only shows: the whole notebook is run for it."""
    answer = made.solved().cells[made.at(made.solved(), "1.5", "answer")].source
    line = '    """Digits for float32 images `[n, 1, 28, 28]`, asked over HTTP."""\n'
    assert line in answer
    notebook = made.with_answer(
        made.solved(), "1.5", answer.replace(line, f"{line}    assert len(ten) == 10\n")
    )
    assert points(grade(notebook, lean=True)) == made.POINTS
