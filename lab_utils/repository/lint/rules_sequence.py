"""Rules about the sequence batcher: controls, strategy, implicit state."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from lab_utils.repository.lint.facts import ServerFacts
from lab_utils.repository.lint.model import Model, type_name
from lab_utils.repository.lint.registry import ERROR, WARNING, Hit, Hits, rule

GROUP = "Sequences"
_KINDS = ("START", "READY", "END", "CORRID")
_VALUES = ("int32_false_true", "fp32_false_true", "bool_false_true")
_ID_TYPES = ("TYPE_UINT64", "TYPE_INT64", "TYPE_UINT32", "TYPE_INT32", "TYPE_STRING")


def _controls(model: Model) -> Iterator[tuple[str, Any, Any]]:
    for i, tensor in enumerate(model.config.sequence_batching.control_input):
        for j, control in enumerate(tensor.control):
            yield f"sequence_batching.control_input[{i}].control[{j}]", tensor, control


@rule(
    "control-input",
    ERROR,
    "A control input of the sequence batcher that is written wrongly.",
    group=GROUP,
    whole=False,
)
def control_input(model: Model, facts: ServerFacts) -> Hits:
    """Each kind once, each with a name, START, END and READY with one pair of values, CORRID with a type."""
    seen: dict[str, str] = {}
    names: dict[str, str] = {}
    for where, tensor, control in _controls(model):
        kind = _KINDS[control.kind] if control.kind < len(_KINDS) else str(control.kind)
        given = [v for v in _VALUES if getattr(control, v)]
        problem = ""
        fix = "Write `int32_false_true: [ 0, 1 ]` (or `fp32_`, `bool_`)."
        if not tensor.name:
            problem, fix = "has no `name`", 'Add `name: "START"` (or another) to the control input.'
        elif kind in seen:
            problem, fix = f"is there twice (`{seen[kind]}` and `{tensor.name}`)", "Keep one."
        elif tensor.name in names:
            problem = f"shares the tensor `{tensor.name}` with {names[tensor.name]}"
            fix = "Give each control a tensor of its own."
        elif kind == "CORRID":
            if given:
                problem, fix = f"must not have `{given[0]}`", "Write `data_type: TYPE_UINT64` in its place."
            elif type_name(control.data_type) not in _ID_TYPES:
                problem, fix = "has no allowed `data_type`", f"Write one of {', '.join(_ID_TYPES)}."
        elif not given:
            problem = "has no values for false and true"
        elif len(given) > 1:
            problem = f"has both `{given[0]}` and `{given[1]}`"
        elif len(getattr(control, given[0])) != 2:
            problem = f"needs two values in `{given[0]}` and has {len(getattr(control, given[0]))}"
        if problem:
            yield Hit(f"The control CONTROL_SEQUENCE_{kind} {problem}.", fix, where)
        seen.setdefault(kind, tensor.name)
        names.setdefault(tensor.name, kind)


@rule(
    "control-unused", WARNING, "A control input without a control, or with the name of an input.", group=GROUP
)
def control_unused(model: Model, facts: ServerFacts) -> Hits:
    """Tried: both load. The first adds nothing, the second replaces the client's own tensor."""
    names = {i.name for i in model.config.input}
    for i, tensor in enumerate(model.config.sequence_batching.control_input):
        where = f"sequence_batching.control_input[{i}]"
        if not tensor.control:
            yield Hit(
                f"The control input `{tensor.name}` has no `control`, so it carries nothing.",
                "Add one.",
                where,
            )
        elif tensor.name in names:
            yield Hit(
                f"The control `{tensor.name}` has the name of an input: the model gets the control "
                "in place of "
                "what the client sent.",
                "Give it another name, and leave it out of `input`.",
                where,
            )


@rule("slot-utilization", ERROR, "`minimum_slot_utilization` outside 0 to 1.", group=GROUP, whole=False)
def slot_utilization(model: Model, facts: ServerFacts) -> Hits:
    """Triton: `minimum slot utilization must be in range (0.0, 1.0]`."""
    value = model.config.sequence_batching.direct.minimum_slot_utilization
    if not 0 <= value <= 1:
        where = "sequence_batching.direct.minimum_slot_utilization"
        yield Hit(f"`minimum_slot_utilization` is {value:g}.", "It is a share: 0 to 1.", where)


@rule("idle-zero", WARNING, "`max_sequence_idle_microseconds: 0`, which means one second.", group=GROUP)
def idle_zero(model: Model, facts: ServerFacts) -> Hits:
    """Protobuf cannot tell 0 from nothing written; Triton then uses its default of 1000000."""
    where = "sequence_batching.max_sequence_idle_microseconds"
    if model.config.sequence_batching.max_sequence_idle_microseconds == 0 and model.written(where):
        yield Hit(
            "0 does not mean `for ever`: Triton takes its default, one second.",
            "Write a large number.",
            where,
        )


@rule("state-refused", ERROR, "Implicit state for a backend that does not have it.", group=GROUP, whole=False)
def state_refused(model: Model, facts: ServerFacts) -> Hits:
    """The course's onnxruntime and pytorch backends refuse it; the C++ ones have it."""
    if model.config.sequence_batching.state and model.in_python:
        yield Hit(
            f"The {model.backend.name} backend of this server has no implicit state.",
            "Keep the state in a Python model, by correlation id, or serve it with the C++ backend.",
            "sequence_batching.state",
        )


@rule("state-ignored", WARNING, "Implicit state for a Python model: nobody keeps it.", group=GROUP)
def state_ignored(model: Model, facts: ServerFacts) -> Hits:
    """Tried: READY, and the state tensors reach neither execute() nor the next request."""
    if model.config.sequence_batching.state and model.backend.name == "python":
        yield Hit(
            "The python backend does not carry implicit state: `state` is ignored.",
            "Keep the state in the model, by `request.correlation_id()`.",
            "sequence_batching.state",
        )


@rule("initial-state", ERROR, "An `initial_state` that does not fit its state.", group=GROUP)
def initial_state(model: Model, facts: ServerFacts) -> Hits:
    """Name, type, dims and the data file are checked at load, also where the state is ignored."""
    for i, state in enumerate(model.config.sequence_batching.state):
        for j, first in enumerate(state.initial_state):
            where = f"sequence_batching.state[{i}].initial_state[{j}]"
            dims, wanted = list(first.dims), list(state.dims)
            problem = ""
            if not first.name:
                problem = "has no `name`"
            elif first.data_type != state.data_type:
                problem = f"has type {type_name(first.data_type)} and the state {type_name(state.data_type)}"
            elif len(dims) != len(wanted) or any(
                w != -1 and d != w for d, w in zip(dims, wanted, strict=True)
            ):
                problem = f"has dims {dims} and the state {wanted}"
            elif first.data_file and not (model.folder / "initial_state" / first.data_file).is_file():
                problem = f"names the file initial_state/{first.data_file}, which is not there"
            if problem:
                yield Hit(f"The initial state of `{state.input_name}` {problem}.", "Correct it.", where)
