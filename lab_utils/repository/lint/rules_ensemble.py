"""Rules about ensembles that need the ensemble's own config alone.

The checks are those of `ValidateEnsembleSchedulingConfig` in triton-inference-server/core
(src/ensemble_scheduler/ensemble_model.cc and model_config_utils.cc, r24.10), tried on the server.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from lab_utils.repository.lint.facts import ServerFacts
from lab_utils.repository.lint.model import Model
from lab_utils.repository.lint.registry import ERROR, Hit, Hits, rule

GROUP = "Ensembles"


def steps(model: Model) -> Iterator[tuple[str, Any]]:
    """Path and content of every step."""
    for index, step in enumerate(model.config.ensemble_scheduling.step):
        yield f"ensemble_scheduling.step[{index}]", step


@rule(
    "ensemble-platform",
    ERROR,
    '`ensemble_scheduling` without `platform: "ensemble"`, or the other way.',
    group=GROUP,
)
def ensemble_platform(model: Model, facts: ServerFacts) -> Hits:
    """Triton: `ensemble scheduling cannot be set for model 'x' whose platform is not ensemble`."""
    has = model.config.HasField("ensemble_scheduling")
    if has and not model.ensemble:
        as_backend = model.config.backend == "ensemble"
        yield Hit(
            "There is an `ensemble_scheduling`, and the platform is not `ensemble`."
            + (" It is a platform, not a backend." if as_backend else ""),
            'Write `platform: "ensemble"`' + (" in place of `backend`." if model.config.backend else "."),
            "backend" if model.config.backend else "ensemble_scheduling",
        )
    elif model.ensemble and not has:
        yield Hit(
            "The platform is `ensemble` and there is no `ensemble_scheduling`.", "Add its steps.", "platform"
        )


@rule(
    "ensemble-extra", ERROR, "`instance_group`, `optimization` or `model_warmup` in an ensemble.", group=GROUP
)
def ensemble_extra(model: Model, facts: ServerFacts) -> Hits:
    """An ensemble has no instances of its own; these belong to its members."""
    if not model.ensemble:
        return
    config = model.config
    for name in ("instance_group", "optimization", "model_warmup"):
        present = config.HasField(name) if name == "optimization" else bool(getattr(config, name))
        if present:
            yield Hit(f"An ensemble cannot have `{name}`.", "Move it to the models of the steps.", name)


@rule("ensemble-step", ERROR, "An ensemble without steps, or a step without model or maps.", group=GROUP)
def ensemble_step(model: Model, facts: ServerFacts) -> Hits:
    """Triton: `must specify 'input_map' in step 0 of ensemble 'x'`."""
    if not model.config.HasField("ensemble_scheduling"):
        return
    if not model.config.ensemble_scheduling.step:
        yield Hit("The ensemble has no `step`.", "Add one step for each model.", "ensemble_scheduling")
    for path, step in steps(model):
        for name in ("model_name", "input_map", "output_map"):
            if not getattr(step, name):
                yield Hit(f"A step has no `{name}`.", f"Add `{name}`.", path)


@rule(
    "ensemble-wiring",
    ERROR,
    "Tensors of an ensemble that lead nowhere, come from nowhere, or in a circle.",
    group=GROUP,
)
def ensemble_wiring(model: Model, facts: ServerFacts) -> Hits:
    """Every input is used, every output is written, every tensor between is written once and used."""
    found = list(steps(model))
    if not model.ensemble or not found or not all(s.input_map and s.output_map for _, s in found):
        return
    inputs = [i.name for i in model.config.input]
    outputs = [o.name for o in model.config.output]
    used: dict[str, str] = {}
    made: dict[str, str] = {}
    for path, step in steps(model):
        for key, tensor in step.input_map.items():
            used.setdefault(tensor, f"{path}.input_map[{key}]")
        for key, tensor in step.output_map.items():
            if tensor in made:
                yield Hit(
                    f"The tensor `{tensor}` is written twice.",
                    "Give each its own name.",
                    f"{path}.output_map[{key}]",
                )
            made.setdefault(tensor, f"{path}.output_map[{key}]")
    ready = _reached(model, set(inputs))
    for index, name in enumerate(inputs):
        if name not in used:
            yield Hit(
                f"The ensemble's input `{name}` is used by no step.",
                "Map it, or remove it.",
                f"input[{index}]",
            )
    for index, name in enumerate(outputs):
        if name not in made and name not in inputs:
            yield Hit(
                f"The ensemble's output `{name}` is written by no step.",
                "Map it, or remove it.",
                f"output[{index}]",
            )
    for tensor, path in used.items():
        if tensor not in made and tensor not in inputs:
            yield Hit(
                f"The tensor `{tensor}` is no input of the ensemble and no step writes it.",
                "Correct the name, or map an output to it.",
                path,
            )
    for tensor, path in made.items():
        if tensor not in used and tensor not in outputs:
            yield Hit(
                f"The tensor `{tensor}` is used by no step and is no output.", "Use it, or take it out.", path
            )
        elif tensor not in ready and all(t in made or t in inputs for t in used):
            yield Hit(
                f"The tensor `{tensor}` waits for itself: its step is part of a circle.",
                "Steps must lead from the inputs to the outputs.",
                path,
            )


def _reached(model: Model, ready: set[str]) -> set[str]:
    """The tensors that get a value when the inputs are there."""
    grown = True
    while grown:
        grown = False
        for _, step in steps(model):
            new = set(step.output_map.values()) - ready
            if new and set(step.input_map.values()) <= ready:
                ready |= new
                grown = True
    return ready


@rule(
    "ensemble-version", ERROR, "A step without `model_version`, or with one that is not served.", group=GROUP
)
def ensemble_version(model: Model, facts: ServerFacts) -> Hits:
    """Left out it is 0, and no model has that version; -1 is the latest."""
    for path, step in steps(model):
        member = model.member(step.model_name)
        if not model.ensemble or member is None or step.model_version == -1 or not member.versions.numbers:
            continue
        if step.model_version not in member.served:
            served = ", ".join(map(str, member.served)) or "none"
            left_out = step.model_version == 0 and not model.written(f"{path}.model_version")
            said = "names no version (that is 0)" if left_out else f"asks for version {step.model_version}"
            yield Hit(
                f"The step {said}, and `{step.model_name}` serves: {served}.",
                "Write `model_version: -1` for the latest.",
                path if left_out else f"{path}.model_version",
            )
