"""A folder of the course that cannot be written: which one, why, and what to do about it."""

from __future__ import annotations

import errno
import os
import pwd
import tempfile
from pathlib import Path

from lab_utils.errors import LabError


def require(folder: Path, purpose: str, variable: str) -> Path:
    """Make a folder, and make sure that this process may write into it.

    Args:
        folder: The folder.
        purpose: What it is for, to stand behind `The folder ...`: `for your work`.
        variable: The environment variable that names another one.

    Returns:
        The folder.

    Raises:
        LabError: It cannot be written: mounted read-only, another user's, on a full disk, or no folder.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Asking for the permission is not enough: root has it on a disk that is mounted read-only.
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"1")
    except OSError as error:
        raise _cannot_write(folder, purpose, variable, error) from error
    return folder


def _cannot_write(folder: Path, purpose: str, variable: str, error: OSError) -> LabError:
    other = f"or set {variable} to another folder"
    place = next(p for p in (folder, *folder.parents) if p.exists())
    if error.errno == errno.EROFS:
        why = "It is on a disk, or on a volume of a container, that is mounted read-only."
        fix = f"Mount it for writing (docker: without `:ro` behind -v), {other}."
    elif error.errno in (errno.EACCES, errno.EPERM):
        status, me = place.stat(), os.getuid()
        why = f"{place} belongs to {_user(status.st_uid)}, and this process runs as {_user(me)}."
        fix = f"Give it to that user, as an administrator: `chown -R {me}:{os.getgid()} {place}`; {other}."
    elif error.errno in (errno.ENOSPC, errno.EDQUOT):
        why = "The disk is full."
        fix = f"Remove what you do not need (`df -h {place}` shows how much is free), {other}."
    elif not place.is_dir():
        why = f"{place} is a file."
        fix = f"Move that file away, {other}."
    else:
        why = f"The system says: {error}."
        fix = f"Mend what it names, {other}."
    return LabError(f"The folder {folder} {purpose} cannot be written.", why=why, fix=fix)


def _user(number: int) -> str:
    try:
        return f"the user {pwd.getpwuid(number).pw_name} (id {number})"
    except KeyError:
        return f"a user with the id {number}"
