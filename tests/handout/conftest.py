"""One student package for all tests of this part, and folders of a student's own for each."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from lab_utils.handout.release import Release, release

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(autouse=True)
def _labs_of_the_course(labs_of_the_course: None) -> None:
    """What is handed out and in is of the labs of the course, whatever labs other tests have made."""


@pytest.fixture(scope="session")
def released(tmp_path_factory: pytest.TempPathFactory) -> Release:
    """The package of this course. Tests do not change it: they copy it."""
    return release(tmp_path_factory.mktemp("released"))


@pytest.fixture
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """State and work folders of this test alone."""
    monkeypatch.setenv("TRITON_LAB_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TRITON_LAB_WORK", str(tmp_path / "work"))
    (tmp_path / "work").mkdir()
    return tmp_path


def run_in(folder: Path, *command: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
    """A command in a package, as its student would run it: with the package's own library and work folder."""
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_LAB_WORK"}
    environment |= {
        "PYTHONPATH": str(folder),
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), environment["PATH"]]),
    }
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=timeout, check=False
    )
