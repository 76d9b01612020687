"""Rules about an ensemble and the models of its steps together.

The checks are those of `ValidateEnsembleConfig` in triton-inference-server/core
(src/ensemble_scheduler/ensemble_utils.cc, r24.10), tried on the server.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from lab_utils.repository.lint.facts import ServerFacts
from lab_utils.repository.lint.model import Model, Tensor
from lab_utils.repository.lint.registry import ERROR, WARNING, Hit, Hits, rule
from lab_utils.repository.lint.rules_ensemble import GROUP, steps
from lab_utils.repository.lint.rules_onnx import shape_text


def _members(model: Model) -> Iterator[tuple[str, Any, Model]]:
    """The steps whose model is there and says what its tensors are."""
    if not model.ensemble:
        return
    for path, step in steps(model):
        member = model.member(step.model_name)
        if member and member.whole and step.model_name != model.name and (member.inputs or member.outputs):
            yield path, step, member


@rule("ensemble-unknown-model", ERROR, "A step with a model that is not in the repository.", group=GROUP)
def ensemble_unknown_model(model: Model, facts: ServerFacts) -> Hits:
    """Triton: `ensemble x contains models that are not available or ambiguous: y`."""
    for path, step in steps(model):
        if model.ensemble and step.model_name and model.member(step.model_name) is None:
            others = [p.name for p in model.folder.parent.iterdir() if p.is_dir() and p.name != model.name]
            near = difflib.get_close_matches(step.model_name, others, n=1, cutoff=0.6)
            fix = (
                f"Write `{near[0]}`."
                if near
                else f"Add a model folder `{step.model_name}` beside the ensemble's."
            )
            yield Hit(f"There is no model `{step.model_name}` in this repository.", fix, f"{path}.model_name")


@rule("ensemble-circle", ERROR, "Ensembles that contain each other.", group=GROUP)
def ensemble_circle(model: Model, facts: ServerFacts) -> Hits:
    """Triton: `circular dependency between ensembles`."""
    if model.ensemble and model.name in _inside(model, set()):
        yield Hit(
            f"The ensemble `{model.name}` contains itself, directly or through another one.",
            "Take the step out.",
            "ensemble_scheduling",
        )


def _inside(model: Model, seen: set[str]) -> set[str]:
    for _, step in steps(model):
        if step.model_name not in seen:
            seen.add(step.model_name)
            member = model.member(step.model_name)
            if member and member.ensemble:
                _inside(member, seen)
    return seen


@rule(
    "ensemble-tensor",
    ERROR,
    "A step that maps a tensor its model does not have, or leaves an input out.",
    group=GROUP,
)
def ensemble_tensor(model: Model, facts: ServerFacts) -> Hits:
    """Triton: `input z in model y is not mapped to any ensemble tensors`."""
    for path, step, member in _members(model):
        for side, given, tensors in (
            ("input", step.input_map, member.inputs),
            ("output", step.output_map, member.outputs),
        ):
            names = [t.name for t in tensors]
            if not names or not member.tensors_known:
                continue
            for key in given:
                if key not in names:
                    near = difflib.get_close_matches(key, names, n=1, cutoff=0.5)
                    fix = f"Write `{near[0]}`." if near else f"It has: {', '.join(names)}."
                    yield Hit(f"`{member.name}` has no {side} `{key}`.", fix, f"{path}.{side}_map[{key}]")
        left = [t.name for t in member.inputs if not t.optional and t.name not in step.input_map]
        wrong = [k for k in step.input_map if k not in {t.name for t in member.inputs}]
        for name in left[len(wrong) :]:
            yield Hit(
                f"The input `{name}` of `{member.name}` is not mapped.",
                f'Add `input_map {{ key: "{name}" value: "..." }}`.',
                path,
            )


@dataclass(frozen=True)
class _Node:
    """A tensor of the ensemble as one model sees it."""

    owner: str
    tensor: Tensor
    batching: bool
    path: str

    @property
    def full(self) -> tuple[int, ...]:
        return (-1, *self.tensor.dims) if self.batching else self.tensor.dims


def _nodes(model: Model) -> Iterator[tuple[str, _Node]]:
    batching = model.config.max_batch_size > 0
    for side, tensors in (("input", model.inputs), ("output", model.outputs)):
        for index, tensor in enumerate(tensors):
            yield tensor.name, _Node(model.name, tensor, batching, f"{side}[{index}]")
    for path, step, member in _members(model):
        for side, given, tensors in (
            ("input", step.input_map, member.inputs),
            ("output", step.output_map, member.outputs),
        ):
            known = {t.name: t for t in tensors}
            for key, name in given.items():
                if key in known:
                    yield (
                        name,
                        _Node(
                            member.name, known[key], member.max_batch_size > 0, f"{path}.{side}_map[{key}]"
                        ),
                    )


def _alike(one: tuple[int, ...], two: tuple[int, ...]) -> bool:
    return len(one) == len(two) and all(a == b or -1 in (a, b) for a, b in zip(one, two, strict=True))


def _pairs(model: Model) -> Iterator[tuple[str, _Node, _Node]]:
    """Each use of a tensor with the first one."""
    first: dict[str, _Node] = {}
    for name, node in _nodes(model) if model.ensemble else ():
        if name in first:
            yield name, first[name], node
        first.setdefault(name, node)


@rule(
    "ensemble-data-type",
    ERROR,
    "Two models that see one tensor of an ensemble with different types.",
    group=GROUP,
)
def ensemble_data_type(model: Model, facts: ServerFacts) -> Hits:
    """Triton: `inconsistent data type: TYPE_FP32 is inferred from model a while TYPE_INT32 ...`."""
    for name, one, two in _pairs(model):
        if one.tensor.data_type != two.tensor.data_type:
            yield Hit(
                f"The tensor `{name}` is {one.tensor.data_type} for `{one.owner}` and "
                f"{two.tensor.data_type} for "
                f"`{two.owner}`.",
                "Correct one of the two, or put a step between that converts.",
                two.path,
            )


@rule(
    "ensemble-dims", ERROR, "Two models that see one tensor of an ensemble with different dims.", group=GROUP
)
def ensemble_dims(model: Model, facts: ServerFacts) -> Hits:
    """Triton: `inconsistent shape`. With or without the batch dimension, one of the two must agree."""
    for name, one, two in _pairs(model):
        known = bool(one.tensor.dims and two.tensor.dims)
        if known and not _alike(one.tensor.dims, two.tensor.dims) and not _alike(one.full, two.full):
            yield Hit(
                f"The tensor `{name}` is {shape_text(one.full)} for `{one.owner}` and "
                f"{shape_text(two.full)} for "
                f"`{two.owner}`.",
                "Correct the dims, or put a step between that reshapes.",
                two.path,
            )


@rule(
    "ensemble-batch-one",
    WARNING,
    "An ensemble with `max_batch_size` above 1 and a model that does not batch.",
    group=GROUP,
)
def ensemble_batch_one(model: Model, facts: ServerFacts) -> Hits:
    """Tried: it loads, a batch of 1 passes, and a larger one is refused at the model that does not batch."""
    told: set[str] = set()
    for name, one, two in _pairs(model):
        batching, single = (one, two) if one.batching else (two, one)
        if model.config.max_batch_size <= 1 or single.batching or _alike(one.full, two.full):
            continue
        if single.owner not in told and _alike(one.tensor.dims, two.tensor.dims):
            told.add(single.owner)
            yield Hit(
                f"`{single.owner}` does not batch: it takes `{name}` as {shape_text(single.full)}, and the "
                f"ensemble promises {shape_text(batching.full)}. Only a batch of 1 will pass.",
                f"Let `{single.owner}` batch, or write `max_batch_size: 0` or `1` in the ensemble.",
                two.path,
            )


@rule(
    "ensemble-batch-size",
    ERROR,
    "An ensemble with a larger `max_batch_size` than one of its models.",
    group=GROUP,
)
def ensemble_batch_size(model: Model, facts: ServerFacts) -> Hits:
    """Triton: `ensemble x allows maximum batch size 8, but it contains model y which only allows ... 4`."""
    most = model.config.max_batch_size
    for path, _, member in _members(model):
        if member.tensors_known and 0 < member.max_batch_size < most:
            yield Hit(
                f"The ensemble takes batches of {most}, and `{member.name}` only of {member.max_batch_size}.",
                f"Write `max_batch_size: {member.max_batch_size}` in the ensemble, or raise it in the model.",
                "max_batch_size" if model.written("max_batch_size") else path,
            )
