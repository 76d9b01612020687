"""Copy the notebooks out of what a student handed in. No link is followed, and no size is believed."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

from lab_utils.grading.unpack import (
    MOST_LETTER,
    MOST_NOTEBOOK,
    MOST_NOTEBOOKS,
    BadZip,
    Found,
    is_letter,
    is_notebook,
    is_off_course,
    shorten,
    unpack_notebooks,
)

_DEEPEST = 12
_MOST_ENTRIES = 20_000


def collect(path: Path, into: Path, problems: list[str]) -> list[Found]:
    """Copy the notebooks of one entry, and its `submission.json`, into a folder.

    Args:
        path: A folder, a zip or a notebook.
        into: An empty folder.
        problems: Is added to: what was left out, in words.

    Raises:
        OSError: Something cannot be read.
    """
    kind = path.lstat().st_mode
    if stat.S_ISLNK(kind):
        problems.append(f"{shorten(path.name)} is a link, which is not followed")
        return []
    if stat.S_ISDIR(kind):
        return _collect_folder(path, into, problems)
    if not stat.S_ISREG(kind):
        problems.append(f"{shorten(path.name)} is neither a file nor a folder")
        return []
    if path.name.lower().endswith(".zip"):
        return _collect_zip(path, path.name, into, problems)
    if path.name.lower().endswith(".ipynb"):
        return _copy(path, path.name, into, 0, problems)
    problems.append(f"{shorten(path.name)} is neither a notebook nor a zip")
    return []


def _collect_folder(folder: Path, into: Path, problems: list[str]) -> list[Found]:
    found: list[Found] = []
    for path in _files(folder, problems):
        name = path.relative_to(folder).as_posix()
        if path.name.lower().endswith(".zip"):  # a learning system puts what was handed in into a folder
            inner = into / f"zip{len(list(into.iterdir()))}"
            inner.mkdir()
            found += _collect_zip(path, name, inner, problems)
        elif is_notebook(name) or is_letter(name):
            found += _copy(path, name, into, len(found), problems)
        if len(found) >= MOST_NOTEBOOKS:
            problems.append(f"more than {MOST_NOTEBOOKS} notebooks: the others were left out")
            break
    return found


def _collect_zip(path: Path, name: str, into: Path, problems: list[str]) -> list[Found]:
    try:
        found, left_out = unpack_notebooks(path, into)
    except BadZip as error:
        problems.append(f"{shorten(name)} was not opened: {error}")
        return []
    problems += left_out
    return found


def _copy(path: Path, name: str, into: Path, number: int, problems: list[str]) -> list[Found]:
    letter = is_letter(name)
    most = MOST_LETTER if letter else MOST_NOTEBOOK
    if path.stat().st_size > most:
        problems.append(f"{shorten(name)} was left out: it is larger than {most / (1 << 20):.3g} MiB")
        return []
    target = into / f"{number:03d}{'.json' if letter else '.ipynb'}"
    shutil.copyfile(path, target, follow_symlinks=False)
    return [Found(target, name)]


def _files(folder: Path, problems: list[str]) -> Iterator[Path]:
    """Regular files below a folder, in order of their names. No link is followed, no pipe is opened."""
    seen = 0
    waiting = [folder]
    while waiting:
        here = waiting.pop(0)
        with os.scandir(here) as scan:
            entries = sorted(scan, key=lambda entry: entry.name)
        for entry in entries:
            seen += 1
            if seen > _MOST_ENTRIES:
                problems.append(f"more than {_MOST_ENTRIES} files: the others were not looked at")
                return
            if entry.is_symlink():
                if entry.name.lower().endswith((".ipynb", ".zip")):
                    problems.append(f"{shorten(entry.name)} is a link, which is not followed")
            elif entry.is_dir(follow_symlinks=False):
                path = Path(entry.path)
                if not is_off_course(entry.name) and len(path.relative_to(folder).parts) <= _DEEPEST:
                    waiting.append(path)
            elif entry.is_file(follow_symlinks=False):
                yield Path(entry.path)
