"""Whose submission it is: the student's name in a file's name, as a person or a learning system wrote it."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

# Canvas, all submissions of an assignment: doejane_LATE_1234_56789_homework-1.ipynb
_CANVAS = re.compile(r"(?P<name>[^_/]+)(?P<late>_LATE)?_(?P<user>\d+)_(?P<submission>\d+)_(?P<file>.+)")
# Moodle, all submissions of an assignment: Jane Doe_12345_assignsubmission_file_
_MOODLE = re.compile(r"(?P<name>[^_/]+)_(?P<user>\d+)_assignsubmission_(?:file|onlinetext)_?(?P<file>.*)")


@dataclass(frozen=True)
class Author:
    """Who handed a file or folder in, as far as its name says it.

    Attributes:
        student: The student's name.
        user: The number that Canvas or Moodle gave them; empty otherwise.
        late: Canvas marked the submission as late.
        canvas: The number is one of Canvas.
    """

    student: str
    user: str = ""
    late: bool = False
    canvas: bool = False


def author_of(name: str) -> Author:
    """The author of an entry of the submissions' folder.

    Args:
        name: Its name without the ending `.zip` or `.ipynb`.
    """
    for pattern in (_MOODLE, _CANVAS):
        match = pattern.fullmatch(name)
        if match:
            late = bool(match.groupdict().get("late"))
            return Author(clean(match["name"]), match["user"], late, canvas=pattern is _CANVAS)
    return Author(clean(name))


def clean(name: str, most: int = 120) -> str:
    """A text that can be shown: one line, composed letters, nothing invisible or misleading in it."""
    text = name.encode("utf-8", "replace").decode("utf-8")
    text = unicodedata.normalize("NFC", text)
    text = "".join(" " if letter.isspace() else letter for letter in text)
    text = "".join(letter for letter in text if not unicodedata.category(letter).startswith("C"))
    text = re.sub(r" +", " ", text).strip()
    return text[:most] or "(no name)"


def folder_names(students: Sequence[str]) -> dict[str, str]:
    """A folder name for each student that every file system takes, and no two are the same.

    A name that had to be changed carries a short hash of the whole name, so that it does not depend
    on who else handed in.
    """
    plain = {student: _plain(student) for student in students}
    often = Counter(name.casefold() for name in plain.values())
    names = {}
    for student, name in plain.items():
        if name != student or often[name.casefold()] > 1:
            name = f"{name}-{hashlib.sha256(student.encode()).hexdigest()[:8]}"
        names[student] = name
    return names


def _plain(student: str) -> str:
    letters = unicodedata.normalize("NFKD", student).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9.-]+", "_", letters).strip("._-")[:48] or "student"
