"""The student's copies: work is never lost, new versions arrive."""

from __future__ import annotations

import json
from pathlib import Path

import nbformat
import pytest

from lab_utils.errors import LabError
from lab_utils.notebooks.copies import Copy, make_copies
from tests.notebooks.conftest import Course
from tests.notebooks.lab_source import sample

NEW_TEXT = sample().replace("Much.", "Much more.")


def copies(course: Course) -> Copy:
    (result,) = make_copies(course.labs, course.work)
    return result


def solve(path: Path, exercise: str = "1.2", text: str = "def add_2(value):\n    return 2 + value") -> None:
    notebook = nbformat.read(path, 4)
    for cell in notebook.cells:
        if f"exercise-{exercise}" in cell.metadata.get("tags", []):
            cell.source = text
    nbformat.write(notebook, path)


def test_made_then_unchanged(course: Course) -> None:
    assert copies(course).action == "made"
    assert course.copy.read_bytes() == course.shipped.read_bytes()
    assert copies(course).action == "unchanged"


def test_an_untouched_copy_is_refreshed(course: Course) -> None:
    copies(course)
    course.publish(NEW_TEXT)
    assert copies(course).action == "refreshed"
    assert course.copy.read_bytes() == course.shipped.read_bytes()
    assert not (course.work / "backups").exists()


def test_a_copy_that_was_only_run_is_refreshed_with_a_backup(course: Course) -> None:
    copies(course)
    notebook = nbformat.read(course.copy, 4)
    notebook.cells[1].outputs = [nbformat.v4.new_output("stream", text="hello")]
    nbformat.write(notebook, course.copy)
    ran = course.copy.read_bytes()
    assert copies(course).action == "kept"
    course.publish(NEW_TEXT)
    assert copies(course).action == "refreshed"
    (saved,) = (course.work / "backups").iterdir()
    assert saved.read_bytes() == ran


def test_work_is_kept_and_the_new_version_brings_the_answers(course: Course) -> None:
    copies(course)
    solve(course.copy)
    mine = course.copy.read_bytes()
    assert copies(course).action == "kept"
    course.publish(NEW_TEXT)
    result = copies(course)
    assert result.action == "kept"
    assert course.copy.read_bytes() == mine
    assert result.new_version == course.work / "01-Sample.new.ipynb"
    assert "with your answers to 1.2" in result.message
    new = result.new_version.read_text()
    assert "Much more." in new
    assert "return 2 + value" in new
    assert 'NotImplementedError(\\"1.1:' in new
    # Offered once: what the student writes into it afterwards stays.
    solve(result.new_version, "1.1", "add_1 = 5")
    assert copies(course).action == "kept"
    assert "add_1 = 5" in result.new_version.read_text()
    # Taken over: the notebook is up to date from then on.
    result.new_version.replace(course.copy)
    assert copies(course).new_version is None
    assert not result.new_version.exists()


def test_a_later_version_backs_up_the_one_that_was_offered(course: Course) -> None:
    copies(course)
    solve(course.copy)
    course.publish(NEW_TEXT)
    offered = copies(course).new_version
    assert offered is not None
    solve(offered, "1.1", "add_1 = 5")
    course.publish(sample().replace("Much.", "Most."))
    copies(course)
    assert "Most." in offered.read_text()
    assert any("add_1 = 5" in path.read_text() for path in (course.work / "backups").iterdir())


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"\xff\xfe\x00", b"[]", b'{"cells": 3}', json.dumps({"nbformat": 4}).encode(), b"null"],
)
def test_an_unreadable_copy_is_left_alone(course: Course, content: bytes) -> None:
    copies(course)
    course.copy.write_bytes(content)
    course.publish(NEW_TEXT)
    result = copies(course)
    assert result.action == "kept"
    assert "triton-lab reset 01" in result.message
    assert course.copy.read_bytes() == content


def test_a_lost_record_loses_no_work(course: Course) -> None:
    copies(course)
    solve(course.copy)
    (course.work / ".shipped" / course.copy.name).unlink()
    course.publish(NEW_TEXT)
    result = copies(course)
    assert result.new_version is not None
    assert "return 2 + value" in result.new_version.read_text()


def test_no_notebooks_at_all(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="There are no lab notebooks"):
        make_copies(tmp_path, tmp_path / "work")
