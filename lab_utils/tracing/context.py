"""`traceparent`: the header that carries a trace from one program to the next (W3C Trace Context).

    00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01
    |  trace id, 32 hex digits           span id, 16    flags: 01 sampled

The trace id names the whole request; the span id names the piece of work that asks. Whoever gets the
header keeps the trace id and makes that span the parent of its own.
Source: https://www.w3.org/TR/trace-context/#traceparent-header
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass

from lab_utils.tracing.spans import TraceError

_HEADER = re.compile(
    r"(?P<version>[0-9a-f]{2})-(?P<trace>[0-9a-f]{32})-(?P<span>[0-9a-f]{16})-(?P<flags>[0-9a-f]{2})"
    r"(?P<more>-.*)?"
)
_SAMPLED = 0x01


@dataclass(frozen=True)
class TraceContext:
    """What a `traceparent` says.

    Attributes:
        trace_id: 32 hex digits.
        span_id: 16 hex digits: the sender's span, the parent of the receiver's.
        sampled: Whether the sender records this trace. Triton 24.10 records it in any case.
    """

    trace_id: str
    span_id: str
    sampled: bool = True

    def __str__(self) -> str:
        return f"00-{self.trace_id}-{self.span_id}-{'01' if self.sampled else '00'}"


def new_context(parent: str = "") -> TraceContext:
    """A new span: of a new trace or, with the `traceparent` that we were given, of that one.

    Raises:
        TraceError: `parent` is not a traceparent.
    """
    if parent:
        given = parse_traceparent(parent)
        return TraceContext(given.trace_id, secrets.token_hex(8), given.sampled)
    return TraceContext(secrets.token_hex(16), secrets.token_hex(8))


def new_traceparent(parent: str = "") -> tuple[str, str]:
    """A header for one request, to be passed on by the client.

    Over HTTP it is a header, over gRPC an entry of the metadata; tritonclient takes both as `headers`:

        header, trace_id = new_traceparent()
        client.infer("mnist_mlp", inputs, headers={"traceparent": header})

    Args:
        parent: The `traceparent` of the request that made us ask, if there is one: the trace goes on.

    Returns:
        The text of the header, and its trace id.

    Raises:
        TraceError: `parent` is not a traceparent.
    """
    context = new_context(parent)
    return str(context), context.trace_id


def parse_traceparent(header: str) -> TraceContext:
    """Read a `traceparent`.

    Versions above 00 may carry more fields; they are left out, as the standard asks.

    Raises:
        TraceError: It is not one. A receiver starts a new trace then, so the two ends do not join.
    """
    match = _HEADER.fullmatch(header.strip())
    why = ""
    if match is None:
        why = "It has four parts of 2, 32, 16 and 2 small hex digits, joined by `-`."
    elif match["version"] == "ff" or (match["version"] == "00" and match["more"]):
        why = f"The version {match['version']} does not have this form."
    elif not int(match["trace"], 16) or not int(match["span"], 16):
        why = "An id of zeros only is not valid."
    if match is None or why:
        raise TraceError(f"`{header}` is not a traceparent.", why=why, fix="Make one with new_traceparent().")
    return TraceContext(match["trace"], match["span"], bool(int(match["flags"], 16) & _SAMPLED))
