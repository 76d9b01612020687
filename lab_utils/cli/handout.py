"""Commands that hand the course out and in: release, submit, catch-up."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from lab_utils.cli import output
from lab_utils.cli.course import LabArgument
from lab_utils.cli.servers import JsonFlag


def release(
    folder: Annotated[Path, typer.Argument(help="Where the package will be, as a folder and as a zip.")],
    json: JsonFlag = False,
) -> None:
    """For teachers: write the student package. No solution notebooks, no hidden checks, no history.

    The same course gives the same bytes, on every machine.
    """
    from lab_utils.handout.release import release as write

    done = write(folder)
    if json:
        output.print_json(vars(done))
        return
    output.say(f"{done.archive}: {done.files} files, version {done.version}")
    output.say(f"SHA-256 {done.sha256}")
    output.say(f"The same, unpacked: {done.folder}")
    if not done.compared:
        output.say(
            "Note: the notebooks were not compared with their sources (that needs them, and jupytext)."
        )


def submit(
    student: Annotated[
        str | None, typer.Option(help="Your name or number, as your teacher wants it. It is remembered.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The zip. Default: NAME.zip here.", dir_okay=False)] = None,
    note: Annotated[
        str, typer.Option(help="A sentence for your teacher, for example about help you had.")
    ] = "",
    damaged: Annotated[
        bool, typer.Option("--damaged", help="Hand in a notebook that cannot be read, too.")
    ] = False,
    json: JsonFlag = False,
) -> None:
    """Pack your notebooks, your model repositories and a report on your machine into one zip.

    Save your notebooks first (Ctrl-S). Nothing is sent anywhere: you hand the zip in yourself.
    """
    from lab_utils.handout.submission import submit as pack

    done = pack(student, out, note=note, damaged=damaged)
    if json:
        output.print_json({**vars(done), "notebooks": {k: v.name for k, v in done.notebooks.items()}})
        return
    labs = ", ".join(done.notebooks)
    output.say(
        f"{done.archive}: {done.student}, lab{'s' if len(done.notebooks) > 1 else ''} {labs}, "
        f"{done.files} files of model repositories, {done.size / 1e6:.1f} MB."
    )
    for remark in done.remarks:
        output.say(f"Note: {remark}")
    output.say("Hand this file in. It was not sent anywhere.")


def catch_up(
    lab: LabArgument,
    llama: Annotated[
        bool, typer.Option("--llama", help="Train the small Llama now, if the lab uses it (minutes).")
    ] = False,
    json: JsonFlag = False,
) -> None:
    """Begin a lab without having finished the earlier ones: prepare it, try it, say what it builds on."""
    from lab_utils.handout.catch_up import catch_up as prepare

    done = prepare(lab, llama=llama)
    if json:
        output.print_json(done.as_dict())
    else:
        rows: list[list[str | Text]] = [
            [
                output.status_text(step.status),
                step.name,
                step.detail + (f"\nNext: {step.fix}" if step.fix else ""),
            ]
            for step in done.steps
        ]
        output.show_table(["", f"lab {done.lab} needs", "found"], rows)
        for lesson in done.lessons:
            total = lesson.passed + len(lesson.open)
            output.say(
                f"\nFrom lab {lesson.lab}, {lesson.title} ({lesson.passed} of {total} exercises passed):"
            )
            for point in lesson.learned:
                output.say(f"- {point}")
            output.say(f"Its notebook, to look things up: {lesson.notebook}")
        if done.ready:
            output.say(
                f"\nYou can begin: {done.notebook}. Nothing that you wrote in an earlier lab is needed."
            )
    if not done.ready:
        raise typer.Exit(1)
