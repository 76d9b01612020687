"""`triton-lab grade` and `triton-lab item-analysis`: for instructors."""

from __future__ import annotations

import json as jsonlib
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lab_utils.cli import output
from lab_utils.cli.servers import JsonFlag
from lab_utils.errors import LabError

if TYPE_CHECKING:
    from lab_utils.grading.analysis import Item
    from lab_utils.grading.batch import Batch, Watcher


class Format(StrEnum):
    """Which other program shall take the grades."""

    canvas = "canvas"
    nbgrader = "nbgrader"


def grade(
    submissions: Annotated[
        Path, typer.Argument(help="A folder with one folder, zip or notebook for each student.")
    ],
    out: Annotated[Path, typer.Option("--out", help="Folder for the grades and reports.")],
    plan: Annotated[
        Path | None,
        typer.Option("--plan", help="course.toml: weights, deadlines, hidden checks.", dir_okay=False),
    ] = None,
    jobs: Annotated[
        int, typer.Option("--jobs", min=0, help="Notebooks at the same time. 0: one for every two cores.")
    ] = 0,
    roster: Annotated[
        Path | None,
        typer.Option(help="Table of all students: a Canvas gradebook, or a CSV with a column `student`."),
    ] = None,
    format: Annotated[
        list[Format] | None, typer.Option("--format", help="Write an import for this, too. Repeatable.")
    ] = None,
    no_sandbox: Annotated[
        bool,
        typer.Option("--no-sandbox", help="Run the students' code unconfined. Only if you trust all of it."),
    ] = False,
    json: JsonFlag = False,
) -> None:
    """Execute every submission again, confined, and write grades with reasons.

    Start the same command again to go on after an interruption, or to count anew with another plan.
    Exit code 1 when a notebook could not be run for a reason that is not the student's.
    """
    from lab_utils.grading.batch import run_batch
    from lab_utils.grading.launch import SandboxRunner
    from lab_utils.grading.outputs import write_outputs
    from lab_utils.grading.plan import load_plan
    from lab_utils.grading.roster import read_roster
    from lab_utils.grading.state import BatchFolder

    course = load_plan(plan)
    students = read_roster(roster) if roster else None
    folder = BatchFolder(out)
    own = [plan, course.hidden_folder, course.times, roster]
    secrets = [submissions, folder.root, *(path for path in own if path)]
    runner = SandboxRunner.of(course, folder.stage, secrets, confined=not no_sandbox)
    with _stoppable(), folder.opened(submissions):
        with _progress() as watch:
            batch = run_batch(
                submissions,
                folder,
                course,
                runner,
                jobs=jobs or max(1, (os.cpu_count() or 1) // 2),
                confined=not no_sandbox,
                roster=students,
                watch=watch,
                prepare=runner.prepare,
            )
        items, warnings = write_outputs(batch, folder, [one.value for one in format or []])
    failed = _not_run(batch)
    if json:
        output.print_json(_summary(batch, folder.root, warnings))
    else:
        _show(batch, items, [*warnings, *failed], folder.root)
    if failed:
        raise typer.Exit(1)


def item_analysis(
    folder: Annotated[Path, typer.Argument(help="The --out folder of a batch.")],
    json: JsonFlag = False,
) -> None:
    """Show what a class can do: per checkpoint how many passed, and the commonest messages."""
    from lab_utils.grading.analysis import analyse

    path = folder / "grades.json"
    try:
        students = jsonlib.loads(path.read_text(encoding="utf-8"))["students"]
        items = analyse(students)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise LabError(
            f"There are no grades in {folder}.",
            why=f"{path.name}: {error}",
            fix="Name the --out folder of a batch that came to its end: triton-lab grade",
        ) from error
    if json:
        output.print_json([one.as_dict() for one in items])
        return
    columns = ["Check", "Passed", "Failed", "Unsolved", "Stopped", "Skipped", "Commonest message"]
    output.show_table(columns, [_item_row(one) for one in items])


def _item_row(item: Item) -> list[str]:
    rate = "" if item.rate is None else f" ({item.rate:.0f} %)"
    first = item.mistakes[0] if item.mistakes else None
    return [
        f"{item.id}{' hidden' if item.hidden else ''}",
        f"{item.passed}{rate}",
        str(item.failed),
        str(item.unsolved),
        str(sum(item.stopped.values())),
        str(item.skipped),
        f"{first.count} × {first.next_step}" if first else "",
    ]


def _not_run(batch: Batch) -> list[str]:
    """Notebooks that could not be run, by no fault of the student."""
    from lab_utils.grading.results import Cause

    return [
        f"{grade.student}, lab {lab.result.lab}: {lab.result.reason}"
        for grade in batch.grades
        for lab in grade.labs
        if lab.result.cause is Cause.INTERNAL
    ]


def _summary(batch: Batch, root: Path, warnings: list[str]) -> dict[str, Any]:
    return {
        "out": str(root),
        "ran": batch.ran,
        "kept": batch.kept,
        "confined": all(grade.confined for grade in batch.grades),
        "not_run": _not_run(batch),
        "warnings": warnings,
        "students": [
            {
                "student": grade.student,
                "percent": grade.percent,
                "points": grade.score,
                "possible": grade.possible,
                "problem": grade.problem,
            }
            for grade in batch.grades
        ],
    }


def _show(batch: Batch, items: list[Item], warnings: list[str], root: Path) -> None:
    from lab_utils.grading.analysis import hardest
    from lab_utils.grading.formats import number

    rows = []
    for grade in batch.grades:
        points = f"{number(grade.score)} of {number(grade.possible)}"
        late = [
            f"lab {lab.result.lab} late: {number(lab.deduction)} points taken"
            for lab in grade.labs
            if lab.result.late
        ]
        words = "; ".join([*late, *filter(None, [grade.problem])])
        rows.append([grade.student, f"{number(grade.percent)} %", points, words])
    output.show_table(["Student", "Grade", "Points", "Remarks"], rows)
    kept = f", {batch.kept} kept from an earlier start" if batch.kept else ""
    output.say(f"{_many(len(rows), 'student')}; {_many(batch.ran, 'notebook')} ran{kept}.")
    weak = hardest(items)
    if weak:
        output.say(f"Hardest: {', '.join(f'{one.id} ({one.rate:.0f} % passed)' for one in weak)}.")
    for warning in warnings:
        output.say(f"Note: {warning}")
    output.say(f"Grades:  {root / 'grades.csv'}")
    output.say(f"Reports: {root / 'index.html'}")


def _many(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


@contextmanager
def _stoppable() -> Iterator[None]:
    """SIGTERM and SIGHUP stop a batch as Ctrl-C does: its processes end, its results stay."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {one: signal.signal(one, stop) for one in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    except KeyboardInterrupt:
        output.console(stderr=True).print("Stopped. What was done is kept: start the same command again.")
        raise typer.Exit(130) from None
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


@contextmanager
def _progress() -> Iterator[Watcher]:
    """A bar on a terminal; elsewhere one line for each notebook. Both on stderr."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    console = output.console(stderr=True)
    if not console.is_terminal:

        def say(done: int, total: int, text: str) -> None:
            console.print(f"{done} of {total} notebooks" + (f"  {text}" if text else ""), markup=False)

        yield say
        return
    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("", total=None)

        def show(done: int, total: int, text: str) -> None:
            bar.update(task, completed=done, total=total, description=text.replace("[", r"\["))

        yield show
