"""Warm-up samples of a Python model.

A sample that reaches the model and fails there can end this release of the server (a race), so there is no
case of that kind here.
"""

from __future__ import annotations

from typing import Any

from tests.repository.cases.kit import Case, Outcome
from tests.repository.cases.layout import PY, says
from tests.repository.cases.serving import added

FILE = 'data_type: TYPE_FP32 dims: [ 4 ] input_data_file: "rows"'
ZERO = "data_type: TYPE_FP32 dims: [ 4 ] zero_data: true"


def warmup(
    name: str, sample: str, rule: str | None, *explain: str, server: Outcome = "refuse", **more: Any
) -> Case:
    """The Python model with one warm-up sample."""
    return added(name, f'model_warmup {{ name: "first" {sample} }}', rule, *explain, server=server, **more)


def given(tensor: str, key: str = "x") -> str:
    """One input of a warm-up sample."""
    return f'inputs {{ key: "{key}" value {{ {tensor} }} }}'


CASES = [
    warmup(
        "warmup",
        f"batch_size: 2 {given(ZERO)}",
        None,
        server="accept",
        shown=says("stats", lambda s: s["model_stats"][0]["execution_count"] == 1),
    ),
    warmup(
        "warmup_without_batch_size",
        given(ZERO),
        "warmup-skipped",
        server="silent",
        shown=says("stats", lambda s: s["model_stats"][0]["execution_count"] == 0),
    ),
    warmup(
        "warmup_no_such_input",
        f"batch_size: 1 {given(ZERO)} {given(ZERO, 'q')}",
        "warmup-unknown-input",
        server="silent",
    ),
    warmup("warmup_input_left_out", "batch_size: 1", "warmup-input", "input"),
    warmup(
        "warmup_other_type",
        f"batch_size: 1 {given('data_type: TYPE_INT32 dims: [ 4 ] zero_data: true')}",
        "warmup-input",
        "INT32",
    ),
    warmup(
        "warmup_batch_in_dims",
        f"batch_size: 1 {given('data_type: TYPE_FP32 dims: [ 1, 4 ] zero_data: true')}",
        "warmup-input",
        "shape",
    ),
    warmup(
        "warmup_open_dims",
        f"batch_size: 1 {given('data_type: TYPE_FP32 dims: [ -1 ] zero_data: true')}",
        "warmup-input",
        "warmup",
    ),
    warmup(
        "warmup_no_data",
        f"batch_size: 1 {given('data_type: TYPE_FP32 dims: [ 4 ]')}",
        "warmup-input",
        "warmup",
    ),
    warmup(
        "warmup_file_missing",
        "batch_size: 1 " + given(FILE),
        "warmup-file",
        "rows",
        files=PY | {"rows": b"\0" * 16},
    ),
    warmup(
        "warmup_file_short",
        "batch_size: 1 " + given(FILE),
        "warmup-file",
        "16",
        files=PY | {"warmup/rows": b"\0" * 12},
    ),
]
