"""Take the notebooks out of a zip that may be hostile.

Nothing in the zip decides where a file goes: notebooks are written under numbers, and their names
are only read. Sizes are counted while unpacking; what the zip says about them is not believed.
"""

from __future__ import annotations

import stat
import struct
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

MOST_ZIP = 2 << 30
MOST_DIRECTORY = 16 << 20
"""Bytes of a zip's table of contents: about 150 000 files with usual names."""
MOST_NOTEBOOK = 20 << 20
"""Reading one takes some fifty times its size in the worst case."""
MOST_TOTAL = 256 << 20
MOST_NOTEBOOKS = 100
MOST_LETTER = 64 << 10
LETTER = "submission.json"
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # the others can fill the memory with one read
_END = struct.Struct("<4s4H2LH")
_OFF_COURSE = frozenset({"__MACOSX", "__pycache__", "backups", "site-packages", "node_modules"})


@dataclass(frozen=True)
class Found:
    """A notebook of a submission, or its `submission.json`.

    Attributes:
        path: Where it lies now.
        name: What the student called it, with its folders; for messages and for choosing.
    """

    path: Path
    name: str


class BadZip(Exception):
    """A zip that is not opened, with the reason in words."""


def is_off_course(folder: str) -> bool:
    """Whether a folder's name is one of copies kept aside, or of things that no student wrote."""
    return folder in _OFF_COURSE or (folder.startswith(".") and folder not in (".", ".."))


def is_notebook(name: str) -> bool:
    """Whether a file's name is one of a notebook that a student works in."""
    *folders, file = PurePosixPath(name).parts or ("",)
    return (
        file.lower().endswith(".ipynb") and not file.startswith(".") and not any(map(is_off_course, folders))
    )


def is_letter(name: str) -> bool:
    """Whether this is the note that `triton-lab submit` puts on top of a submission."""
    return PurePosixPath(name).name == LETTER and len(PurePosixPath(name).parts) <= 2


def unpack_notebooks(path: Path, into: Path) -> tuple[list[Found], list[str]]:
    """Write every notebook of a zip, and its `submission.json`, into a folder.

    Args:
        path: The zip.
        into: An empty folder.

    Returns:
        The notebooks, in the order of the zip, and what was left out, in words.

    Raises:
        BadZip: It is no zip, is encrypted, or is too large to be opened.
    """
    _refuse_large(path)
    try:
        with zipfile.ZipFile(path) as archive:
            return _unpack(archive, into)
    except (zipfile.BadZipFile, EOFError, ValueError, OSError, struct.error, zlib.error) as error:
        raise BadZip(f"it cannot be read as a zip ({str(error) or type(error).__name__})") from error


def _refuse_large(path: Path) -> None:
    """Look at the end record before `zipfile` reads the whole table of contents into memory."""
    size = path.stat().st_size
    if size > MOST_ZIP:
        raise BadZip(f"it is larger than {MOST_ZIP >> 30} GiB")
    with path.open("rb") as file:
        file.seek(max(0, size - _END.size - (1 << 16)))
        tail = file.read()
    for place in {len(tail) - _END.size, tail.rfind(b"PK\5\6")}:
        if place < 0 or len(tail) - place < _END.size or tail[place : place + 4] != b"PK\5\6":
            continue
        directory = _END.unpack_from(tail, place)[5]
        if directory > MOST_DIRECTORY:  # zip64 says 0xffffffff here, and is refused with it
            raise BadZip("its table of contents is too large")
    if b"PK\6\7" in tail:
        raise BadZip("it is a zip64, for more than 65 000 files or 4 GiB")


def _unpack(archive: zipfile.ZipFile, into: Path) -> tuple[list[Found], list[str]]:
    found: list[Found] = []
    problems: list[str] = []
    left = MOST_TOTAL
    for member in archive.infolist():
        name = member.filename.replace("\\", "/")
        letter = is_letter(name)
        if member.is_dir() or not (letter or is_notebook(name)):
            continue
        shown = shorten(name)
        why = _unfit(member, name)
        if why:
            problems.append(f"{shown} was left out: {why}")
            continue
        if len(found) == MOST_NOTEBOOKS:
            problems.append(f"more than {MOST_NOTEBOOKS} notebooks: the others were left out")
            break
        target = into / f"{len(found):03d}{'.json' if letter else '.ipynb'}"
        written = _copy(archive, member, target, min(left, MOST_LETTER if letter else MOST_NOTEBOOK))
        if isinstance(written, str):
            target.unlink(missing_ok=True)
            problems.append(f"{shown} was left out: {written}")
            continue
        left -= written
        found.append(Found(target, name))
    return found, problems


def _unfit(member: zipfile.ZipInfo, name: str) -> str:
    """Why a member is not unpacked; empty when it may be."""
    parts = PurePosixPath(name).parts
    if name.startswith("/") or ".." in parts or name[1:2] == ":":
        return "its name leads out of the zip"
    mode = member.external_attr >> 16
    if mode and not (stat.S_ISREG(mode) or stat.S_IFMT(mode) == 0):
        return "it is a link or a device, not a file"
    if member.flag_bits & 1:
        return "it is encrypted"
    if member.compress_type not in _METHODS:
        return "it is packed in an unusual way (stored and deflated are possible)"
    return ""


def _copy(archive: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path, most: int) -> int | str:
    """Write one member. Returns its size, or why it was not written."""
    written = 0
    try:
        with archive.open(member) as source, target.open("wb") as out:
            while chunk := source.read(1 << 16):
                written += len(chunk)
                if written > most:
                    return f"it is larger than {most / (1 << 20):.3g} MiB"
                out.write(chunk)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        return f"it is damaged ({str(error) or type(error).__name__})"
    return written


def shorten(name: str) -> str:
    """A file's name for a message: printable, and not longer than a line."""
    plain = "".join(letter if letter.isprintable() else "?" for letter in name)
    return plain if len(plain) <= 80 else f"{plain[:38]}…{plain[-38:]}"
