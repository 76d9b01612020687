"""A tiny lab with its own real server, in folders of its own."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

DATA = Path(__file__).parent.parent / "proofs" / "data"
sys.path.insert(0, str(DATA))

import tiny_checks  # noqa: E402, F401  (registers lab 90)

from lab_utils import server as triton  # noqa: E402
from lab_utils.lab import Lab  # noqa: E402
from lab_utils.progress.context import LabContext  # noqa: E402


@pytest.fixture(scope="package")
def own_folders(private_folders: Path) -> Iterator[Path]:
    """The folders of this test run; the tiny lab's server is stopped at the end."""
    yield private_folders
    server = triton.find("lab90")
    if server is not None:
        server.stop()


@pytest.fixture
def own_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh work folder for one test."""
    monkeypatch.setenv("TRITON_LAB_WORK", str(tmp_path / "work"))
    return tmp_path / "work"


@pytest.fixture
def lab(own_folders: Path) -> Lab:
    """The tiny lab with its server running."""
    made = Lab("90", namespace={})
    made.start()
    return made


@pytest.fixture
def ctx(lab: Lab) -> Iterator[LabContext]:
    """A context whose server is the tiny lab's."""
    context = LabContext.of("90")
    context.server = lab.server
    yield context
    context.close()
