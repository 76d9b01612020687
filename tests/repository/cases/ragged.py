"""Inputs of variable length of a Python model: batches that never form."""

from __future__ import annotations

from tests.repository.cases.kit import PYTHON_CONFIG
from tests.repository.cases.layout import PY, folder
from tests.repository.cases.serving import x

CASES = [
    x(
        "ragged_no_batcher",
        'name: "x" data_type: TYPE_FP32 dims: [ -1 ] allow_ragged_batch: true',
        "ragged-never",
        server="silent",
    ),
    folder(
        "ragged_waits_for_equal_shapes",
        PYTHON_CONFIG.replace("dims: [ 4 ]", "dims: [ -1 ]")
        + "dynamic_batching { max_queue_delay_microseconds: 100 }\n",
        PY,
        "ragged-never",
        server="silent",
    ),
    folder(
        "ragged_texts_of_any_number",
        PYTHON_CONFIG.replace("TYPE_FP32 dims: [ 4 ]", "TYPE_STRING dims: [ -1 ]")
        + "dynamic_batching { max_queue_delay_microseconds: 100 }\n",
        PY,
        None,
        server="accept",
    ),
]
