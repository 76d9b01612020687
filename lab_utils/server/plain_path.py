"""A path that Triton's Python backend can take.

The backend hands the path of a model to its stub in a shell's command line, without quotes: with a blank
or a quote in it the server hangs or dies (seen with tritonserver 2.51.0). A link of a plain name leads there.
"""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from pathlib import Path

from lab_utils.errors import LabError

_PLAIN = re.compile(r"[A-Za-z0-9_@%+=:,./-]+")


def is_plain(path: Path) -> bool:
    """True when a shell takes the path as one word."""
    return bool(_PLAIN.fullmatch(str(path)))


def plain(path: Path) -> Path:
    """The path itself or, if a shell would not take it as one word, a link to it in the temporary folder.

    Args:
        path: An absolute path of a folder.

    Raises:
        LabError: The link cannot be made.
    """
    if is_plain(path):
        return path
    folder = Path(tempfile.gettempdir()) / f"triton-labs-links-{os.getuid()}"
    link = folder / hashlib.sha256(str(path).encode()).hexdigest()[:16]
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        if folder.is_symlink() or folder.stat().st_uid != os.getuid():
            raise OSError(f"{folder} belongs to somebody else")
        if not link.is_symlink() or link.readlink() != path:
            # A second process may do the same: replace is one step, and both links are equal.
            fresh = folder / f"{link.name}.{os.getpid()}"
            fresh.symlink_to(path)
            fresh.replace(link)
    except OSError as error:
        raise LabError(
            f"Triton cannot read a path such as {path}, and no link to it could be made.",
            why=f"Blanks and signs such as quotes break the Python backend. The link: {error}.",
            fix="Move the folder to a path of letters, digits, `_`, `-` and `.` alone.",
        ) from error
    return link
