"""What was handed in: whose it is, and which lab it is of."""

from __future__ import annotations

import json
from pathlib import Path

import nbformat
import pytest

from lab_utils.errors import LabError
from lab_utils.grading.intake import HandedIn, find_submissions, take_in
from lab_utils.grading.names import Author, author_of, clean, folder_names
from lab_utils.grading.recognise import lab_of
from tests.grading.batch.made import FOREIGN, LAB1, ROOT, notebook, one, shipped, taken, zipped

# Whose it is


@pytest.mark.parametrize(
    ("name", "author"),
    [
        ("jane", Author("jane")),
        ("Doe, Jane", Author("Doe, Jane")),
        ("jane_doe", Author("jane_doe")),
        ("doejane_1234_56789_01-Triton_Setup", Author("doejane", "1234", canvas=True)),
        ("doejane_LATE_1234_56789_work-2", Author("doejane", "1234", late=True, canvas=True)),
        ("Jane Doe_77_assignsubmission_file_", Author("Jane Doe", "77")),
        ("Jane Doe_77_assignsubmission_file", Author("Jane Doe", "77")),
        ("a\nb\u202e\x00c", Author("a bc")),
        ("\udcff", Author("?")),
        ("\u200b", Author("(no name)")),
    ],
)
def test_the_author_stands_in_the_name(name: str, author: Author) -> None:
    assert author_of(name) == author


def test_students_get_folders_that_every_file_system_takes() -> None:
    names = ["jane", "Jane", "..", "../../etc", "Łukasz Ż", "a" * 300, "=cmd()", "con/aux", "jane doe"]
    folders = folder_names([clean(name) for name in names])
    assert len({folder.casefold() for folder in folders.values()}) == len(names)
    for folder in folders.values():
        assert folder.isascii()
        assert "/" not in folder
        assert not folder.startswith((".", "-"))
        assert len(folder) <= 60
    assert folder_names(["jane doe"])["jane doe"] == folders["jane doe"]  # whoever else handed in


def test_one_row_for_each_entry_and_one_for_each_number(tmp_path: Path) -> None:
    class_ = tmp_path / "class"
    class_.mkdir()
    for name in ("ann_1_10_a.ipynb", "ann_LATE_1_11_b.ipynb", "ann_2_12_a.ipynb", "bob.ipynb", "bob.zip"):
        (class_ / name).write_bytes(b"{}")
    for name in ("notes.csv", ".hidden", "course.toml", "Thumbs.db"):
        (class_ / name).write_text("x")
    (class_ / "essay.pdf").write_text("x")
    (class_ / "__MACOSX").mkdir()
    found = {entry.author.student: entry for entry in find_submissions(class_)}
    assert set(found) == {"ann (1)", "ann (2)", "bob (bob.ipynb)", "bob (bob.zip)", "essay.pdf"}
    assert [path.name for path in found["ann (1)"].paths] == ["ann_1_10_a.ipynb", "ann_LATE_1_11_b.ipynb"]
    assert found["ann (1)"].author.late
    assert list(found) == sorted(found, key=str.casefold)


def test_nothing_to_grade_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="no submissions at"):
        find_submissions(tmp_path / "nowhere")
    with pytest.raises(LabError, match="holds no submission"):
        find_submissions(tmp_path)


def test_the_folder_of_one_student_is_not_taken_for_a_class(tmp_path: Path) -> None:
    (tmp_path / "jane").mkdir()
    (tmp_path / "jane" / LAB1).write_bytes(notebook("01"))
    with pytest.raises(LabError, match="folder of one student"):
        find_submissions(tmp_path / "jane")
    assert [entry.author.student for entry in find_submissions(tmp_path)] == ["jane"]


def test_the_courses_own_folder_is_not_taken_for_a_class() -> None:
    with pytest.raises(LabError, match="course's own folder") as caught:
        find_submissions(ROOT)
    assert "one folder, zip or notebook for each student" in caught.value.fix


# Which lab it is of


def test_folders_zips_and_single_notebooks_are_taken(tmp_path: Path) -> None:
    class_ = tmp_path / "class"
    (class_ / "ann" / "work").mkdir(parents=True)
    (class_ / "ann" / "work" / "anything.ipynb").write_bytes(notebook("02", "right"))
    (class_ / "ann" / "work" / "model_repository").mkdir()
    (class_ / "bob.zip").write_bytes(zipped({"deep/er/x.ipynb": notebook("01"), "y.ipynb": notebook("03")}))
    (class_ / "cid.ipynb").write_bytes(notebook("04"))
    (class_ / "dan_9_assignsubmission_file_").mkdir()
    inner = zipped({"work/z.ipynb": notebook("01")})
    (class_ / "dan_9_assignsubmission_file_" / "mine.zip").write_bytes(inner)
    found = taken(class_, tmp_path / "in")
    labs = {student: sorted(files.notebooks) for student, files in found.items()}
    assert labs == {"ann": ["02"], "bob": ["01", "03"], "cid": ["04"], "dan": ["01"]}
    assert not any(files.problems for files in found.values())
    for files in found.values():
        assert all(path.is_relative_to(tmp_path / "in") for path in files.notebooks.values())


def test_a_notebook_is_recognised_by_its_content_whatever_was_lost() -> None:
    whole = nbformat.read(shipped("02"), as_version=4)
    assert lab_of(whole) == "02"
    whole.metadata["triton_lab"]["lab"] = "01"  # a lie: the cells say more
    assert lab_of(whole) == "02"
    for cell in whole.cells:  # a program that keeps no metadata and makes new ids
        cell.metadata, cell["id"] = nbformat.NotebookNode(), "x"
    whole.metadata = nbformat.NotebookNode()
    assert lab_of(whole) == "02"
    whole.cells = [cell for cell in whole.cells if "check(" in cell.source]
    assert lab_of(whole) == "02"
    whole.cells = []
    assert lab_of(whole) is None
    whole.metadata["triton_lab"] = {"lab": "03"}
    assert lab_of(whole) == "03"
    assert lab_of(nbformat.reads(FOREIGN, as_version=4)) is None


def test_of_several_notebooks_of_a_lab_the_one_worked_in_is_taken(tmp_path: Path) -> None:
    mine = notebook("01", "right")
    files = {
        "b/other.ipynb": notebook("01", "wrong"),
        f"work/{LAB1}": mine,
        LAB1: notebook("01"),  # untouched
        f"work/.ipynb_checkpoints/{LAB1}": notebook("01", "old"),
        f"work/backups/{LAB1}": notebook("01", "older"),
        f"__MACOSX/work/._{LAB1}": b"not a notebook",
        ".venv/lib/site-packages/x/tests/a.ipynb": FOREIGN,
    }
    (tmp_path / "s.zip").write_bytes(zipped(files))
    found = one(tmp_path / "s.zip", tmp_path / "in")
    assert found.notebooks["01"].read_bytes() == mine
    (problem,) = found.problems
    assert f"work/{LAB1} was graded, not b/other.ipynb" in problem


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (FOREIGN, "none of the labs"),
        (b"", "cannot be read as a notebook"),
        (b"\xff\xfe\x00", "cannot be read as a notebook"),
        (b"[" * 100_000, "cannot be read as a notebook"),
        (b'{"cells": 3}', "cannot be read as a notebook"),
        (
            b'{"cells": [{"cell_type": "code", "source": "", "metadata": 7}], "metadata": {}, "nbformat": 4}',
            "is",
        ),
        (json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": [], "cells": []}).encode(), "cannot be"),
        (b'{"worksheets": [], "nbformat": 3, "metadata": {}}', "none of the labs"),
    ],
)
def test_a_file_that_is_no_notebook_of_ours_is_a_problem_not_an_error(
    tmp_path: Path, content: bytes, words: str
) -> None:
    (tmp_path / "x.ipynb").write_bytes(content)
    found = one(tmp_path / "x.ipynb", tmp_path / "in")
    assert not found.notebooks
    assert words in found.problems[0]


def test_what_the_student_writes_reaches_the_teacher_and_counts_nothing(tmp_path: Path) -> None:
    letter = {
        "student": "jane d",
        "note": "An AI helped me\nwith \u202e1.5.",
        "made_at": "1999-01-01T00:00:00Z",
    }
    files = {f"notebooks/{LAB1}": notebook("01"), "submission.json": json.dumps(letter).encode()}
    (tmp_path / "s.zip").write_bytes(zipped(files))
    found = one(tmp_path / "s.zip", tmp_path / "in")
    assert list(found.notebooks) == ["01"]
    assert found.problems == (
        "its submission.json is of 'jane d'",
        "the student writes: An AI helped me with 1.5.",
    )
    known = HandedIn(Author("doejane", "1234"), (tmp_path / "s.zip",))  # Canvas has its own name for her
    assert take_in(known, tmp_path / "in").problems == found.problems[1:]


@pytest.mark.parametrize("content", [b"[", b"3", b'{"student": 3, "note": {}}', b"[" * 60_000, b" " * 70_000])
def test_a_broken_letter_harms_nobody(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / LAB1).write_bytes(notebook("01"))
    (tmp_path / "s" / "submission.json").write_bytes(content)
    found = one(tmp_path / "s", tmp_path / "in")
    assert list(found.notebooks) == ["01"]
    assert len(found.problems) == (len(content) > 65_536)
