"""Reset: one exercise or a whole notebook, whatever the student did to it before."""

from __future__ import annotations

from collections.abc import Callable

import nbformat
import pytest
from nbformat import NotebookNode

from lab_utils.errors import LabError
from lab_utils.notebooks.copies import make_copies
from lab_utils.notebooks.reset import Reset, reset
from tests.notebooks.conftest import Course

STUB = 'raise NotImplementedError("1.2: add_2 is not written yet")'
ANSWER = "exercise-1-2-answer"


def change(course: Course, how: Callable[[NotebookNode], None]) -> bytes:
    """Make the student's copy, change it, and return its bytes."""
    make_copies(course.labs, course.work)
    notebook = nbformat.read(course.copy, 4)
    how(notebook)
    nbformat.write(notebook, course.copy)
    return course.copy.read_bytes()


def answer(notebook: NotebookNode, id: str = ANSWER) -> NotebookNode:
    return next(cell for cell in notebook.cells if cell.id == id)


def solve(notebook: NotebookNode) -> None:
    for n in (1, 2):
        answer(notebook, f"exercise-1-{n}-answer").source = f"def add_{n}(value):\n    return value + {n}"


def run(course: Course, exercise: str | None = "1.2") -> tuple[Reset, NotebookNode]:
    before = course.copy.read_bytes()
    result = reset("1", exercise, labs=course.labs, work=course.work)
    assert result.backup is not None
    assert result.backup.read_bytes() == before
    return result, nbformat.read(course.copy, 4)


def test_one_exercise_leaves_the_others(course: Course) -> None:
    change(course, solve)
    result, notebook = run(course)
    assert STUB in answer(notebook).source
    assert "value + 1" in answer(notebook, "exercise-1-1-answer").source
    assert "Exercise 1.2 is as it was" in result.message
    assert "Put in again" not in result.message
    nbformat.validate(notebook)


def test_the_short_form_of_an_exercise(course: Course) -> None:
    change(course, solve)
    _, notebook = run(course, "2")
    assert STUB in answer(notebook).source


def test_whole_notebook(course: Course) -> None:
    change(course, solve)
    run(course, None)
    assert course.copy.read_bytes() == course.shipped.read_bytes()


def test_two_resets_in_one_second_keep_both_backups(course: Course) -> None:
    change(course, solve)
    first, _ = run(course)
    second, _ = run(course, "1.1")
    assert first.backup != second.backup


def test_deleted_cells_come_back_in_their_place(course: Course) -> None:
    def delete(notebook: NotebookNode) -> None:
        notebook.cells = [c for c in notebook.cells if not c.id.startswith("exercise-1-2-")]

    change(course, delete)
    result, notebook = run(course)
    assert "Put in again: heading, answer, check, hints" in result.message
    assert [c.id for c in notebook.cells] == [c.id for c in nbformat.read(course.shipped, 4).cells]


def test_a_moved_answer_is_reset_where_it_is(course: Course) -> None:
    def move(notebook: NotebookNode) -> None:
        solve(notebook)
        cell = answer(notebook)
        notebook.cells.remove(cell)
        notebook.cells.insert(2, cell)

    change(course, move)
    _, notebook = run(course)
    assert STUB in notebook.cells[2].source
    assert sum("add_2" in c.source and c.cell_type == "code" for c in notebook.cells) == 1


def test_lost_metadata_is_found_by_the_answers_name(course: Course) -> None:
    def strip(notebook: NotebookNode) -> None:
        solve(notebook)
        for number, cell in enumerate(notebook.cells):
            cell.metadata = NotebookNode()
            cell.id = f"other-{number}"

    change(course, strip)
    result, notebook = run(course)
    assert STUB in answer(notebook).source
    assert len(notebook.cells) == 41
    assert "also define" not in result.message


def test_tags_alone_are_enough(course: Course) -> None:
    def rename(notebook: NotebookNode) -> None:
        cell = answer(notebook)
        cell.id, cell.source = "pasted", "def add_2(: not Python"
        del cell.metadata["triton_lab"]

    change(course, rename)
    _, notebook = run(course)
    assert STUB in answer(notebook).source
    assert len(notebook.cells) == 41


def test_copied_cells_are_named(course: Course) -> None:
    def copy(notebook: NotebookNode) -> None:
        solve(notebook)
        again = nbformat.from_dict(answer(notebook))
        again.id = "copied"
        notebook.cells.append(again)

    change(course, copy)
    result, notebook = run(course)
    assert STUB in answer(notebook).source
    assert "value + 2" in notebook.cells[-1].source
    assert "cell 42 of the notebook also defines add_2" in result.message


def test_duplicate_ids_and_an_old_format(course: Course) -> None:
    def spoil(notebook: NotebookNode) -> None:
        solve(notebook)
        for cell in notebook.cells:
            del cell["id"]
        notebook.nbformat_minor = 4

    change(course, spoil)
    _, notebook = run(course)
    assert STUB in answer(notebook).source
    nbformat.validate(notebook)
    assert len({cell.id for cell in notebook.cells}) == 41


def test_an_unreadable_notebook_can_only_be_reset_whole(course: Course) -> None:
    change(course, solve)
    course.copy.write_text("{ half")
    with pytest.raises(LabError, match="cannot be read as a notebook") as caught:
        reset("1", "1.2", labs=course.labs, work=course.work)
    assert "triton-lab reset 01" in caught.value.fix
    run(course, None)
    assert course.copy.read_bytes() == course.shipped.read_bytes()


def test_a_missing_notebook_is_made(course: Course) -> None:
    result = reset("01", "1.2", labs=course.labs, work=course.work)
    assert result.backup is None
    assert course.copy.read_bytes() == course.shipped.read_bytes()


@pytest.mark.parametrize(
    ("lab", "exercise"), [("9", None), ("x", None), ("1", "1.9"), ("1", "2.1"), ("1", "")]
)
def test_what_does_not_exist_is_named(course: Course, lab: str, exercise: str | None) -> None:
    with pytest.raises(LabError) as caught:
        reset(lab, exercise, labs=course.labs, work=course.work)
    assert "01-Sample" in caught.value.fix or "1.1, 1.2, 1.3" in caught.value.fix
