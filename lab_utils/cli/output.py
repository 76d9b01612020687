"""What the commands print. With `--json`, one JSON value is all that goes to stdout."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from lab_utils.errors import LabError

# Words carry the meaning; colour only repeats it.
COLOURS = {"PASS": "green", "WARN": "yellow", "FAIL": "red", "SKIP": "yellow", "open": "dim"}


def console(stderr: bool = False) -> Console:
    """A console for now's stdout or stderr. Long paths and ids are never broken or coloured."""
    return Console(stderr=stderr, highlight=False, soft_wrap=True)


def say(text: str = "") -> None:
    """One line of plain text; nothing in it is taken for markup."""
    console().print(Text(text))


def print_json(value: Any) -> None:
    """The one JSON value of a command with `--json`."""
    print(json.dumps(value, indent=2, default=str), flush=True)


def show_error(error: LabError) -> None:
    """What is wrong in red, then why, the next step and the evidence, on stderr."""
    err = console(stderr=True)
    err.print(Text(error.what, style="bold red"))
    if error.why:
        err.print(Text(f"Why:  {error.why}"))
    if error.fix:
        err.print(Text(f"Next: {error.fix}"))
    if error.details:
        err.print(Text(error.details.rstrip(), style="dim"))


def status_text(status: str) -> Text:
    """PASS, WARN, FAIL, SKIP or open, as a word with its colour."""
    return Text(status, style=COLOURS.get(status, ""))


def show_table(columns: Sequence[str], rows: Iterable[Sequence[str | Text]]) -> None:
    """A table without lines, that wraps in its last column. Nothing in a text is taken for markup."""
    table = Table(*columns, box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for row in rows:
        table.add_row(*(Text(cell) if isinstance(cell, str) else cell for cell in row))
    Console(highlight=False).print(table)
