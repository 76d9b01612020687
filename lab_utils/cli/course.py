"""Commands for the course: notebooks, check, progress, reset, models build."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer

from lab_utils.cli import output
from lab_utils.cli.servers import JsonFlag
from lab_utils.errors import LabError

LabArgument = Annotated[str, typer.Argument(help="Number of the lab, for example 01.")]
models = typer.Typer(help="The small models that the labs serve.", no_args_is_help=True)


@models.callback()
def models_group() -> None:
    """Make `build` a command of a group, also while it is the only one."""


@models.command()
def build(
    force: Annotated[bool, typer.Option("--force", help="Build again what is already there.")] = False,
    llama: Annotated[
        bool,
        typer.Option(
            "--llama", help="Train the small Llama, too. Without it, Lab 3 does so in its second half."
        ),
    ] = False,
) -> None:
    """Train and export the example models into model_repository/ (seconds; cached)."""
    from lab_utils.models.build import accuracy, build_models

    written = build_models(force=force)
    for path in written:
        output.say(f"written: {path}")
    output.say(f"mnist_mlp is ready: {accuracy():.1%} of the test digits are classified correctly.")
    if llama:
        _build_llama(force)


def _build_llama(force: bool) -> None:
    """The small Llama, and the export of it that `llama_logits` serves."""
    missing = [name for name in ("torch", "tokenizers", "safetensors") if find_spec(name) is None]
    if missing:
        raise LabError(
            f"The small Llama needs {', '.join(missing)}, which is not installed.",
            fix="pip install -e '.[torch]' -c constraints.txt",
        )
    from lab_utils.llama.export import build_logits
    from lab_utils.llama.small import facts, small_llama

    folder = small_llama(force)
    for path in build_logits(model="small", force=force):
        output.say(f"written: {path}")
    output.say(f"The small Llama is ready, with {len(facts())} answers: {folder}")


def notebooks(json: JsonFlag = False) -> None:
    """Make your own copies of the notebooks in work/, or refresh untouched ones. Your work stays."""
    from lab_utils.notebooks.copies import make_copies

    copies = make_copies()
    if json:
        rows = [
            {"notebook": c.path.name, "path": c.path, "action": c.action, "message": c.message}
            for c in copies
        ]
        output.print_json(rows)
        return
    for copy in copies:
        output.say(copy.message)


def reset(
    lab: LabArgument,
    exercise: Annotated[
        str | None, typer.Argument(help="For example 1.5. Default: the whole notebook.")
    ] = None,
) -> None:
    """Put back one exercise or a whole notebook. What you had is kept in work/backups/."""
    from lab_utils.notebooks.reset import reset as put_back
    from lab_utils.progress.labs import lab_spec
    from lab_utils.progress.store import ProgressStore

    done = put_back(lab, exercise)
    ids = [c.id for c in lab_spec(lab).checkpoints()]
    ProgressStore().forget(ids if exercise is None else [i for i in ids if exercise in (i, i.split(".")[1])])
    output.say(done.message)


def check(
    lab: LabArgument,
    notebook: Annotated[
        Path | None, typer.Option(help="A notebook file. Default: your copy in work/.", dir_okay=False)
    ] = None,
    json: JsonFlag = False,
) -> None:
    """Run your notebook again from top to bottom in a fresh kernel, with a server of its own.

    Exit code 1 when any exercise fails. Your notebook is not changed. `progress` shows the result.
    """
    from lab_utils.progress.labs import lab_spec
    from lab_utils.progress.render import as_text
    from lab_utils.progress.rerun import check_lab
    from lab_utils.progress.store import ProgressStore

    lab_spec(lab)  # an unknown lab is refused before anything is said
    if not json:
        output.say(
            f"Running lab {lab} from top to bottom in a fresh kernel. This takes some minutes at most."
        )
    report = check_lab(lab, notebook)
    if (
        notebook is None and report.finished
    ):  # the student's own copy: its fresh result is where the student is now
        store = ProgressStore()
        for result in report.results:
            store.record(result.checkpoint, result.verdict, result.verdict.evidence.get("server"))
    if json:
        output.print_json(report.as_dict())
    else:
        for result in report.results:
            output.say(as_text(result.checkpoint, result.verdict))
        for error in report.unexpected:
            output.say(f"Error in {error}")
        if not report.finished:
            output.say(f"The run did not finish: {report.reason}")
        output.say(f"{report.score} ({report.seconds:.0f} s).")
    if not report.complete:
        raise typer.Exit(1)


def progress(
    lab: Annotated[str | None, typer.Argument(help="Number of one lab; default: all.")] = None,
    json: JsonFlag = False,
) -> None:
    """Show where you are: every exercise with its latest verdict."""
    from lab_utils.progress.labs import LABS, lab_spec
    from lab_utils.progress.panel import as_text
    from lab_utils.progress.store import ProgressStore

    labs = list(LABS.values()) if lab is None else [lab_spec(lab)]
    store = ProgressStore()
    if json:
        output.print_json([_progress_of(spec, store) for spec in labs])
        return
    for spec in labs:
        output.say(as_text(spec.number, spec.title, spec.checkpoints(), store))


def _progress_of(spec: Any, store: Any) -> dict[str, Any]:
    """One lab's progress as JSON values."""
    checkpoints, entries = spec.checkpoints(), store.entries()
    score = store.score(checkpoints)
    return {
        "lab": spec.number,
        "title": spec.title,
        "points": score.points,
        "possible": score.possible,
        "exercises": [
            {
                "id": one.id,
                "title": one.title,
                "points": one.points,
                "status": entries[one.id].verdict.status.value if one.id in entries else "open",
                "at": entries[one.id].at if one.id in entries else None,
            }
            for one in checkpoints
        ],
    }
