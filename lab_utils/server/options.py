"""The options of tritonserver: which exist, and a refusal by name for those that do not.

The list is not ours. It is read from `tritonserver --help` of the installed server, so that it is
always the list of the server that will run.
"""

from __future__ import annotations

import difflib
import functools
import os
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

from lab_utils.server.base import ServerError
from lab_utils.server.install import installation

# "  --name <type>" starts an option; continuation lines begin with a tab.
_OPTION_LINE = re.compile(r"^  --(?P<name>[a-z0-9-]+)(?: <(?P<type>.*)>)?$")
_NO_VALUE = {"disable-auto-complete-config"}


@dataclass(frozen=True)
class Option:
    """One documented option: name without dashes, value type as Triton prints it, help text."""

    name: str
    type: str
    help: str


@functools.cache
def documented() -> dict[str, Option]:
    """Every option that the installed tritonserver documents, by name."""
    place = installation()
    answer = subprocess.run(
        [place.binary, "--help"],
        env={**os.environ, **place.environment()},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    options: dict[str, Option] = {}
    name, kind = "", ""
    text: list[str] = []
    for line in [*(answer.stdout + answer.stderr).splitlines(), "  --end"]:
        match = _OPTION_LINE.match(line)
        if match:
            if name:
                options[name] = Option(name, kind, " ".join(text))
            name, kind, text = match["name"], match["type"] or "", []
        elif line.strip():
            text.append(line.strip())
    if "model-repository" not in options:
        raise ServerError(
            "`tritonserver --help` did not print its options.",
            why="The server binary does not run on this machine.",
            fix="Run `triton-lab doctor`.",
            details=answer.stdout + answer.stderr,
        )
    return options


def option_name(option: str) -> str:
    """The name of a `--name=value` option, without dashes."""
    return option.removeprefix("--").split("=", 1)[0]


def values(options: Sequence[str], name: str) -> list[str]:
    """All values given for one option, in order."""
    return [o.split("=", 1)[1] if "=" in o else "" for o in options if option_name(o) == name]


def check_options(options: Sequence[str]) -> list[str]:
    """Options in the one form `--name=value`; refuses what tritonserver does not document.

    Accepts `--name=value` and `--name`, `value` as two items, as tritonserver does.

    Raises:
        ServerError: An unknown option (with the nearest real name), a missing or needless value.
    """
    known = documented()
    items = [str(o) for o in options]
    normal: list[str] = []
    while items:
        item = items.pop(0)
        if not item.startswith("--") or len(item) < 3:
            raise ServerError(
                f"`{item}` is not an option of tritonserver.",
                why="Every option starts with two dashes.",
                fix=f"Write `--{item.lstrip('-').split('=')[0]}=...`, or leave it out.",
            )
        name, equals, value = item[2:].partition("=")
        if name not in known or name == "help":
            near = difflib.get_close_matches(name.replace("_", "-"), known, n=1, cutoff=0.5)
            raise ServerError(
                f"tritonserver has no option `--{name}`.",
                why="It is not in the list that `tritonserver --help` prints.",
                fix=f"Did you mean `--{near[0]}`?" if near else "Look it up with `tritonserver --help`.",
            )
        if name in _NO_VALUE:
            if equals:
                raise ServerError(
                    f"`--{name}` takes no value.", why="It is a switch.", fix=f"Write `--{name}` alone."
                )
            normal.append(f"--{name}")
            continue
        if not equals:
            if not items or items[0].startswith("--"):
                raise ServerError(
                    f"`--{name}` needs a value.",
                    why=f"tritonserver documents it as `--{name} <{known[name].type}>`.",
                    fix=f"Write `--{name}=...`.",
                )
            value = items.pop(0)
        normal.append(f"--{name}={value}")
    return normal
