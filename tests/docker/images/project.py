"""The project as a clone has it: the files that git knows or will know, without environments and models."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from lab_utils import paths


def copy_of_the_project(folder: Path, *, owner: int) -> Path:
    """Copy the project's files to a folder, and give them to a user. Returns the folder."""
    root = paths.project_root()
    answer = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    if answer.returncode:
        pytest.skip("not a git clone, so there is no list of its files")
    for name in filter(None, answer.stdout.split("\0")):
        if (root / name).is_file() and not (root / name).is_symlink():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(root / name, folder / name)
    for path in (folder, *folder.rglob("*")):
        os.chown(path, owner, owner)
    return folder
