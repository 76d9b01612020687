"""Whatever was done to the cells: the notebook that runs has our checks behind the student's answers."""

from __future__ import annotations

import copy
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode

from lab_utils.grading.cells import mended
from lab_utils.grading.matching import check_of, is_setup
from lab_utils.grading.restore import Restored, restore
from lab_utils.notebooks.read import place_of, read_notebook
from lab_utils.paths import project_root
from lab_utils.progress.labs import LABS
from tests.grading.sandbox import made


def restored(notebook: NotebookNode) -> Restored:
    return restore(notebook, made.untouched())


def texts(notebook: NotebookNode) -> list[str]:
    return [cell.source for cell in notebook.cells if cell.cell_type == "code"]


def order(notebook: NotebookNode) -> list[str]:
    """Exercises and roles of the code cells, in order; our start cell is `start`, all else is its text."""
    found = []
    for cell in notebook.cells:
        if cell.cell_type == "code":
            place = place_of(cell)
            name = " ".join(place) if place else "start" if is_setup(cell) else cell.source
            found.append(name)
    return found


WHOLE = order(made.solved())


def assert_sound(found: Restored) -> None:
    """One start cell before all code, one check of each exercise, behind each answer; ids are unique."""
    cells = found.notebook.cells
    code = [cell for cell in cells if cell.cell_type == "code"]
    assert is_setup(code[0])
    assert sum(map(is_setup, code)) == 1
    checks = [cell for cell in code if check_of(cell)]
    assert [check_of(cell) for cell in checks] == list(made.EXERCISES)
    assert all(cell.source == f'lab.check("{check_of(cell)}")' for cell in checks)
    assert found.checks == {cell.id: check_of(cell) for cell in checks}
    assert len({cell.id for cell in cells}) == len(cells)
    nbformat.validate(found.notebook)


def test_a_solved_notebook_stays_as_it_is() -> None:
    found = restored(made.solved())
    assert found.changes == []
    assert texts(found.notebook) == texts(made.solved())
    assert_sound(found)


@pytest.mark.parametrize("lab", [lab for lab in sorted(LABS) if int(lab) < 50])
@pytest.mark.parametrize("folder", ["labs", "labs_solutions"])
def test_every_notebook_of_the_course_stays_as_it_is(lab: str, folder: str) -> None:
    root, name = project_root(), f"{LABS[lab].notebook}.ipynb"
    notebook = read_notebook(root / folder / name)
    found = restore(notebook, read_notebook(root / "labs" / name))
    assert found.changes == []
    assert [cell.source for cell in found.notebook.cells] == [cell.source for cell in notebook.cells]
    assert sorted(found.checks.values()) == sorted(one.id for one in LABS[lab].checkpoints())


def test_changed_checks_and_start_are_the_released_ones_again() -> None:
    notebook = made.solved()
    notebook.cells[made.at(notebook, "1.1", "check")].source = 'print("PASS")'
    notebook.cells[
        made.at(notebook, "1.5", "check")
    ].source = 'import os\nlab.check = print\ndef helper():\n    return 1\nlab.check("1.5")'
    start = next(i for i, cell in enumerate(notebook.cells) if is_setup(cell))
    notebook.cells[
        start
    ].source = 'import json\nfrom lab_utils import Lab\nlab = Lab("01")\nclass Lab: pass\nlab = Lab()'
    found = restored(notebook)
    assert_sound(found)
    text = "\n".join(texts(found.notebook))
    assert "lab.check = print" not in text
    assert "class Lab" not in text
    assert 'print("PASS")' not in text
    assert "def helper" in text, "a definition in a check cell is the student's and stays"
    assert "import json" in text
    assert len(found.changes) == 3


def test_deleted_checks_start_and_demonstrations_come_back() -> None:
    notebook = made.solved()
    notebook.cells = [
        cell
        for cell in notebook.cells
        if not (check_of(cell) or is_setup(cell) or "lab.start(" in cell.source)
    ]
    found = restored(notebook)
    assert_sound(found)
    assert order(found.notebook) == WHOLE
    assert len(found.changes) == 4


def test_a_deleted_cell_stays_away_where_the_student_has_an_own_one() -> None:
    notebook = made.solved()
    position = next(i for i, cell in enumerate(notebook.cells) if "lab.start(" in cell.source)
    notebook.cells[position] = made.code('server = lab.start("--model-control-mode=explicit")')
    found = restored(notebook)
    assert sum("lab.start(" in text for text in texts(found.notebook)) == 1


def test_a_deleted_answer_is_not_replaced_by_a_stub() -> None:
    notebook = made.solved()
    del notebook.cells[made.at(notebook, "1.5", "answer")]
    found = restored(notebook)
    assert_sound(found)
    assert "NotImplementedError" not in "\n".join(texts(found.notebook))
    assert any("answer cell of 1.5 is missing" in change for change in found.changes)


def test_copies_of_checks_are_taken_out_and_copies_of_answers_stay() -> None:
    notebook = made.solved()
    for role in ("check", "answer"):
        again = copy.deepcopy(notebook.cells[made.at(notebook, "1.5", role)])
        again.id = f"again-{role}"
        notebook.cells.append(again)
    notebook.cells.insert(3, made.code('lab.check("1.1")'))
    found = restored(notebook)
    assert_sound(found)
    assert found.changes == ["2 copies of check cells or of the start cell taken out."]
    assert order(found.notebook) == [*WHOLE, "1.5 answer"]


def test_copies_with_the_same_id_are_one_cell_and_copies() -> None:
    notebook = made.solved()
    notebook.cells += copy.deepcopy(notebook.cells)
    assert_sound(restored(notebook))


@pytest.mark.parametrize("change", ["reversed", "checks first", "start last"])
def test_another_order_is_put_right(change: str) -> None:
    notebook = made.solved()
    cells = notebook.cells
    if change == "reversed":
        notebook.cells = cells[::-1]
    elif change == "checks first":
        notebook.cells = sorted(cells, key=lambda cell: not check_of(cell))
    else:
        notebook.cells = sorted(cells, key=is_setup)
    found = restored(notebook)
    assert_sound(found)
    assert order(found.notebook) == WHOLE
    assert found.changes == ["The cells are in the released order again."]


def test_own_cells_stay_behind_the_cell_that_they_followed() -> None:
    notebook = made.with_cells(made.solved(), "own = 1", behind=made.at(made.solved(), "1.1", "answer"))
    notebook.cells = notebook.cells[::-1]
    notebook.cells.append(made.code("last = 1"))
    found = order(restored(notebook).notebook)
    assert found[0] == "start"
    assert found.index("last = 1") > found.index("start")


def test_a_moved_answer_is_checked_behind_its_new_place() -> None:
    """The answer cell is gone; its function stands in a cell of the student's own, at the end."""
    notebook = made.solved()
    position = made.at(notebook, "1.1", "answer")
    source = notebook.cells.pop(position).source
    notebook.cells.append(made.code("# mine\n" + source))
    found = restored(notebook)
    assert_sound(found)
    text = texts(found.notebook)
    assert text.index('lab.check("1.1")') > text.index("# mine\n" + source)


@pytest.mark.parametrize("kind", ["markdown", "raw"])
def test_converted_cells_are_code_again(kind: str) -> None:
    notebook = made.solved()
    for position, cell in enumerate(notebook.cells):
        if cell.cell_type == "code":
            notebook.cells[position] = NotebookNode(
                cell_type=kind, id=cell.id, source=cell.source, metadata=cell.metadata
            )
        else:
            cell.cell_type = "code"
    found = restored(notebook)
    assert_sound(found)
    assert order(found.notebook) == WHOLE
    assert len(found.changes) >= 6


def test_lost_metadata_and_ids_are_no_harm() -> None:
    """As after a round trip through a program that keeps only the text."""
    notebook = made.solved()
    for number, cell in enumerate(notebook.cells):
        cell.id, cell.metadata = f"x{number}", NotebookNode()
    found = restored(notebook)
    assert_sound(found)
    assert texts(found.notebook) == texts(made.solved())


def test_tags_that_would_keep_a_cell_from_running_are_gone() -> None:
    notebook = made.solved()
    for cell in notebook.cells:
        cell.metadata.setdefault("tags", []).append("skip-execution")
    found = restored(notebook)
    assert not any("skip-execution" in cell.metadata.get("tags", []) for cell in found.notebook.cells)


def test_strange_cells_do_no_harm(tmp_path: Path) -> None:
    notebook = made.solved()
    notebook.cells.insert(4, made.code("\0" * 5 + "(" * 3000))
    notebook.cells.insert(4, made.code("%%bash\nfalse"))
    notebook.cells.insert(4, made.code(""))
    for metadata in ([], "text", {"triton_lab": [1], "tags": {"a": 1}}, {"tags": [None, 3]}):
        cell = made.code("x = 1")
        cell.metadata = metadata
        notebook.cells.insert(6, cell)
    notebook.cells.insert(6, made.code("half = '\ud800'"))
    assert_sound(restored(mended(notebook)))


def test_an_empty_notebook_gets_the_frame() -> None:
    notebook = made.solved()
    notebook.cells = []
    assert_sound(restored(notebook))
