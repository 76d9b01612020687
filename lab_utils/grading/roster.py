"""Who is in the course, and when they handed in: two tables that a learning system exports."""

from __future__ import annotations

import csv
import unicodedata
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from pathlib import Path

from lab_utils.errors import LabError
from lab_utils.grading.names import Author, clean
from lab_utils.grading.tables import as_time
from lab_utils.progress.labs import LABS

_NAME_COLUMNS = ("Student", "student", "student_id", "id")
# Columns that tell who somebody is, in the tables of Canvas and of nbgrader.
_ID_COLUMNS = ("ID", "SIS User ID", "SIS Login ID", "student_id", "id", "email")


@dataclass(frozen=True)
class Member:
    """A student of the course.

    Attributes:
        name: As the table calls them.
        columns: The whole row.
    """

    name: str
    columns: Mapping[str, str] = field(default_factory=dict)


class Roster:
    """The students of a course, found by number, login or name."""

    def __init__(self, members: Sequence[Member]) -> None:
        self.members = tuple(members)
        self._by_number: dict[str, list[Member]] = defaultdict(list)
        self._by_name: dict[str, list[Member]] = defaultdict(list)
        for member in members:
            numbers = {member.columns.get(column, "").strip().casefold() for column in _ID_COLUMNS}
            for number in numbers - {""}:
                self._by_number[number].append(member)
            for key in {_key(member.name), _key(_turned(member.name))} - {""}:
                self._by_name[key].append(member)

    def find(self, author: Author) -> Member | None:
        """The one student who must be meant; None when nobody or more than one fits."""
        fitting = self.fitting(author)
        return fitting[0] if len(fitting) == 1 else None

    def fitting(self, author: Author) -> tuple[Member, ...]:
        """All students who may be meant: one by number or name, else all whom the name fits."""
        ids = [author.user, author.student] if author.user else [author.student]
        several: tuple[Member, ...] = ()
        for found in [
            *(self._by_number.get(id.casefold(), []) for id in ids),
            self._by_name.get(_key(author.student), []),
        ]:
            if len(found) == 1:
                return (found[0],)
            several = several or tuple(found)
        return several


def read_roster(path: Path) -> Roster:
    """Read a table of students: the export of a Canvas gradebook, or any CSV with a column `student`.

    Raises:
        LabError: It cannot be read or has no column with names.
    """
    columns, rows = _read_table(path)
    name = next((column for column in _NAME_COLUMNS if column in columns), None)
    if name is None:
        raise LabError(
            f"{path.name} has no column with the students' names.",
            why=f"Its columns are {', '.join(columns[:8]) or 'none'}.",
            fix="Export the gradebook of Canvas, or write a CSV with the column `student`.",
        )
    members = [
        Member(clean(row[name]), row)
        for row in rows
        if row[name].strip() and not row[name].strip().startswith("Points Possible")
    ]
    return Roster([one for one in members if one.name != "Student, Test"])


class Times:
    """When students handed in. A row without a lab is for all labs that have no row of their own."""

    def __init__(self, rows: Sequence[tuple[str, str, datetime]]) -> None:
        """Take rows of student, lab (maybe empty) and moment."""
        self._rows = list(rows)
        names = dict.fromkeys(student for student, _, _ in rows)
        self._students = Roster([Member(name, {"student_id": name}) for name in names])
        self._used: set[str] = set()

    @property
    def unused(self) -> list[str]:
        """Names in the table that no student was found by, in its order."""
        return [name for name in dict.fromkeys(row[0] for row in self._rows) if name not in self._used]

    def of(self, author: Author, member: Member | None = None) -> dict[str, datetime]:
        """The moments of a student by lab; empty when the table does not have them."""
        found = self._students.find(author)
        if found is None and member is not None:
            known = [member.name, *(member.columns.get(column, "") for column in _ID_COLUMNS)]
            also = [self._students.find(Author(name)) for name in known if name]
            found = next((one for one in also if one is not None), None)
        if found is None:
            return {}
        self._used.add(found.name)
        own = [(lab, moment) for student, lab, moment in self._rows if student == found.name]
        general = {lab: moment for name, moment in own if not name for lab in LABS}
        return general | {lab: moment for lab, moment in own if lab}


def read_times(path: Path, zone: tzinfo | None) -> Times:
    """Read when students handed in: a CSV with the columns `student`, `submitted`, and maybe `lab`.

    Args:
        path: The file.
        zone: The zone of a time that has none of its own.

    Raises:
        LabError: A column is missing, or a row makes no sense; names the line.
    """
    columns, rows = _read_table(path)
    missing = [column for column in ("student", "submitted") if column not in columns]
    if missing:
        raise LabError(
            f"{path.name} has no column `{missing[0]}`.",
            fix="Its first line reads: student,submitted  or  student,lab,submitted",
        )
    times = []
    lines: dict[tuple[str, str], int] = {}
    for number, row in enumerate(rows, 2):
        moment = as_time(row["submitted"], zone, f"{path.name}, line {number}: submitted")
        written = row.get("lab", "").strip()
        lab = f"{int(written):02d}" if written.isdecimal() else written
        if lab and lab not in LABS:
            raise LabError(
                f"{path.name}, line {number}: there is no lab {written!r}.",
                fix=f"The labs are {', '.join(LABS)}.",
            )
        student = clean(row["student"])
        before = lines.setdefault((student, lab), number)
        if before != number:
            raise LabError(
                f"{path.name}, line {number}: {student} has a time already, in line {before}.",
                fix="Keep the one that counts; a time for one lab alone has that lab in the column `lab`.",
            )
        times.append((student, lab, moment))
    return Times(times)


def _read_table(path: Path) -> tuple[list[str], list[dict[str, str]]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            first = file.readline()
            file.seek(0)
            # Where the comma belongs to numbers, spreadsheets separate by semicolons.
            separator = ";" if ";" in first and "," not in first else ","
            reader = csv.DictReader(file, restkey="", restval="", delimiter=separator)
            columns = [str(column).strip() for column in reader.fieldnames or []]
            reader.fieldnames = columns
            rows = [
                {str(column): str(value) for column, value in row.items() if column != ""} for row in reader
            ]
            return columns, rows
    except FileNotFoundError:
        raise LabError(f"There is no table {path}.", fix="Name a CSV file that is there.") from None
    except UnicodeDecodeError as error:
        raise LabError(
            f"{path} cannot be read as a table.",
            why=f"It is not UTF-8: {error}",
            fix="Save it anew as UTF-8; a spreadsheet calls it `CSV UTF-8` under Save as.",
        ) from error
    except (OSError, csv.Error) as error:
        raise LabError(
            f"{path} cannot be read as a table.", why=str(error), fix="Give a CSV file in UTF-8."
        ) from error


def _turned(name: str) -> str:
    """`Doe, Jane` as `Jane Doe`."""
    last, comma, first = name.partition(",")
    return f"{first} {last}" if comma else name


def _key(name: str) -> str:
    """Letters and digits only: Canvas calls the files of `Doe, Jane` `doejane_…`."""
    plain = unicodedata.normalize("NFKD", name).casefold()
    return "".join(letter for letter in plain if letter.isalnum())
