"""Every test of this part has its own state folder, so a developer's running servers are never touched."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from lab_utils import paths
from lab_utils import server as triton

Run = Callable[..., "subprocess.CompletedProcess[str]"]
ROOT = paths.project_root()


@pytest.fixture
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """State and work folders of this test alone. The cache is shared: it holds nothing of one test."""
    monkeypatch.setenv("TRITON_LAB_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TRITON_LAB_WORK", str(tmp_path / "work"))
    for name in ("TRITON_LAB_RUNTIME", "TRITON_LAB_LIFETIME", "TRITON_LAB_URL"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture
def triton_lab(own_folders: Path) -> Iterator[Run]:
    """Run `triton-lab …` as a student does, in a process of its own. Its servers end with the test."""

    def run(*arguments: str, timeout: float = 90) -> subprocess.CompletedProcess[str]:
        return run_cli(arguments, timeout)

    yield run
    triton.stop_all()


def run_cli(arguments: Sequence[str], timeout: float) -> subprocess.CompletedProcess[str]:
    """One command of `triton-lab`, its output as text."""
    return subprocess.run(
        [sys.executable, "-m", "lab_utils.cli", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
