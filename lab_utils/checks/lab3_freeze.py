"""Checkpoint 3.5: a frozen module, and threads and instances that share the cores."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from lab_utils.checks.asking import attempt, need_return, shorten
from lab_utils.checks.lab3_torch import difference, missing_torch, quiet, run
from lab_utils.checks.loading import load
from lab_utils.checks.repositories import fresh_name
from lab_utils.progress.context import LabContext, refuse
from lab_utils.progress.registry import Verdict, checkpoint, passed
from lab_utils.repository import ConfigError, parse_config

_HEAD = """name: "{name}"
platform: "pytorch_libtorch"
max_batch_size: 8
input [ {{ name: "x" data_type: TYPE_FP32 dims: [ {width} ] }} ]
output [ {{ name: "OUTPUT__0" data_type: TYPE_FP32 dims: [ 5 ] }} ]
"""
_INTRA, _INTER = "INTRA_OP_THREAD_COUNT", "INTER_OP_THREAD_COUNT"


def _judge_frozen(ctx: LabContext, freeze: Any, width: int, generator: Any) -> Any:
    """Freeze a module in training, which has one more method that must survive. Returns what was frozen."""
    import torch

    from lab_utils.checks.lab3_modules import Named

    module = Named(width).train()
    weights = copy.deepcopy(module.state_dict())
    judge = copy.deepcopy(module).eval()
    fresh = torch.randn(6, width, generator=generator)
    with quiet():
        found, error = attempt(ctx, freeze, module, ["scaled", "limit"])
    if error is not None:
        words = " ".join(str(error).split())
        refuse(
            expected="`freeze` freezes a module that is in training",
            found=f"it raised {type(error).__name__}: {shorten(words, 160)}",
            next_step="Script a copy in evaluation mode: `copy.deepcopy(module).eval()`."
            if "eval mode" in words
            else "First `torch.jit.script`, then `torch.jit.freeze`.",
        )
    need_return("freeze", found)
    if not isinstance(found, torch.jit.ScriptModule):
        refuse(
            expected="`freeze` returns TorchScript",
            found=f"it returned a {type(found).__name__}",
            next_step="Return what `torch.jit.freeze` gives.",
        )
    left = [name for name, _ in (*found.named_parameters(), *found.named_buffers())]
    if left:
        refuse(
            expected="the weights have become constants of the graph",
            found=f"the module still has {len(left)} parameters and buffers, such as `{left[0]}`",
            next_step="Return what `torch.jit.freeze` gives, not what it was given.",
        )
    changed = any(not torch.equal(value, weights[name]) for name, value in module.state_dict().items())
    if changed or not module.training:
        refuse(
            expected="the module is as it was: its training goes on",
            found="its mode or its weights were changed",
            next_step="Freeze a copy: `copy.deepcopy(module)`.",
        )
    if difference(run(found, fresh), run(judge, fresh)) > 1e-4:
        refuse(
            expected="the frozen module answers like the module in evaluation mode",
            found="other numbers",
            next_step="Call `.eval()` before you script.",
        )
    for name in ("scaled", "limit"):
        if not hasattr(found, name):
            refuse(
                expected=f"what `keep` names is still there: `{name}`",
                found=f"the frozen module has no `{name}`",
                next_step="Freezing removes all but forward(): pass `preserved_attrs=keep`.",
            )
    if difference(run(found.scaled, fresh), run(judge.scaled, fresh)) > 1e-4:
        refuse(
            expected="the method that was kept answers as before",
            found="other numbers",
            next_step="Script and freeze the module itself.",
        )
    return found


def _block(ctx: LabContext, function: Any, cores: int, instances: int, head: str) -> Any:
    """The text for one machine, parsed behind the rest of a config."""
    text = ctx.call(function, cores, instances)
    need_return("share_cores", text)
    if not isinstance(text, str):
        refuse(
            expected="`share_cores` returns text",
            found=f"it returned {shorten(repr(text), 80)}",
            next_step='Return one string: `return f"""…"""`.',
        )
    try:
        return text, parse_config(head + text)
    except ConfigError as error:
        refuse(
            expected="the text is a part of a config.pbtxt",
            found=shorten(f"{error}", 300),
            next_step='A parameter reads `{ key: "…" value: { string_value: "…" } }`.',
        )


def _judge_block(config: Any, cores: int, instances: int) -> None:
    """The share of each instance, as the parsed config has it."""
    asked = f"share_cores({cores}, {instances})"
    count = sum(group.count for group in config.instance_group)
    if count != instances:
        refuse(
            expected=f"{asked} has {instances} instances",
            found=f"it has {count}",
            next_step="`instance_group [ { kind: KIND_CPU count: … } ]`.",
        )
    given = {key: value.string_value for key, value in config.parameters.items()}
    for key in (_INTRA, _INTER):
        if key not in given:
            refuse(
                expected=f"{asked} sets {key}",
                found=f"its parameters are {sorted(given) or 'none'}",
                next_step="Both are parameters of the pytorch backend; unset, each instance takes all cores.",
            )
    wanted = max(1, cores // instances)
    if given[_INTRA] != str(wanted):
        refuse(
            expected=f"{asked}: {_INTRA} is {wanted}, so that {instances} instances use "
            f"{wanted * instances} threads on {cores} cores",
            found=f"it is {given[_INTRA]!r}",
            next_step=_advice(given[_INTRA], cores, instances),
        )
    if given[_INTER] != "1":
        refuse(
            expected=f"{asked}: {_INTER} is 1",
            found=f"it is {given[_INTER]!r}",
            next_step="A chain of layers has nothing that could run beside itself.",
        )


def _advice(found: str, cores: int, instances: int) -> str:
    if found == "0":
        return "With more instances than cores each still needs one thread: `max(1, …)`."
    if found == str(cores):
        return "That many for each instance: together they are more than the cores."
    if found == str(-(-cores // instances)):
        return "Round down: rounded up, the threads are more than the cores."
    if not found.isdigit():
        return "The value is a whole number, in quotes: `//` gives one."
    return "The cores are shared by the instances: `cores // instances`."


def _judge_served(ctx: LabContext, frozen: Any, text: str, width: int, generator: Any) -> str:
    """The frozen module, saved and served with the student's text."""
    import numpy as np
    import torch
    import tritonclient.http as httpclient

    name, repository = fresh_name(ctx, "frozen"), ctx.scratch()
    (repository / name / "1").mkdir(parents=True)
    (repository / name / "config.pbtxt").write_text(_HEAD.format(name=name, width=width) + text)
    with quiet():
        torch.jit.save(frozen, str(repository / name / "1" / "model.pt"))
    options = ["--model-control-mode=explicit", "--disable-auto-complete-config"]
    server = ctx.fresh_server(repository, options=options)
    if reason := load(server, name):
        refuse(
            expected="Triton loads the frozen module with this config",
            found=f"it refuses: {shorten(reason, 300)}",
            next_step="Change what Triton names.",
        )
    fresh = torch.randn(5, width, generator=generator)
    with httpclient.InferenceServerClient(server.endpoints.http, network_timeout=60) as client:
        tensor = httpclient.InferInput("x", list(fresh.shape), "FP32").set_data_from_numpy(fresh.numpy())
        served = client.infer(name, [tensor]).as_numpy("OUTPUT__0")
    if not np.allclose(served, run(frozen, fresh).numpy(), atol=1e-4):
        refuse(
            expected="the served module answers like the frozen one",
            found="other numbers",
            next_step="Return the frozen module itself.",
        )
    return server.endpoints.http


@checkpoint(
    "3.5", title="Freeze, and share the cores", points=4, minutes=7, difficulty=2,
    answers=("freeze", "share_cores"), needs_server=False,
)  # fmt: skip
def check_freeze(ctx: LabContext, answers: Mapping[str, Any]) -> Verdict:
    """A fresh module is frozen and served; its threads fit the cores of several machines."""
    skip = missing_torch()
    if skip is not None:
        return skip
    import torch

    width = int(ctx.rng.integers(5, 12))
    generator = torch.Generator().manual_seed(int(ctx.rng.integers(1 << 31)))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(ctx.rng.integers(1 << 31)))
        frozen = _judge_frozen(ctx, answers["freeze"], width, generator)
    head = _HEAD.format(name="network", width=width)
    machines = [(16, 2), (8, 8), (2 * int(ctx.rng.integers(3, 9)) + 1, 2), (2, 5), (2, 1)]
    text = ""
    for cores, instances in machines:  # the last one is also served
        text, config = _block(ctx, answers["share_cores"], cores, instances, head)
        _judge_block(config, cores, instances)
    address = _judge_served(ctx, frozen, text, width, generator)
    return passed(
        "the frozen module is served and answers as before; the threads fit the cores",
        machines=machines,
        address=address,
    )
