from __future__ import annotations

from pathlib import Path

import pytest

from lab_utils.notebooks.generate import generate
from tests.notebooks.lab_source import checkpoints, sample, write_lab


class Course:
    """A small course in a folder of its own: one lab, its notebooks, a student's work folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.labs = root / "labs"
        self.work = root / "work"
        self.shipped = self.labs / "01-Sample.ipynb"
        self.copy = self.work / "01-Sample.ipynb"
        self.publish()

    def publish(self, text: str | None = None) -> None:
        """Generate the lab's notebooks from a source text."""
        write_lab(self.root, text or sample())
        generate(self.root, checkpoints=lambda _lab: checkpoints())


@pytest.fixture
def course(tmp_path: Path) -> Course:
    return Course(tmp_path)
