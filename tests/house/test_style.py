"""ruff (also on the notebooks), mypy and the generator's check: so that one summary speaks for everything."""

from __future__ import annotations

import subprocess
import sys

import pytest

from lab_utils import paths

ROOT = paths.project_root()


@pytest.mark.timeout(400)
@pytest.mark.parametrize(
    "arguments",
    [
        ("ruff", "check", "."),
        ("ruff", "format", "--check", "."),
        ("mypy",),
        ("lab_utils.notebooks.generate", "--check"),
    ],
    ids=["ruff check", "ruff format", "mypy", "generated notebooks"],
)
def test_style(arguments):
    answer = subprocess.run(
        [sys.executable, "-m", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=390, check=False
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr
