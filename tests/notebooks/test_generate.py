"""The generator: what it writes, and every way in which it refuses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest

from lab_utils.errors import LabError
from lab_utils.notebooks.build import build_lab
from lab_utils.notebooks.generate import generate
from lab_utils.notebooks.problems import MalformedSource
from lab_utils.progress.registry import Checkpoint
from tests.notebooks.conftest import Course
from tests.notebooks.lab_source import EXERCISE, SECTION, checkpoints, sample, write_lab


def notebooks(root: Path, text: str | None = None) -> tuple[nbformat.NotebookNode, nbformat.NotebookNode]:
    lab = build_lab(write_lab(root, text), checkpoints())
    return nbformat.reads(lab.complete, 4), nbformat.reads(lab.student, 4)


def test_student_gets_the_stub_and_teacher_the_solution(tmp_path: Path) -> None:
    complete, student = notebooks(tmp_path)
    by_id = {cell.id: cell for cell in student.cells}
    assert by_id["exercise-1-2-answer"].source == (
        'def add_2(value: int) -> int:\n    """Add 2."""\n    # 1. compute the sum\n    # 2. return it\n'
        '    raise NotImplementedError("1.2: add_2 is not written yet")'
    )
    solved = next(cell for cell in complete.cells if cell.id == "exercise-1-2-answer").source
    assert solved == (
        'def add_2(value: int) -> int:\n    """Add 2."""\n    total_2 = value + 2\n    return total_2'
    )
    assert [cell.id for cell in complete.cells] == [cell.id for cell in student.cells]
    assert by_id["exercise-1-2-answer"].metadata.tags == ["exercise-1.2"]
    assert by_id["exercise-1-2-check"].metadata.tags == ["check-1.2"]
    assert by_id["exercise-1-2-hints"].metadata.triton_lab == {"exercise": "1.2", "role": "hints"}
    assert all(not cell.get("outputs") for cell in [*student.cells, *complete.cells])
    assert student.metadata.kernelspec.name == "python3"


def test_several_blocks_in_one_cell_and_a_method(tmp_path: Path) -> None:
    two = (
        "class Adder:\n    def add(self, value: int) -> int:\n        ### BEGIN SOLUTION\n"
        "        #: 1. add\n        return value + 100\n        ### END SOLUTION\n\n\n"
        "# %%\ndef add_1(value: int)"
    )
    text = sample().replace("def add_1(value: int)", two)
    _, student = notebooks(tmp_path, text)
    sources = [cell.source for cell in student.cells if "exercise-1.1" in cell.metadata.get("tags", [])]
    assert len(sources) == 2
    assert 'raise NotImplementedError("1.1: Adder.add is not written yet")' in sources[0]


def test_same_source_same_bytes_and_ids_survive_other_changes(tmp_path: Path) -> None:
    first = build_lab(write_lab(tmp_path), checkpoints())
    assert build_lab(write_lab(tmp_path), checkpoints()) == first
    text = sample().replace('print("show 1", 1)', 'print("another")')
    before = [cell.id for cell in nbformat.reads(first.student, 4).cells]
    after = [cell.id for cell in notebooks(tmp_path, text)[1].cells]
    assert sum(a != b for a, b in zip(before, after, strict=True)) == 1
    assert len(set(after)) == len(after)


def test_check_says_what_differs_and_writes_nothing(course: Course) -> None:
    def run(check: bool) -> list[str]:
        return generate(course.root, check=check, checkpoints=lambda _lab: checkpoints())

    assert run(check=True) == []
    write_lab(course.root, sample().replace("Much.", "More."))
    before = course.shipped.read_bytes()
    assert run(check=True) == [
        "labs_solutions/01-Sample.ipynb differs from its source",
        "labs/01-Sample.ipynb differs from its source",
    ]
    assert course.shipped.read_bytes() == before
    assert len(run(check=False)) == 2
    assert run(check=True) == []
    course.shipped.unlink()
    (course.labs / "07-Old.ipynb").write_text("{}")
    assert run(check=True) == [
        "labs/01-Sample.ipynb is missing",
        "labs/07-Old.ipynb has no source in labs_solutions/: delete it",
    ]


def test_a_notebook_somebody_worked_in_is_not_overwritten(course: Course) -> None:
    write_lab(course.root, sample().replace("Much.", "More."))
    notebook = nbformat.read(course.shipped, 4)
    notebook.cells[1].execution_count = 7  # run, but not changed: may be replaced
    nbformat.write(notebook, course.shipped)
    generate(course.root, checkpoints=lambda _lab: checkpoints())
    notebook = nbformat.read(course.shipped, 4)
    notebook.cells[1].source += "\nmy_work = 1"
    nbformat.write(notebook, course.shipped)
    write_lab(course.root, sample().replace("Much.", "Most."))
    with pytest.raises(LabError, match="was edited by hand"):
        generate(course.root, checkpoints=lambda _lab: checkpoints())
    assert "my_work" in course.shipped.read_text()


LONG_CODE = "\n".join(f"value_{n} = {n}" for n in range(36))
LONG_TEXT = "# " + "word " * 121
HINTS = EXERCISE[EXERCISE.index("# %% [markdown]\n# <details>") :].format(n=2)
CHECK = '# %%\nlab.check("1.2")\n'
ANSWER = EXERCISE[EXERCISE.index("# %%\ndef") : EXERCISE.index("# %%\nlab.check")].format(n=2)

# What is done to the good source, the start of the message, and the exercise it names.
SPOILT: dict[str, tuple[Callable[[str], str], str, str]] = {
    "no end marker": (
        lambda s: s.replace("    ### END SOLUTION\n", "", 1),
        "'### BEGIN SOLUTION' without '### END SOLUTION'",
        "1.1",
    ),
    "no begin marker": (
        lambda s: s.replace(
            "    ### BEGIN SOLUTION\n    #: 1. compute the sum\n    #: 2. return it\n", "", 1
        ),
        "'### END SOLUTION' without '### BEGIN SOLUTION'",
        "1.1",
    ),
    "misspelt marker": (
        lambda s: s.replace("    ### BEGIN SOLUTION", "    # BEGIN SOLUTION", 1),
        "'# BEGIN SOLUTION' is not a marker",
        "1.1",
    ),
    "nested markers": (
        lambda s: s.replace("    total_1", "    ### BEGIN SOLUTION\n    total_1", 1),
        "'### BEGIN SOLUTION' inside a solution block",
        "1.1",
    ),
    "marker in a string": (
        lambda s: s.replace(
            '    """Add 1."""\n',
            '    """Add 1.\n    ### BEGIN SOLUTION\n    #: x\n    y\n    ### END SOLUTION\n    """\n',
        ),
        "a solution block inside a string",
        "1.1",
    ),
    "stub without comments": (
        lambda s: s.replace("    #: 1. compute the sum\n    #: 2. return it\n", "", 1),
        "a stub without comments",
        "1.1",
    ),
    "no minutes": (lambda s: s.replace("*10 minutes · ", "*", 1), "no minutes", "1.1"),
    "no difficulty": (lambda s: s.replace("difficulty 2 of 3 · ", "", 1), "no difficulty", "1.1"),
    "no points": (lambda s: s.replace(" · 3 points", "", 1), "no points", "1.1"),
    "no bullets": (lambda s: s.replace("# - return the sum\n", "", 1), "no bullets", "1.1"),
    "no hints": (lambda s: s.replace(HINTS, "", 1), "no hints", "1.1"),
    "one hint": (lambda s: s.replace("Hint 2: nearly", "Nearly", 1), "hints numbered [1]", "1.1"),
    "no check": (lambda s: s.replace(CHECK, ""), "no check cell", "1.2"),
    "check of another": (
        lambda s: s.replace('lab.check("1.2")', 'lab.check("1.3")'),
        'the check cell calls lab.check("1.3")',
        "1.2",
    ),
    "no answer cell": (lambda s: s.replace(ANSWER, ""), "no code cell with '### BEGIN SOLUTION'", "1.2"),
    "answer of another name": (
        lambda s: s.replace("def add_2", "def add_two"),
        "the checkpoint asks for 'add_2'",
        "1.2",
    ),
    "no checkpoint": (
        lambda s: s.replace(
            "# ## What",
            EXERCISE.format(n=4, minutes=10).removeprefix("# %% [markdown]\n")
            + "\n# %% [markdown]\n# ## What",
            1,
        ),
        "no checkpoint 1.4 in lab_utils/checks/lab1.py",
        "1.4",
    ),
    "no exercise": (
        lambda s: s.replace(
            EXERCISE.format(n=3, minutes=10), SECTION.format(n=9) + "\n" + SECTION.format(n=10)
        ),
        "checkpoint 1.3 (Add 3) has no exercise",
        "",
    ),
    "other title": (lambda s: s.replace("· Add 2", "· Plus 2"), "title: the heading says 'Plus 2'", "1.2"),
    "other minutes": (
        lambda s: s.replace("10 minutes", "12 minutes", 1),
        "minutes: the heading says 12",
        "1.1",
    ),
    "other difficulty": (
        lambda s: s.replace("difficulty 2", "difficulty 3", 1),
        "difficulty: the heading",
        "1.1",
    ),
    "other points": (lambda s: s.replace("3 points", "4 points", 1), "points: the heading says 4", "1.1"),
    "bad heading": (
        lambda s: s.replace("### Exercise 1.1 ·", "### Exercise 1.1:"),
        "an exercise heading stands",
        "",
    ),
    "leak in a show cell": (
        lambda s: s.replace('print("show 1", 1)', "value = 1\ntotal_2 = value + 2"),
        "the cell at line 16 shows the whole solution",
        "1.2",
    ),
    "leak in a hint": (
        lambda s: s.replace("# `value + …`", "# ```python\n# total_1 = value + 1\n# ```", 1),
        "the cell at line",
        "1.1",
    ),
    "solution outside an exercise": (
        lambda s: s.replace('print("show 1", 1)', "### BEGIN SOLUTION\n#: x\nx = 1\n### END SOLUTION"),
        "a solution block outside an exercise",
        "",
    ),
    "long code": (lambda s: s.replace('print("show 1", 1)', LONG_CODE), "a code cell of 36 lines", ""),
    "long text": (lambda s: s.replace("# Text.", LONG_TEXT, 1), "a Markdown cell of 123 words", ""),
    "long median": (
        lambda s: s.replace('print("show', "\n".join(f"v{n} = {n}" for n in range(9)) + '\nprint("show'),
        "the median code cell has 10",
        "",
    ),
    "not Python": (lambda s: s.replace('print("show 1", 1)', "def broken("), "not Python", ""),
    "few cells": (lambda s: s.replace(SECTION.format(n=2), ""), "38 cells; a lab has 40 to 80", ""),
    "no heading": (
        lambda s: s.replace("# ## Section 2\n", "").replace("# ## Section 3\n", ""),
        "6 cells without a heading",
        "",
    ),
    "no start": (lambda s: s.replace('lab = Lab("01")', 'lab = Lab("02")'), "the start cell", ""),
    "no clean-up": (lambda s: s.replace("lab.stop()", "pass"), "the clean-up cell", ""),
    "twice": (
        lambda s: s.replace("Exercise 1.3 · Add 3", "Exercise 1.2 · Add 2"),
        "two exercises are called 1.2",
        "1.2",
    ),
    "text before the first cell": (lambda s: "import os\n" + s, "lines begin with '# %%'", ""),
}


@pytest.mark.parametrize("name", SPOILT)
def test_refuses(tmp_path: Path, name: str) -> None:
    spoil, message, exercise = SPOILT[name]
    text = spoil(sample())
    assert text != sample(), "the test spoils nothing"
    with pytest.raises(MalformedSource) as caught:
        build_lab(write_lab(tmp_path, text), checkpoints())
    found = [p for p in caught.value.problems if message in p.text]
    assert found, f"{message!r} is not among:\n{caught.value.details}"
    assert found[0].file == "01-Sample.py"
    assert found[0].exercise == exercise
    assert f"01-Sample.py:{found[0].line}: " in str(caught.value)


def test_the_line_is_the_line_of_the_fault(tmp_path: Path) -> None:
    text = sample().replace("    ### END SOLUTION\n", "", 1)
    with pytest.raises(MalformedSource) as caught:
        build_lab(write_lab(tmp_path, text), checkpoints())
    assert text.split("\n")[caught.value.problems[0].line - 1] == "    ### BEGIN SOLUTION"


def test_nothing_is_written_when_one_lab_is_malformed(course: Course) -> None:
    before = course.shipped.read_bytes()
    write_lab(course.root, sample().replace("Much.", "More."))
    (course.root / "labs_solutions" / "02-Bad.py").write_text("# %%\nx = 1\n")

    def both(lab: str) -> list[Checkpoint]:
        return checkpoints() if lab == "01" else []

    with pytest.raises(MalformedSource, match=r"02-Bad\.py"):
        generate(course.root, checkpoints=both)
    assert course.shipped.read_bytes() == before


def test_a_lab_without_a_checks_module_is_refused(tmp_path: Path) -> None:
    path = write_lab(tmp_path).rename(tmp_path / "labs_solutions" / "97-Sample.py")
    with pytest.raises(MalformedSource, match="has 1 fault") as caught:
        build_lab(path)
    assert "lab_utils/checks/lab97.py does not exist" in caught.value.details
