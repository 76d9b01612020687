"""What was handed in: folders, zips and single notebooks become one `SubmissionFiles` for each student.

The input is never changed and nothing in it is believed. Notebooks are copied into a folder of the
batch, so that what is graded cannot change under it. Whatever is wrong with one submission is said
in its `problems` and stops nobody else's.
"""

from __future__ import annotations

import json
import shutil
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path

from lab_utils.errors import LabError
from lab_utils.grading.collect import collect
from lab_utils.grading.names import Author, author_of, clean
from lab_utils.grading.recognise import lab_of
from lab_utils.grading.results import Cause, SubmissionFiles
from lab_utils.grading.unpack import LETTER, Found, is_letter, shorten
from lab_utils.notebooks.build import is_edited
from lab_utils.notebooks.read import read_notebook
from lab_utils.progress.labs import LABS

# A teacher's own files among the submissions. Anything else that is no notebook is a submission without one.
_NOT_HANDED_IN = frozenset({".csv", ".toml", ".xlsx", ".ods", ".log"})
_MOST_PROBLEMS = 10
_CLUTTER = frozenset({"thumbs.db", "desktop.ini", "__macosx"})


@dataclass(frozen=True)
class HandedIn:
    """One student's entries in the submissions' folder.

    Attributes:
        author: Whose they are.
        paths: The files or folders, usually one.
    """

    author: Author
    paths: tuple[Path, ...]


@dataclass(frozen=True)
class _Candidate:
    """A notebook of a known lab, with what decides between several of the same lab."""

    found: Found
    lab: str
    edited: bool

    def rank(self) -> tuple[bool, bool, int, str]:
        """Least first: the one that a student worked in, with its own name, nearest to the top."""
        own = self.found.name.rsplit("/", 1)[-1] == f"{LABS[self.lab].notebook}.ipynb"
        return (not self.edited, not own, self.found.name.count("/"), self.found.name)


def find_submissions(submissions: Path) -> list[HandedIn]:
    """The students of a folder of submissions, sorted by name. A zip or notebook alone is one student.

    Raises:
        LabError: There is no such file or folder, or nothing in it.
    """
    if not submissions.exists():
        raise LabError(
            f"There are no submissions at {submissions}.",
            fix="Name a folder that holds one folder, zip or notebook for each student.",
        )
    if (submissions / "lab_utils").is_dir() and (submissions / "labs").is_dir():
        raise LabError(
            f"{submissions} is the course's own folder, or a student's copy of it.",
            fix="Name a folder that holds one folder, zip or notebook for each student.",
        )
    entries = sorted(submissions.iterdir()) if submissions.is_dir() else [submissions]
    by_author: dict[tuple[str, str], list[Path]] = defaultdict(list)
    authors: dict[tuple[str, str], Author] = {}
    for path in entries:
        if path.name.startswith(".") or path.name.lower() in _CLUTTER:
            continue
        if path.suffix.lower() in _NOT_HANDED_IN and not path.is_dir():
            continue
        author = author_of(path.name if path.is_dir() else _stem(path.name))
        # Without a number of the learning system, two entries are two students, whatever they are called.
        key = (author.student, author.user or f"/{path.name}")
        before = authors.get(key, author)
        authors[key] = replace(author, late=author.late or before.late)
        by_author[key].append(path)
    if not by_author:
        raise LabError(
            f"{submissions} holds no submission.",
            fix="It must hold one folder, zip or notebook for each student.",
        )
    released = {spec.notebook for spec in LABS.values()}
    if submissions.is_dir() and all(author.student in released for author in authors.values()):
        raise LabError(
            f"{submissions} looks like the folder of one student: it holds the labs' notebooks.",
            fix="Name the folder above it, which holds one folder, zip or notebook for each student.",
        )
    return _with_own_names([HandedIn(authors[key], tuple(paths)) for key, paths in by_author.items()])


def take_in(handed_in: HandedIn, into: Path) -> SubmissionFiles:
    """Copy one student's notebooks into a folder and find out which lab each is of.

    Args:
        handed_in: The student's entries.
        into: A folder of the batch; made anew.

    Returns:
        At most one notebook for each lab. Never raises for what is wrong with the submission.
    """
    shutil.rmtree(into, ignore_errors=True)
    into.mkdir(parents=True)
    problems: list[str] = []
    found: list[Found] = []
    repository: Path | None = None
    for number, path in enumerate(handed_in.paths):
        place = into / str(number)
        place.mkdir()
        try:
            found += collect(path, place, problems)
        except OSError as error:
            problems.append(f"{shorten(path.name)} cannot be read: {error.strerror or error}")
        except Exception as error:  # whatever a hostile file makes a library do
            problems.append(f"{shorten(path.name)} cannot be read: {type(error).__name__}")
        own = path / "model_repository"
        if repository is None and not own.is_symlink() and own.is_dir():
            repository = own
    cause = Cause.UNREADABLE if problems else Cause.MISSING
    letters = [one for one in found if is_letter(one.name)]
    found = [one for one in found if one not in letters]
    notebooks, foreign = _choose(found, problems)
    problems += [word for one in letters[:1] for word in _said(one.path, handed_in.author)]
    if notebooks:
        cause = Cause.MISSING  # what is not there was not handed in, whatever else is
    elif foreign:
        cause = Cause.FOREIGN
    elif found:
        cause = Cause.UNREADABLE
    elif cause is Cause.MISSING:
        problems.append("there is no notebook in it")
    if len(problems) > _MOST_PROBLEMS:
        problems[_MOST_PROBLEMS:] = [f"and {len(problems) - _MOST_PROBLEMS} more of this kind"]
    return SubmissionFiles(handed_in.author.student, notebooks, repository, tuple(problems), cause)


def _stem(name: str) -> str:
    for ending in (".ipynb", ".zip", ".tar.gz", ".tgz"):
        if name.lower().endswith(ending) and len(name) > len(ending):
            return name[: -len(ending)]
    return name


def _with_own_names(all: list[HandedIn]) -> list[HandedIn]:
    """Give each student a name of their own: with their number, else with their file's whole name."""
    often: dict[str, int] = defaultdict(int)
    for one in all:
        often[one.author.student] += 1
    taken: set[str] = set()
    named = []
    for one in sorted(all, key=lambda one: (one.author.student, one.author.user, one.paths)):
        student = one.author.student
        if often[student] > 1:
            student = f"{student} ({one.author.user or clean(one.paths[0].name)})"
        while student in taken:
            student += "'"
        taken.add(student)
        named.append(replace(one, author=replace(one.author, student=student)))
    return sorted(named, key=lambda one: (one.author.student.casefold(), one.author.student))


def _choose(found: list[Found], problems: list[str]) -> tuple[dict[str, Path], bool]:
    """One notebook for each lab, and whether there was a foreign one. Says which were not taken, and why."""
    foreign = False
    by_lab: dict[str, list[_Candidate]] = defaultdict(list)
    for one in found:
        try:
            notebook = read_notebook(one.path)
            lab = lab_of(notebook)
            edited = is_edited(notebook)
        except LabError as error:
            problems.append(f"{shorten(one.name)} cannot be read as a notebook: {_first(error.why)}")
            continue
        except Exception as error:  # a hostile notebook may break any reader
            problems.append(f"{shorten(one.name)} cannot be read as a notebook: {type(error).__name__}")
            continue
        if lab is None:
            foreign = True
            problems.append(f"{shorten(one.name)} is a notebook of none of the labs")
            continue
        by_lab[lab].append(_Candidate(one, lab, edited))
    chosen = {}
    for lab, candidates in sorted(by_lab.items()):
        best, *others = sorted(candidates, key=_Candidate.rank)
        chosen[lab] = best.found.path
        if others:
            names = ", ".join(shorten(other.found.name) for other in others[:3])
            more = f" and {len(others) - 3} more" if len(others) > 3 else ""
            problems.append(
                f"several notebooks of lab {lab}: {shorten(best.found.name)} was graded, not {names}{more}"
            )
    return chosen, foreign


def _said(path: Path, author: Author) -> list[str]:
    """What the student's `submission.json` says that a teacher should read. Nothing in it is believed."""
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        name, note = facts.get("student", ""), facts.get("note", "")
    except (OSError, ValueError, RecursionError, AttributeError):
        return []
    words = []
    # A learning system knows who handed in, and calls them as it likes.
    if isinstance(name, str) and name and not author.user and clean(name) != author.student:
        words.append(f"its {LETTER} is of {clean(name)!r}")
    if isinstance(note, str) and note.strip():
        words.append(f"the student writes: {clean(note, 400)}")
    return words


def _first(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[0][:200] if lines else "no reason is known"
