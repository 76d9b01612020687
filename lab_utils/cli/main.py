"""All commands of `triton-lab` in one table, and what happens with an error."""

from __future__ import annotations

import os
import sys
from typing import Any

import typer
from typer.core import TyperGroup

from lab_utils.cli import (
    bench,
    course,
    explain,
    grading,
    handout,
    jupyter,
    lint,
    output,
    repository,
    servers,
    stack,
)
from lab_utils.cli.machine import demo, doctor, fetch_prometheus, pull
from lab_utils.errors import LabError


class LabGroup(TyperGroup):
    """A LabError is a message for the student, never a traceback."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command; turn an error of ours into its message and exit code 1."""
        try:
            return super().invoke(ctx)
        except LabError as error:
            output.show_error(error)
            raise typer.Exit(1) from None
        except BrokenPipeError:
            # `triton-lab logs | head` closes our output early; that is no fault.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(0) from None


app = typer.Typer(
    name="triton-lab",
    cls=LabGroup,
    help="Hands-on labs for NVIDIA Triton Inference Server: servers, notebooks, checks, progress.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.command(rich_help_panel="Machine")(doctor)
app.command(rich_help_panel="Machine")(demo)
app.command(rich_help_panel="Machine")(fetch_prometheus)
app.command(rich_help_panel="Machine")(pull)

app.command(rich_help_panel="Servers")(servers.start)
app.command(rich_help_panel="Servers")(servers.status)
app.command(rich_help_panel="Servers")(servers.logs)
app.command(rich_help_panel="Servers")(servers.stop)
app.command(rich_help_panel="Servers")(servers.key)
app.command(rich_help_panel="Servers")(bench.bench)
app.command(rich_help_panel="Servers")(stack.up)
app.command(rich_help_panel="Servers")(stack.down)

app.command(rich_help_panel="Model repository")(repository.tree)
app.command(rich_help_panel="Model repository")(repository.config)
app.command(rich_help_panel="Model repository")(lint.lint)
app.command(rich_help_panel="Model repository")(explain.explain)

app.command(name="lab", rich_help_panel="Labs", context_settings=jupyter.PASS_ON)(jupyter.lab)
app.command(rich_help_panel="Labs")(course.notebooks)
app.command(rich_help_panel="Labs")(course.check)
app.command(rich_help_panel="Labs")(course.progress)
app.command(rich_help_panel="Labs")(course.reset)
app.command(name="catch-up", rich_help_panel="Labs")(handout.catch_up)
app.command(rich_help_panel="Labs")(handout.submit)
app.add_typer(course.models, name="models", rich_help_panel="Labs")

app.command(rich_help_panel="For teachers")(handout.release)
app.command(rich_help_panel="For teachers")(grading.grade)
app.command(name="item-analysis", rich_help_panel="For teachers")(grading.item_analysis)
