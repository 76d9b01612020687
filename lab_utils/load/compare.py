"""The validating mode: every answer under load against the answer to the same request alone."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from lab_utils.load.crew import LoadError, ask_alone
from lab_utils.load.driver import Check
from lab_utils.load.plan import Plan

RELATIVE, ABSOLUTE = 1e-3, 1e-5
"""How far apart floating-point outputs may be: in a larger batch sums are added up in another order."""
_JSON_LENGTH = re.compile(rb"\r\ninference-header-content-length:[ \t]*(\d+)", re.IGNORECASE)


def reference_answers(plan: Plan) -> list[list[bytes]]:
    """The answers to all messages of a plan, asked one at a time by a load process, before the load.

    Raises:
        LoadError: One of them fails.
    """
    answers = []
    for payload, fault in ask_alone(plan):
        if fault:
            raise LoadError(
                "The answer to compare with could not be had.",
                why=": ".join(fault),
                fix="Make the request work alone first.",
            )
        answers.append(list(payload))
    return answers


def make_check(plan: Plan) -> Check:
    """A function that compares an answer with the expected one of its message."""
    expected = plan.expected or []
    read = {"http": read_http, "grpc": _read_unary, "stream": _read_stream}[plan.protocol]
    known = [[read(data) for data in answers] for answers in expected]

    def check(index: int, payload: tuple[bytes, ...]) -> str:
        if list(payload) == expected[index]:
            return ""
        if len(payload) != len(expected[index]):
            return f"{len(payload)} responses instead of {len(expected[index])}"
        for data, wanted in zip(payload, known[index], strict=True):
            if difference := _difference(read(data), wanted):
                return f"message {index}: {difference}"
        return ""

    return check


Outputs = dict[str, Any]


def read_http(data: bytes) -> Outputs:
    """The outputs of a whole HTTP answer, head and body."""
    from tritonclient.http import InferResult

    head, _, body = data.partition(b"\r\n\r\n")
    length = _JSON_LENGTH.search(head)
    result = InferResult.from_response_body(body, header_length=int(length[1]) if length else None)
    return {entry["name"]: result.as_numpy(entry["name"]) for entry in result.get_response()["outputs"]}


def _read_unary(data: bytes) -> Outputs:
    from tritonclient.grpc import InferResult, service_pb2

    result = InferResult(service_pb2.ModelInferResponse.FromString(data))
    return {entry.name: result.as_numpy(entry.name) for entry in result.get_response().outputs}


_read_stream = _read_unary


def _difference(found: Outputs, wanted: Outputs) -> str:
    """What is different, in words; nothing when the outputs are equal."""
    if found.keys() != wanted.keys():
        return f"outputs {sorted(found)} instead of {sorted(wanted)}"
    for name, value in wanted.items():
        other = found[name]
        if other is None or other.shape != value.shape:
            return f"output `{name}` has the shape {getattr(other, 'shape', None)} instead of {value.shape}"
        if value.dtype.kind == "f":
            same = np.allclose(other, value, rtol=RELATIVE, atol=ABSOLUTE, equal_nan=True)
        else:
            same = bool(np.array_equal(other, value))
        if not same:
            return f"output `{name}` has other values than the same request alone"
    return ""
