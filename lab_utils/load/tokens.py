"""The token ids in the answers of a language model: reading them, and comparing a whole answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from tritonclient.grpc import service_pb2

from lab_utils.load.compare import read_http
from lab_utils.load.driver import Check
from lab_utils.load.plan import Plan

TOKEN_BYTES = 4
"""Size of one token id on the wire: the output is INT32."""


def token_reader(plan: Plan) -> Callable[[Any], bytes]:
    """A function that takes the token ids, as little-endian INT32, out of what the plan's wire received.

    An answer without that output gives no bytes, so that it counts as an answer of no tokens.
    """
    name = plan.tokens

    def of_response(response: Any) -> bytes:
        for number, output in enumerate(response.outputs):
            if output.name == name:
                return bytes(response.raw_output_contents[number])
        return b""

    def of_call(data: bytes) -> bytes:
        return of_response(service_pb2.ModelInferResponse.FromString(data))

    def of_http(data: bytes) -> bytes:
        ids = read_http(data).get(name)
        return b"" if ids is None else pack_tokens(ids)

    return {"stream": of_response, "grpc": of_call, "http": of_http}[plan.protocol]


def make_token_check(plan: Plan) -> Check:
    """A function that compares all tokens of an answer, over all its responses, with the expected ones."""
    expected = [b"".join(answers) for answers in plan.expected or []]

    def check(index: int, payload: tuple[bytes, ...]) -> str:
        found = b"".join(payload)
        return "" if found == expected[index] else f"prompt {index}: {_difference(found, expected[index])}"

    return check


def pack_tokens(ids: Any) -> bytes:
    """Token ids as they travel."""
    return np.asarray(ids, dtype="<i4").tobytes()


def _difference(found: bytes, wanted: bytes) -> str:
    """Where two answers part."""
    one, other = (np.frombuffer(data, dtype="<i4") for data in (found, wanted))
    common = min(len(one), len(other))
    parted = np.flatnonzero(one[:common] != other[:common])
    if parted.size:
        place = int(parted[0])
        return f"token {place + 1} of {len(other)} is {one[place]} instead of {other[place]}"
    return f"{len(one)} tokens instead of {len(other)}"
