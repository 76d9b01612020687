"""What one load process is told to do and what it reports, and the frames in which both travel."""

from __future__ import annotations

import pickle
import struct
from dataclasses import dataclass, field
from typing import Any, BinaryIO

_LENGTH = struct.Struct("<I")
COLUMNS = ("intended", "sent", "first", "done", "fault", "responses")
"""One row per request: four times (seconds of `time.perf_counter`), an index into FAULTS, a count."""
OK = 0
"""The value in the column `fault` of a request that was answered well."""


@dataclass
class Plan:
    """The share of a load that one process carries.

    Attributes:
        protocol: `http`, `grpc` or `stream`.
        address: `host:port`.
        target: HTTP path or full gRPC method name.
        messages: Complete requests, sent round robin: HTTP head and body, or a serialized protobuf.
        in_flight: Closed loop: requests kept in flight. Open loop: the most that may be in flight.
        rate: Requests per second of this process; None for a closed loop.
        arrival: `poisson` or `constant`; open loop only.
        offset: Seconds by which the constant schedule of this process is shifted.
        seed: Of the Poisson schedule.
        requests: Send this many and end by yourself; None: until told to stop.
        client_timeout: Seconds after which the client gives up a request.
        drain: Seconds to wait for answers after the last request has been sent.
        expected: For each message the answers that it must get, as bytes; None: do not compare.
        collect: Send every message once, one after the other, and hand the answers back: no load.
        tokens: Name of the output with the token ids of a language model. Then the answers are read,
            the report says when how many tokens came, and `expected` holds token ids alone.
    """

    protocol: str
    address: str
    target: str
    messages: list[bytes]
    in_flight: int
    rate: float | None = None
    arrival: str = "poisson"
    offset: float = 0.0
    seed: int = 0
    requests: int | None = None
    client_timeout: float = 60.0
    drain: float = 5.0
    expected: list[list[bytes]] | None = None
    collect: bool = False
    tokens: str = ""


@dataclass
class Report:
    """What a load process sends back, several times a second and once more at its end.

    Attributes:
        rows: `[n, len(COLUMNS)]`, float64.
        gaps: `[m, 2]`: time of a response and seconds since the one before it, of the same request.
        messages: The first message of each class of faults that is new.
        usage: Rows of (time, CPU seconds of the event loop's thread, seconds it was ready but had
            to wait for a core, CPU seconds of the process), all counted since the process began.
        ended: True in the last report of a load.
        crash: Traceback of an error of ours; empty when there was none.
        arrivals: `[sum of the column responses, 2]`: moment and tokens of each response, request by
            request in the order of `rows`. Only with `Plan.tokens`.
    """

    rows: Any
    gaps: Any
    messages: dict[str, str] = field(default_factory=dict)
    usage: list[tuple[float, float, float, float]] = field(default_factory=list)
    ended: bool = False
    crash: str = ""
    arrivals: Any = ()


def write_frame(stream: BinaryIO, value: object) -> None:
    """Send one Python value."""
    data = pickle.dumps(value, protocol=pickle.HIGHEST_PROTOCOL)
    stream.write(_LENGTH.pack(len(data)) + data)
    stream.flush()


def read_frame(stream: BinaryIO) -> Any:
    """Receive one Python value. Raises `EOFError` when the other side has closed."""
    return pickle.loads(_read(stream, _LENGTH.unpack(_read(stream, _LENGTH.size))[0]))


def _read(stream: BinaryIO, length: int) -> bytes:
    """Exactly `length` bytes: a pipe without buffer gives what is there, which may be less."""
    data = bytearray()
    while len(data) < length:
        part = stream.read(length - len(data))
        if not part:
            raise EOFError
        data += part
    return bytes(data)
