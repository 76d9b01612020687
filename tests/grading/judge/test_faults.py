"""Errors from a kernel: caught by their kind, read by their words, and no code of theirs is run."""

from __future__ import annotations

import zipfile
from typing import Any

import httpx
import pytest
from tritonclient.utils import InferenceServerException

from lab_utils.grading.judge.faults import MOST_TEXT, describe_error, rebuild_error
from lab_utils.progress.context import Refusal


def raised(error: BaseException) -> BaseException:
    try:
        raise error
    except BaseException as caught:
        return rebuild_error(describe_error(caught))


@pytest.mark.parametrize(
    "error",
    [
        ConnectionRefusedError(111, "Connection refused"),
        KeyError("input"),
        NotImplementedError("1.5: write it"),
        InferenceServerException("unknown model", status="404"),
        httpx.ConnectError("nobody"),
        zipfile.BadZipFile("no zip"),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"),
        SystemExit(3),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_is_of_its_own_kind_and_says_its_own_words(error: BaseException) -> None:
    found = raised(error)
    assert isinstance(found, type(error))
    assert type(found).__name__ == type(error).__name__
    assert str(found) == str(error)
    assert isinstance(found, Exception) == isinstance(error, Exception)


def test_a_students_own_class_keeps_its_name_and_the_kind_below_it() -> None:
    class Late(TimeoutError):
        pass

    found = raised(Late("too late"))
    assert isinstance(found, TimeoutError)
    assert type(found).__name__ == "Late"


def test_the_students_own_line_comes_along() -> None:
    code = compile("\n\nraise ValueError('no')", "<cell>", "exec")
    with pytest.raises(ValueError, match="no") as caught:
        exec(code, {})
    assert rebuild_error(describe_error(caught.value)).student_line.startswith("line 3")  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "about",
    [
        None,
        7,
        {},
        {"kinds": "x", "text": 3},
        {"kinds": [["os", "system"]], "text": "x"},
        {"kinds": [["lab_utils.progress.context", "Refusal"]], "text": "x"},
        {"kinds": [["builtins", "ExceptionGroup"]], "text": "x"},
        {"kinds": [["builtins", "BaseException.__init__"]], "text": "x"},
        {"kinds": [[1, 2], ["builtins"]], "text": "y" * (2 * MOST_TEXT)},
    ],
    ids=str,
)
def test_a_forged_description_makes_an_error_all_the_same(about: Any) -> None:
    found = rebuild_error(about)
    assert isinstance(found, BaseException)
    assert not isinstance(found, Refusal)
    assert len(str(found)) <= MOST_TEXT
