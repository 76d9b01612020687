"""A class for the tests of the batch."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.grading.batch.made import class_of

ANSWERS = {"ann": "right", "bob": "wrong", "cid": "half", "dan": "time", "eve": "raise", "fay": "skip"}


@pytest.fixture
def class_(tmp_path: Path) -> Path:
    """Six students with both labs, one with one lab, a foreign notebook, a PDF and an empty folder."""
    folder = class_of(tmp_path / "class", ANSWERS, labs=("01", "02"))
    class_of(folder, {"gus": "right"})
    (folder / "hal.ipynb").write_text('{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}')
    (folder / "ivy.pdf").write_text("%PDF")
    (folder / "jon").mkdir()
    return folder
