"""The plan of a course: what counts how much and until when. One TOML file, or the labs as they are."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from pathlib import Path
from typing import Any

from lab_utils.errors import LabError
from lab_utils.grading.hidden import exercise_of, load_hidden, read_sources
from lab_utils.grading.tables import Reader, as_time, zone_named
from lab_utils.handout.files import package_files
from lab_utils.paths import project_root
from lab_utils.progress.labs import LABS, lab_spec
from lab_utils.progress.registry import Checkpoint


@dataclass(frozen=True)
class Late:
    """What is taken off after the deadline.

    Attributes:
        per_day: Share of the points reached that each day begun costs.
        grace_minutes: So late is not late.
        most: No more than this share is taken off.
        closed_after_days: After so many days the lab earns nothing; None: never closed.
    """

    per_day: float = 0.0
    grace_minutes: float = 0.0
    most: float = 1.0
    closed_after_days: float | None = None


@dataclass(frozen=True)
class LabPlan:
    """One lab in the plan.

    Attributes:
        lab: Two digits.
        weight: Its share of the grade, relative to the other labs; None: its points.
        deadline: When it is due, with a time zone; None: never.
        canvas: Name of its column in a Canvas gradebook; empty: the lab's number and title.
    """

    lab: str
    weight: float | None = None
    deadline: datetime | None = None
    canvas: str = ""

    @property
    def column(self) -> str:
        """The name of the lab's column in a gradebook."""
        return self.canvas or f"Lab {int(self.lab)}: {LABS[self.lab].title}"


@dataclass(frozen=True)
class Partial:
    """A part of the points for one mistake.

    The mistake is told by its advice, word for word: a check gives each mistake its own, and no
    student can make a check say it by returning or raising a text.
    """

    exercise: str
    next_step: str
    credit: float


@dataclass(frozen=True)
class RunLimits:
    """Limits of one notebook's run, as the plan sets them; None: the default of the sandbox.

    Attributes:
        minutes: Wall-clock time of the notebook.
        cell_minutes: Wall-clock time of one cell.
        memory_gib: Memory of all its processes together.
        processes: How many processes there may be at once.
        threads: How many threads all of them may have.
        disk_gib: What it may write.
    """

    minutes: float | None = None
    cell_minutes: float | None = None
    memory_gib: float | None = None
    processes: int | None = None
    threads: int | None = None
    disk_gib: float | None = None


@dataclass(frozen=True)
class CoursePlan:
    """What counts how much and until when.

    Attributes:
        title: The course's name, on every report.
        labs: The labs that are graded, in order.
        points: Points by id, where they differ from the checkpoint's own. 0 takes one out of the grade.
        late: What lateness costs.
        partial: Mistakes that earn a part of the points.
        partial_credit: Whether a check's own `credit` for a FAIL counts.
        skip_counts: A SKIP counts as zero. Default: its points are not asked for.
        limits: Limits of a run.
        hidden: Text of the hidden checks, by file name.
        hidden_checks: The checkpoints in it.
        hidden_folder: Where they lie; None: there are none.
        times: Table of the times of submission; None: none.
        zone: The zone of a time that has none of its own; None: every time must have one.
    """

    title: str = "Triton Labs"
    labs: tuple[LabPlan, ...] = field(default_factory=lambda: tuple(LabPlan(lab) for lab in LABS))
    points: Mapping[str, float] = field(default_factory=dict)
    late: Late = field(default_factory=Late)
    partial: tuple[Partial, ...] = ()
    partial_credit: bool = True
    skip_counts: bool = False
    limits: RunLimits = field(default_factory=RunLimits)
    hidden: Mapping[str, str] = field(default_factory=dict)
    hidden_checks: tuple[Checkpoint, ...] = ()
    hidden_folder: Path | None = None
    times: Path | None = None
    zone: tzinfo | None = None

    def checks(self, lab: str) -> list[Checkpoint]:
        """The checkpoints of a lab, in order, each with its hidden checks behind it."""
        hidden = [one for one in self.hidden_checks if one.lab == lab]
        ordered: list[Checkpoint] = []
        for one in lab_spec(lab).checkpoints():
            ordered += [one, *(extra for extra in hidden if exercise_of(extra.id) == one.id)]
        return ordered

    def points_of(self, one: Checkpoint) -> float:
        """The points of a checkpoint in this course."""
        return self.points.get(one.id, one.points)

    @property
    def has_deadlines(self) -> bool:
        """Whether any lab is due at a time."""
        return any(lab.deadline for lab in self.labs)


def load_plan(path: Path | None) -> CoursePlan:
    """Read a plan. Every fault in it is an error here, before the first notebook runs.

    Args:
        path: `course.toml`; None: all labs, their own points, no deadline.

    Raises:
        LabError: It cannot be read, has an unknown key or a value that makes no sense.
    """
    if path is None:
        return CoursePlan()
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise LabError(
            f"There is no plan {path}.", fix="Copy examples/instructors/course.toml and change it."
        ) from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise LabError(
            f"The plan {path} cannot be read.",
            why=str(error),
            fix='Mend that line: a text stands in quotes, "Lab 1"; a time reads 2026-11-30T23:59:00+01:00.',
        ) from error
    return _Plan(path, raw).plan()


class _Plan:
    """One file of a plan while it is read."""

    def __init__(self, path: Path, raw: dict[str, Any]) -> None:
        self.path = path
        self.top = Reader(path.name, "", raw)

    def plan(self) -> CoursePlan:
        top = self.top
        title = top.text("title", "Triton Labs")
        zone = zone_named(top.text("timezone", ""), self.path.name)
        skip = top.choice("skip", ("excluded", "zero"), "excluded")
        hidden_folder, times = top.text("hidden", ""), top.text("times", "")
        partial_credit = top.flag("partial_credit", True)
        limits, late = self._limits(), self._late()
        labs = tuple(self._lab(lab, zone) for lab in self._lab_names())
        sources = self._hidden(hidden_folder) if hidden_folder else {}
        graded = {lab.lab for lab in labs}
        plan = CoursePlan(
            title=title,
            labs=labs,
            late=late,
            partial_credit=partial_credit,
            skip_counts=skip == "zero",
            limits=limits,
            hidden=sources,
            hidden_checks=tuple(one for one in load_hidden(sources) if one.lab in graded),
            hidden_folder=self.path.parent / hidden_folder if hidden_folder else None,
            times=self.path.parent / times if times else None,
            zone=zone,
        )
        ids = [one.id for lab in graded for one in plan.checks(lab)]
        points = top.table("points")
        values = {id: points.number(id, least=0) for id in points.keys_of(ids, "a checkpoint of these labs")}
        partial = tuple(self._partial(one, ids) for one in top.tables("partial"))
        top.refuse_others()
        return CoursePlan(**{**vars(plan), "points": values, "partial": partial})

    def _hidden(self, name: str) -> dict[str, str]:
        """The text of the hidden checks, which must not lie where students get them."""
        folder, root = (self.path.parent / name).resolve(), project_root()
        sources = read_sources(folder)
        handed_out = {root / path for path in package_files(root)}
        if any(folder / file in handed_out for file in sources):
            raise LabError(
                f"The hidden checks in {folder} are part of the student package.",
                fix="Move them to a folder outside of the course.",
            )
        return sources

    def _lab_names(self) -> list[str]:
        """The labs that the plan names, else all, in order."""
        labs = self.top.table("labs")
        named = labs.keys_of(sorted({*LABS, *(str(int(lab)) for lab in LABS)}), "a lab")
        numbers = [int(name) for name in named]
        if len(set(numbers)) < len(numbers):
            raise LabError(
                f"{self.path.name}: a lab has two tables.", fix="Name each lab once, as [labs.01]."
            )
        return sorted(named, key=int) or list(LABS)

    def _lab(self, name: str, zone: tzinfo | None) -> LabPlan:
        table = self.top.table("labs").table(name)
        deadline = table.take("deadline")
        lab = LabPlan(
            f"{int(name):02d}",
            weight=table.number("weight", least=0) if table.has("weight") else None,
            deadline=as_time(deadline, zone, table.name_of("deadline")) if deadline is not None else None,
            canvas=table.text("canvas", ""),
        )
        table.refuse_others()
        return lab

    def _late(self) -> Late:
        table = self.top.table("late")
        closed = "closed_after_days"
        late = Late(
            per_day=table.number("per_day", 0.0, least=0, most=1),
            grace_minutes=table.number("grace_minutes", 0.0, least=0),
            most=table.number("most", 1.0, least=0, most=1),
            closed_after_days=table.number(closed, least=0) if table.has(closed) else None,
        )
        table.refuse_others()
        return late

    def _limits(self) -> RunLimits:
        table = self.top.table("limits")
        names = ("minutes", "cell_minutes", "memory_gib", "processes", "threads", "disk_gib")
        values: dict[str, Any] = {
            name: table.number(name, least=0, above=True) for name in names if table.has(name)
        }
        for name in {"processes", "threads"} & values.keys():
            values[name] = int(values[name])
        table.refuse_others()
        return RunLimits(**values)

    def _partial(self, table: Reader, ids: list[str]) -> Partial:
        exercise = table.choice("exercise", tuple(ids))
        partial = Partial(exercise, table.text("next_step"), table.number("credit", least=0, most=1))
        table.refuse_others()
        return partial
