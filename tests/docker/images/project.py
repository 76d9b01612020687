"""The project as a clone has it: the files that git knows or will know, without environments and models."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from lab_utils import paths
from tests.house.test_hygiene import names


def copy_of_the_project(folder: Path, *, owner: int) -> Path:
    """Copy the project's files to a folder, and give them to a user. Returns the folder."""
    root = paths.project_root()
    for name in names():
        if not (root / name).is_symlink():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(root / name, folder / name)
    for path in (folder, *folder.rglob("*")):
        os.chown(path, owner, owner)
    return folder
