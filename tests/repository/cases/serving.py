"""Tensors, batching, sequences, instances and warm-up of a Python model."""

from __future__ import annotations

from typing import Any

from tests.repository.cases.backends import onnx
from tests.repository.cases.kit import PYTHON_CONFIG, Case, Loaded, Outcome
from tests.repository.cases.layout import ONNX, ONNX_CONFIG, PY, folder, says

X = 'name: "x" data_type: TYPE_FP32 dims: [ 4 ]'
SIZE, GROUP = "max_batch_size: 8", "kind: KIND_CPU count: 1"
ROW = {"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [1, 2, 3, 4]}


def changed(
    name: str, old: str, new: str, rule: str | None, *explain: str, server: Outcome = "refuse", **more: Any
) -> Case:
    """The Python model with one place of its config changed."""
    assert old in PYTHON_CONFIG, old
    files = more.pop("files", PY)
    return folder(name, PYTHON_CONFIG.replace(old, new, 1), files, rule, *explain, server=server, **more)


def x(
    name: str, entry: str, rule: str | None, *explain: str, server: Outcome = "refuse", **more: Any
) -> Case:
    """The Python model with another input entry."""
    return changed(name, X, entry, rule, *explain, server=server, **more)


def added(
    name: str, text: str, rule: str | None, *explain: str, server: Outcome = "refuse", **more: Any
) -> Case:
    """The Python model with more in its config."""
    return changed(name, SIZE, f"{SIZE}\n{text}", rule, *explain, server=server, **more)


def group(
    name: str, text: str, rule: str | None, *explain: str, server: Outcome = "refuse", **more: Any
) -> Case:
    """The Python model with another instance group."""
    return changed(name, GROUP, text, rule, *explain, server=server, **more)


def control(kind: str, values: str, name: str = "C") -> str:
    """A sequence batcher with one control input."""
    body = f'name: "{name}" control {{ kind: CONTROL_SEQUENCE_{kind} {values} }}'
    return f"sequence_batching {{ control_input {{ {body} }} }}"


def _refused_at_request(loaded: Loaded) -> None:
    assert loaded.infer({"inputs": [ROW]}).status_code == 400


def _one_instance(loaded: Loaded) -> None:
    assert loaded.infer({"inputs": [ROW]}).status_code == 200


def _never_joined(loaded: Loaded) -> None:
    row = {**ROW, "shape": [4]}
    assert loaded.infer({"inputs": [row]}).status_code == 200


def _nothing_cached(loaded: Loaded) -> None:
    for _ in range(3):
        assert loaded.infer({"inputs": [ROW]}).status_code == 200
    stats = loaded.get("stats")["model_stats"][0]
    assert stats["inference_stats"]["cache_hit"]["count"] == 0, stats


def _no_state(loaded: Loaded) -> None:
    """The state tensors are in the config and no request meets them."""
    body = {"parameters": {"sequence_id": 3, "sequence_start": True, "sequence_end": True}, "inputs": [ROW]}
    answer = loaded.infer(body)
    assert [o["name"] for o in answer.json()["outputs"]] == ["y"], answer.text


SEQUENCE = "sequence_batching {{ {} }}"
STATE = 'state {{ input_name: "i" output_name: "o" data_type: TYPE_FP32 dims: [ 4 ] {} }}'
QUEUE = "dynamic_batching {{ {} }}"
CASES = [
    x("tensor_no_dims", 'name: "x" data_type: TYPE_FP32', "no-dims", "dims"),
    x("tensor_no_type", 'name: "x" dims: [ 4 ]', "no-data-type", "data_type"),
    x("tensor_no_name", "data_type: TYPE_FP32 dims: [ 4 ]", "no-tensor-name", "name"),
    x("tensor_dim_zero", 'name: "x" data_type: TYPE_FP32 dims: [ 0 ]', "bad-dim", "dim"),
    x("tensor_dim_minus_two", 'name: "x" data_type: TYPE_FP32 dims: [ -2 ]', "bad-dim", "dim"),
    x(
        "tensor_number_of_no_type",
        'name: "x" data_type: 99 dims: [ 4 ]',
        "enum-number",
        server="silent",
        shown=_refused_at_request,
    ),
    x("tensor_twice", f"{X} }}, {{ {X}", "duplicate-tensor", server="silent", shown=_refused_at_request),
    x("tensor_reshape_other_size", f"{X} reshape {{ shape: [ 5 ] }}", "reshape-size", "reshape"),
    x(
        "tensor_reshape_moves_open_dim",
        'name: "x" data_type: TYPE_FP32 dims: [ -1, 4 ] reshape { shape: [ 4, -1 ] }',
        "reshape-size",
        "reshape",
    ),
    x("tensor_reshape", f"{X} reshape {{ shape: [ 2, 2 ] }}", None, server="accept"),
    x("tensor_shape_tensor", f"{X} is_shape_tensor: true", "tensorrt-only", "shape"),
    x("tensor_image_format", f"{X} format: FORMAT_NCHW", "format-dims", "dims"),
    changed("batch_negative", SIZE, "max_batch_size: -1", "negative-batch", "max_batch_size"),
    changed("batch_huge", SIZE, "max_batch_size: 2147483647", "huge-batch", server="silent"),
    added(
        "batch_input_unknown",
        'batch_input { kind: BATCH_ELEMENT_COUNT target_name: "n" data_type: TYPE_FP32 source_input: "q" }',
        "batch-input",
        "batch_input",
    ),
    changed(
        "batching_never",
        SIZE,
        "max_batch_size: 0 dynamic_batching { }",
        "never-batches",
        server="silent",
        shown=_never_joined,
    ),
    added(
        "batching",
        "dynamic_batching { preferred_batch_size: [ 4, 8 ] max_queue_delay_microseconds: 100 }",
        None,
        server="accept",
    ),
    added(
        "batching_preferred_too_large",
        QUEUE.format("preferred_batch_size: [ 4, 16 ]"),
        "preferred-size",
        "preferred",
    ),
    added("batching_preferred_zero", QUEUE.format("preferred_batch_size: 0"), "preferred-size", "preferred"),
    added("priority_no_default", QUEUE.format("priority_levels: 2"), "priority-level", "priority"),
    added(
        "priority_default_too_large",
        QUEUE.format("priority_levels: 2 default_priority_level: 3"),
        "priority-level",
        "priority",
    ),
    added(
        "priority_policy_out_of_range",
        QUEUE.format(
            "priority_levels: 2 default_priority_level: 1 priority_queue_policy { key: 3 value { } }"
        ),
        "priority-level",
        "priority",
    ),
    added(
        "priority_without_levels",
        QUEUE.format("default_priority_level: 2"),
        "priority-unused",
        server="silent",
    ),
    added(
        "priority_and_order",
        QUEUE.format("priority_levels: 2 default_priority_level: 1 preserve_ordering: true"),
        "preserve-ordering",
        "preserve_ordering",
    ),
    added(
        "queue_delay_without_timeout",
        QUEUE.format("default_queue_policy { timeout_action: DELAY }"),
        "timeout-action",
        server="silent",
    ),
    added(
        "priority_policy_of_nothing",
        QUEUE.format("priority_levels: 0 priority_queue_policy { }"),
        None,
        server="accept",
    ),
    added(
        "cache_and_decoupled",
        "response_cache { enable: true } model_transaction_policy { decoupled: true }",
        "cache-decoupled",
        "decoupled",
    ),
    added(
        "cache_without_cache",
        "response_cache { enable: true }",
        "cache-off",
        server="silent",
        shown=_nothing_cached,
    ),
    added(
        "cache",
        "response_cache { enable: true }",
        None,
        server="accept",
        options=("--cache-config=local,size=1048576",),
    ),
    added("sequence_control", control("START", "int32_false_true: [ 0, 1 ]"), None, server="accept"),
    added("sequence_control_no_values", control("START", ""), "control-input", "CONTROL_SEQUENCE_START"),
    added(
        "sequence_control_one_value",
        control("END", "fp32_false_true: 0"),
        "control-input",
        "CONTROL_SEQUENCE_END",
    ),
    added(
        "sequence_control_no_name",
        control("READY", "int32_false_true: [ 0, 1 ]", ""),
        "control-input",
        "name",
    ),
    added("sequence_id_as_float", control("CORRID", "data_type: TYPE_FP32"), "control-input", "CORRID"),
    added(
        "sequence_control_named_as_input",
        control("START", "int32_false_true: [ 0, 1 ]", "x"),
        "control-unused",
        server="silent",
    ),
    added(
        "sequence_control_empty",
        SEQUENCE.format('control_input { name: "START" }'),
        "control-unused",
        server="silent",
    ),
    added(
        "sequence_utilization",
        SEQUENCE.format("direct { minimum_slot_utilization: 1.5 }"),
        "slot-utilization",
        "slot",
    ),
    added(
        "sequence_preferred",
        SEQUENCE.format("oldest { max_candidate_sequences: 4 preferred_batch_size: 16 }"),
        "preferred-size",
        "preferred",
    ),
    added(
        "sequence_idle_zero",
        SEQUENCE.format("max_sequence_idle_microseconds: 0"),
        "idle-zero",
        server="silent",
        shown=says("config", lambda c: c["sequence_batching"]["max_sequence_idle_microseconds"] == 1000000),
    ),
    added(
        "sequence_state_python",
        SEQUENCE.format(STATE.format("")),
        "state-ignored",
        server="silent",
        shown=_no_state,
    ),
    folder(
        "sequence_state_onnx", ONNX_CONFIG + SEQUENCE.format(STATE.format("")), ONNX, "state-refused", "state"
    ),
    added(
        "sequence_initial_state_dims",
        SEQUENCE.format(
            STATE.format('initial_state { name: "z" data_type: TYPE_FP32 dims: [ 5 ] zero_data: true }')
        ),
        "initial-state",
        "state",
    ),
    onnx(
        "sequence_control_not_in_onnx",
        SIZE,
        f"{SIZE}\n{control('START', 'fp32_false_true: [ 0, 1 ]')}",
        "onnx-inputs",
        "input",
    ),
    group("instance_gpu", "kind: KIND_GPU", "gpu-missing", "GPU"),
    group("instance_gpu_number", "gpus: [ 0 ]", "gpu-missing", "GPU"),
    group("instance_cpu_with_gpus", "kind: KIND_CPU gpus: [ 0 ]", "gpu-missing", "GPU"),
    group("instance_profile", 'kind: KIND_CPU profile: "1"', "profile-tensorrt", "profile"),
    group(
        "instance_count_zero", "kind: KIND_CPU count: 0", "count-odd", server="silent", shown=_one_instance
    ),
    group("instance_auto", "count: 2", None, server="accept"),
    group("instance_all_passive", "kind: KIND_CPU passive: true", "only-passive", server="silent"),
    group(
        "instance_resources_without_limiter",
        'kind: KIND_CPU rate_limiter { resources { name: "R" count: 4 } }',
        "rate-limit-off",
        server="silent",
    ),
    group(
        "instance_resources",
        'kind: KIND_CPU rate_limiter { resources { name: "R" count: 4 } }',
        None,
        server="accept",
        options=("--rate-limit=execution_count",),
    ),
]
