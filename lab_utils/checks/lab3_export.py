"""Checkpoint 3.1: TorchScript that is right for every input, or an error that says for which it is not."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence
from typing import Any

from lab_utils.checks.asking import attempt, need_return, shorten
from lab_utils.checks.lab3_torch import difference, missing_torch, quiet, run
from lab_utils.progress.context import LabContext, refuse
from lab_utils.progress.registry import Verdict, checkpoint, passed

_TOLERANCE = 1e-4


def _exported(ctx: LabContext, export: Any, module: Any, examples: Sequence[Any], what: str) -> Any:
    """The export of one module, or a refusal: it raised, or what it returned is no TorchScript."""
    import torch

    with quiet():
        found, error = attempt(ctx, export, module, list(examples))
    if error is not None:
        refuse(
            expected=f"`export` exports {what}",
            found=f"it raised {type(error).__name__}: {shorten(' '.join(str(error).split()), 160)}",
            next_step=_advice(error),
        )
    need_return("export", found)
    if not isinstance(found, torch.jit.ScriptModule):
        refuse(
            expected="`export` returns TorchScript",
            found=f"it returned a {type(found).__name__}",
            next_step="Return what `torch.jit.script` or `torch.jit.trace` gives.",
        )
    return found


def _advice(error: BaseException) -> str:
    # PyTorch says the first at the first try, and the second when it meets the same class again.
    if re.search("second argument must be a string literal|Can't redefine method", str(error)):
        return "Not all of Python can be compiled: catch the error of `torch.jit.script`, and trace instead."
    return "Call `export` on a module of your own in a cell, and read the traceback."


def _judge_modes(ctx: LabContext, export: Any, module: Any, draw: Any) -> None:
    """A module in the middle of its training: the export is in evaluation mode, the module unharmed."""
    module.train()
    module.first.eval()  # a frozen layer: it must stay frozen
    before = [part.training for part in module.modules()]
    examples = [draw(6), draw(9)]
    found = _exported(ctx, export, module, examples, "a module with dropout, in training")
    after = [part.training for part in module.modules()]
    if after != before:
        refuse(
            expected="the module is as it was: its training goes on, its frozen layer stays frozen",
            found="the module is in evaluation mode now"
            if not module.training
            else "its frozen layer is in training now"
            if all(after)
            else "its layers are in evaluation mode now",
            next_step="Export a copy of the whole: `copy.deepcopy(module)`.",
        )
    judge = copy.deepcopy(module).eval()
    fresh = draw(7)
    answers = [run(found, fresh), run(found, fresh), run(judge, fresh)]  # dropout differs from call to call
    if max(difference(answer, answers[2]) for answer in answers[:2]) > _TOLERANCE:
        refuse(
            expected="the export answers like the module in evaluation mode",
            found="dropout and batch normalization still work as in training",
            next_step="Call `.eval()` on the copy before you export it.",
        )
    wanted = run(judge, fresh)
    for parameter in module.parameters():
        parameter.data.add_(1.0)  # the training goes on
    if difference(run(found, fresh), wanted) > _TOLERANCE:
        refuse(
            expected="later training of the module does not change the export",
            found="they share their weights: after one more step the export answers differently",
            next_step="Export a copy: `copy.deepcopy(module)`.",
        )


def _judge(
    ctx: LabContext, export: Any, module: Any, examples: Sequence[Any], fresh: Sequence[Any], what: str,
    advice: str,
) -> None:  # fmt: skip
    """An export must answer inputs that were no examples as the module does."""
    found = _exported(ctx, export, module, examples, what)
    judge = copy.deepcopy(module).eval()
    for one in fresh:
        wanted = run(judge, one)
        answer, error = attempt(ctx, lambda given=one: run(found, given))
        if error is not None or difference(answer, wanted) > _TOLERANCE:
            shape = tuple(one.shape)
            refuse(
                expected=f"the export of {what} is right for inputs that are no examples, here {shape}",
                found="other numbers than the module's" if error is None else f"it raised: {error!s:.120}",
                next_step=advice,
            )


def _judge_stubborn(ctx: LabContext, export: Any, module: Any, examples: Sequence[Any]) -> None:
    """Nothing exports it rightly: an error must say so, not a wrong answer in production."""
    with quiet():
        _, error = attempt(ctx, export, module, list(examples))
    if error is None:
        sizes = [len(example) for example in examples]
        refuse(
            expected=f"a module that nothing exports rightly is refused (examples of {sizes} rows)",
            found=f"it returned a module that is right for batches of {sizes[0]} alone",
            next_step="Give `torch.jit.trace` all examples as `check_inputs`, and let its error through.",
        )


@checkpoint(
    "3.1", title="Export what is right for every input", points=4, minutes=8, difficulty=2,
    answers=("export",), needs_server=False,
)  # fmt: skip
def check_export(ctx: LabContext, answers: Mapping[str, Any]) -> Verdict:
    """Fresh modules with a trap each, asked with inputs that were no examples."""
    skip = missing_torch()
    if skip is not None:
        return skip
    import torch

    from lab_utils.checks import lab3_modules as modules

    export, width = answers["export"], int(ctx.rng.integers(5, 12))
    generator = torch.Generator().manual_seed(int(ctx.rng.integers(1 << 31)))

    def draw(*shape: int) -> Any:
        return torch.randn(*shape, width, generator=generator)

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(ctx.rng.integers(1 << 31)))
        _judge_modes(ctx, export, modules.Modes(width), draw)
        bright = [draw(3).abs(), draw(5).abs()]
        _judge(
            ctx, export, modules.Branch(width), bright, [-bright[0], draw(4).abs()],
            "a module that branches on its data",
            "A trace records the way that the example took. `torch.jit.script` compiles both ways.",
        )  # fmt: skip
        _judge(
            ctx, export, modules.Steps(width), [draw(2, 4)], [draw(2, 9), draw(2, 3), draw(5, 4)],
            "a module that loops over the length",
            "A trace records as many steps as the example has: compile the module instead.",
        )  # fmt: skip
        _judge(
            ctx, export, modules.Towers(width), [draw(3), draw(2)], [draw(1), draw(8)],
            "a module that cannot be compiled",
            "Trace the copy in evaluation mode with the first example.",
        )  # fmt: skip
        _judge_stubborn(ctx, export, modules.Stubborn(width), [draw(4), draw(4), draw(7)])
    return passed(
        "branches, loops and modes are exported rightly; what cannot be is refused",
        width=width,
        torch=torch.__version__,
    )
