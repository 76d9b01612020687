"""Checkpoint 3.6: a torch.export program for every batch up to a limit, saved and read again."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lab_utils.checks.asking import attempt, shorten
from lab_utils.checks.lab3_torch import difference, missing_torch, quiet, read_program, run
from lab_utils.progress.context import LabContext, refuse
from lab_utils.progress.registry import Verdict, checkpoint, passed
from lab_utils.repository import FileKind, kind_of

_WRITE = "Write it with `torch.export.save(program, file)`."


def _written(
    ctx: LabContext,
    function: Any,
    module: Any,
    examples: tuple[Any, ...],
    largest: int,
    file: Path,
    what: str,
) -> Any:
    """The program that a function wrote, read again. Refuses an error, and another file."""
    with quiet():
        _, error = attempt(ctx, function, module, examples, largest, file)
    if error is not None:
        words = " ".join(str(error).split())
        refuse(
            expected=f"`export_program` exports {what}",
            found=f"it raised {type(error).__name__}: {shorten(words, 200)}",
            next_step=_advice(words, examples),
        )
    kind = kind_of(file)
    if kind is FileKind.MISSING:
        refuse(expected=f"{what} is written to `file`", found="there is no such file", next_step=_WRITE)
    if kind is not FileKind.TORCH_EXPORT:
        refuse(expected="the file is a torch.export program", found=f"it is: {kind}", next_step=_WRITE)
    return read_program(ctx, file)


def _advice(words: str, examples: tuple[Any, ...]) -> str:
    single = len(examples[0]) == 1
    if single and ("specialized" in words or "Constraints violated" in words):
        return 'An example of batch 1 is taken as "always 1": export with each example twice, `torch.cat`.'
    if "range" in words or "not satisfy" in words:
        return "The example's own batch must be within the limit: two rows are enough, `example[:1]` twice."
    if "Constraints violated" in words or "specialized" in words or "dynamic_shapes" in words:
        return "Each argument needs its entry in `dynamic_shapes`, with the same `Dim`."
    return "Call it on a module of your own in a cell, and read the traceback."


def _judge(ctx: LabContext, program: Any, judge: Any, draw: Any, largest: int, what: str) -> None:
    """Batches of 1 to the limit are answered like the module's, and one more is refused."""
    for size in [1, 2, 3, largest // 2 + 1, largest]:
        given = draw(size)
        wanted = run(judge, *given)
        found, error = attempt(ctx, lambda inputs=given: run(program, *inputs))
        if error is not None:
            refuse(
                expected=f"the program of {what} takes batches of 1 to {largest}",
                found=f"a batch of {size} is refused: {shorten(' '.join(str(error).split()), 120)}",
                next_step="The limit itself is allowed: `max=largest`."
                if size == largest
                else "Dimension 0 of each input is a `torch.export.Dim`; `Dim.AUTO`, or none, may fix it to "
                "the example's.",
            )
        if difference(found, wanted) > 1e-4:
            refuse(
                expected=f"the program of {what} answers like the module in evaluation mode",
                found=f"other numbers for a batch of {size}",
                next_step="Export a copy in evaluation mode: `copy.deepcopy(module).eval()`.",
            )
    too_many = draw(largest + 1)
    _, error = attempt(ctx, lambda: run(program, *too_many))
    if error is None:
        refuse(
            expected=f"a batch of {largest + 1} is refused: the limit is {largest}",
            found="it is answered",
            next_step='`torch.export.Dim("batch", max=largest)`.',
        )


@checkpoint(
    "3.6", title="Export for every batch", points=3, minutes=6, difficulty=2,
    answers=("export_program",), needs_server=False,
)  # fmt: skip
def check_program(ctx: LabContext, answers: Mapping[str, Any]) -> Verdict:
    """Two fresh modules, exported with awkward examples, asked with every kind of batch."""
    skip = missing_torch()
    if skip is not None:
        return skip
    import torch

    from lab_utils.checks import lab3_modules as modules

    function, width = answers["export_program"], int(ctx.rng.integers(5, 12))
    generator = torch.Generator().manual_seed(int(ctx.rng.integers(1 << 31)))
    folder = ctx.scratch()

    def one(size: int) -> tuple[Any, ...]:
        return (torch.randn(size, width, generator=generator),)

    def two(size: int) -> tuple[Any, ...]:
        return (*one(size), torch.randn(size, 3, generator=generator))

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(ctx.rng.integers(1 << 31)))
        plan = (
            ("a module in training", modules.Modes(width).train(), one, 3, int(ctx.rng.integers(20, 60))),
            ("a module with two inputs", modules.Pair(width), two, 5, int(ctx.rng.integers(6, 10))),
            ("a module, from an example of batch 1", modules.Modes(width), one, 1, 16),
        )
    for place, (what, module, draw, size, largest) in enumerate(plan):
        judge, file = copy.deepcopy(module).eval(), folder / f"program{place}.pt2"
        before = module.training
        program = _written(ctx, function, module, draw(size), largest, file, what)
        if module.training != before:
            refuse(
                expected="the module is as it was",
                found="its mode was changed",
                next_step="Export a copy: `copy.deepcopy(module)`.",
            )
        _judge(ctx, program, judge, draw, largest, what)
    return passed(
        "programs for every batch up to the limit, saved and read again", limits=[entry[4] for entry in plan]
    )
