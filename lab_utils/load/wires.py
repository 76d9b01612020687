"""How a prepared request travels: HTTP over a raw connection, a gRPC call, a gRPC stream.

A wire makes slots; a slot carries one request at a time. Every answer's status is read.
"""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import Any, NamedTuple, Protocol

import grpc
import grpc.aio

from lab_utils.load.faults import classify_grpc
from lab_utils.load.plan import Plan

GRPC_OPTIONS = [
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    ("grpc.enable_http_proxy", 0),
]
Fault = tuple[str, str]
"""Class and message."""


class Answer(NamedTuple):
    """One answered request: when the first response and the end came, how many responses, what failed.

    `arrivals` has the moment of each response where there may be several; `payload` has what is kept
    of each response, when anything is.
    """

    first: float
    done: float
    responses: int
    fault: Fault | None = None
    arrivals: tuple[float, ...] = ()
    payload: tuple[bytes, ...] = ()


class Slot(Protocol):
    """Carries one request at a time."""

    async def ask(self, index: int) -> Answer:
        """Send message `index` and wait for its whole answer. Never raises for a failed request."""
        ...


class Wire(Protocol):
    """One protocol to one server."""

    async def open(self, count: int) -> list[Slot]:
        """Make slots, connected where the protocol has connections."""
        ...

    def new_slot(self) -> Slot:
        """One more slot, connected when it is first used."""
        ...

    async def close(self) -> None:
        """Close all connections: an open one would hold up the server's shutdown."""
        ...


def make_wire(plan: Plan) -> Wire:
    """The wire of a plan's protocol."""
    if plan.protocol == "http":
        from lab_utils.load.http_wire import HttpWire

        return HttpWire(plan)
    if plan.protocol == "stream":
        from lab_utils.load.stream_wire import StreamWire

        return StreamWire(plan)
    return GrpcWire(plan)


def reader(plan: Plan) -> Callable[[Any], bytes] | None:
    """What to keep of each response; None: nothing, which is the cheapest."""
    if plan.tokens:
        from lab_utils.load.tokens import token_reader

        return token_reader(plan)
    if plan.expected is None and not plan.collect:
        return None
    if plan.protocol == "stream":
        return lambda response: bytes(response.SerializeToString(deterministic=True))
    return bytes


def grpc_fault(error: grpc.aio.AioRpcError) -> Fault:
    """The class and text of a failed call."""
    message = error.details() or error.code().name
    return classify_grpc(error.code().value[0], message), message


class GrpcWire:
    """Unary ModelInfer. The channel multiplexes, so that a slot is no more than a place in the count."""

    def __init__(self, plan: Plan) -> None:
        self.messages = plan.messages
        self.timeout = plan.client_timeout
        self.read = reader(plan)
        self._channel = grpc.aio.insecure_channel(plan.address, options=GRPC_OPTIONS)
        # No serializer: the bytes go out and come back as they are.
        self.call: Any = self._channel.unary_unary(plan.target)

    async def open(self, count: int) -> list[Slot]:
        """Slots on one connected channel."""
        return [self.new_slot() for _ in range(count)]

    def new_slot(self) -> Slot:
        """One more place."""
        return _GrpcSlot(self)

    async def close(self) -> None:
        """Close the channel at once; what is in flight is cancelled."""
        await self._channel.close()


class _GrpcSlot:
    __slots__ = ("_wire",)

    def __init__(self, wire: GrpcWire) -> None:
        self._wire = wire

    async def ask(self, index: int) -> Answer:
        wire = self._wire
        try:
            answer = await wire.call(wire.messages[index], timeout=wire.timeout)
        except grpc.aio.AioRpcError as error:
            now = perf_counter()
            return Answer(now, now, 0, grpc_fault(error))
        now = perf_counter()
        return Answer(now, now, 1, None, (), (wire.read(answer),) if wire.read else ())
