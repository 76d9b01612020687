"""Names in a config.pbtxt: the nearest real one, and the ones that are newer than the server."""

from __future__ import annotations

import difflib
from typing import Any

SERVER_VERSION = "2.51.0"
"""The Triton of the labs (container 24.10): the judge of every config."""

# The installed client knows these fields, the server's own schema (it is stored in the tritonserver binary)
# does not. The first version is that of the first tritonclient release with the field.
# tests/repository/test_config_newer.py compares this table with the binary.
NEWER = {
    "inference.ModelConfig.model_metrics": "2.52 (container 24.11)",
    "inference.ModelEnsembling.max_inflight_requests": "2.63 (container 25.11)",
}
"""Full name of each field that the server does not know -> the first Triton that does."""

# What people write who come from another tool; difflib does not find these.
_FIELD_HABITS = {
    "shape": "dims",
    "dimensions": "dims",
    "type": "data_type",
    "datatype": "data_type",
    "dtype": "data_type",
    "batch_size": "max_batch_size",
    "model_name": "name",
    "framework": "platform",
    "inputs": "input",
    "outputs": "output",
    "instances": "instance_group",
    "max_queue_delay": "max_queue_delay_microseconds",
    "max_queue_delay_us": "max_queue_delay_microseconds",
    "model_file": "default_model_filename",
    "model_filename": "default_model_filename",
    "ensemble": "ensemble_scheduling",
    "warmup": "model_warmup",
    "cache": "response_cache",
    "batching": "dynamic_batching",
    "versions_policy": "version_policy",
}
_VALUE_HABITS = {
    "FLOAT": "TYPE_FP32",
    "FLOAT16": "TYPE_FP16",
    "FLOAT32": "TYPE_FP32",
    "FLOAT64": "TYPE_FP64",
    "HALF": "TYPE_FP16",
    "BFLOAT16": "TYPE_BF16",
    "DOUBLE": "TYPE_FP64",
    "INT": "TYPE_INT32",
    "INTEGER": "TYPE_INT32",
    "LONG": "TYPE_INT64",
    "BYTES": "TYPE_STRING",
    "STR": "TYPE_STRING",
    "BOOLEAN": "TYPE_BOOL",
    "GPU": "KIND_GPU",
    "CPU": "KIND_CPU",
    "CUDA": "KIND_GPU",
}


def known_fields(message: Any) -> list[str]:
    """The field names that the server knows in a message (its protobuf descriptor)."""
    return [f.name for f in message.fields if f.full_name not in NEWER]


def nearest_field(message: Any, name: str) -> str | None:
    """The field of `message` that is probably meant by `name`; None when nothing is near."""
    known = known_fields(message)
    plain = name.lower().replace("-", "_")
    for guess in (plain, _FIELD_HABITS.get(plain, ""), f"{plain}s", plain.removesuffix("s")):
        if guess in known and guess != name:
            return guess
    near = difflib.get_close_matches(plain, known, n=1, cutoff=0.65)
    return near[0] if near else None


def is_habit(message: Any, name: str) -> bool:
    """True when `name` is another tool's word for a field of this message."""
    return _FIELD_HABITS.get(name.lower()) in known_fields(message)


def places_of(root: Any, name: str) -> list[str]:
    """Where in a message a field of this name exists, as paths: `dynamic_batching.preserve_ordering`."""
    found: list[str] = []

    def walk(message: Any, path: tuple[str, ...], seen: frozenset[str]) -> None:
        for field in message.fields:
            if field.full_name in NEWER:
                continue
            here = (*path, field.name)
            if field.name == name:
                found.append(".".join(here))
            inner = field.message_type
            if inner is not None and inner.full_name not in seen:
                walk(inner, here, seen | {inner.full_name})

    walk(root, (), frozenset({root.full_name}))
    return sorted(found, key=lambda path: (path.count("."), path))


def nearest_value(enum: Any, name: str) -> str | None:
    """The value of an enum that is probably meant by `name`: FP32 is TYPE_FP32, KIND_CPUS is KIND_CPU."""
    known = [value.name for value in enum.values]
    plain = name.upper()
    bare = plain.removeprefix("TYPE_").removeprefix("KIND_")
    for guess in (plain, f"TYPE_{bare}", f"KIND_{bare}", f"MODE_{bare}", _VALUE_HABITS.get(bare, "")):
        if guess in known and guess != name:
            return guess
    near = difflib.get_close_matches(plain, known, n=1, cutoff=0.65)
    return near[0] if near else None


def newer_than_server(field: Any) -> str | None:
    """The first Triton version that knows a field; None when the server of the labs knows it."""
    return NEWER.get(field.full_name)
