"""`triton-lab bench --prompts`: the load of text generation."""

from __future__ import annotations

import json as jsonlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from lab_utils.cli import output
from lab_utils.errors import LabError

if TYPE_CHECKING:
    from lab_utils.server.base import Server

_MOST = 512
"""Requests with lengths of their own; the prompts are repeated for them, and all are sent in turn."""


def bench_generation(
    target: Server | str,
    model: str,
    prompts: Path,
    max_tokens: str,
    loads: Sequence[float],
    open_loop: bool,
    *,
    json: bool,
    several: bool,
    **settings: Any,
) -> None:
    """Run one load after the other and print what they gave."""
    from lab_utils.load.generation import run_generation
    from lab_utils.load.generation_text import generation_table
    from lab_utils.load.lengths import lengths_from

    texts = _read(prompts)
    if not max_tokens.isdigit():
        texts = [texts[number % len(texts)] for number in range(max(_MOST, len(texts)))]
    lengths = lengths_from(max_tokens, len(texts))
    results = []
    for load in loads:
        how: dict[str, Any] = {"rate": load} if open_loop else {"concurrency": int(load)}
        results.append(run_generation(target, model, texts, max_tokens=lengths, **how, **settings))
        if results[-1].load.interrupted:
            break
    if json:
        values = [jsonlib.loads(result.to_json()) for result in results]
        output.print_json(values if several else values[0])
    else:
        for line in (generation_table(results) if several else str(results[0])).splitlines():
            output.say(line)
    if results[-1].load.interrupted:
        raise typer.Exit(130)


def _read(prompts: Path) -> list[str]:
    try:
        found = [line for line in prompts.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise LabError(
            f"The prompts in {prompts} cannot be read.", why=str(error), fix="Give a text file in UTF-8."
        ) from None
    if not found:
        raise LabError(f"{prompts} has no line.", fix="Write one prompt on each line.")
    return found
