"""gRPC streams (ModelStreamInfer): one stream per slot, one request at a time, any number of responses."""

from __future__ import annotations

import asyncio
import itertools
from time import perf_counter
from typing import Any

import grpc
import grpc.aio
from tritonclient.grpc import service_pb2

from lab_utils.load.faults import classify_stream
from lab_utils.load.plan import Plan
from lab_utils.load.wires import GRPC_OPTIONS, Answer, Slot, grpc_fault, reader

_ID_FIELD = b"\x1a"
"""Tag of `ModelInferRequest.id` (field 3, length-delimited)."""


class StreamWire:
    """Streams to one server over one channel."""

    def __init__(self, plan: Plan) -> None:
        self.messages = plan.messages
        self.timeout = plan.client_timeout
        self.read = reader(plan)
        self._channel = grpc.aio.insecure_channel(plan.address, options=GRPC_OPTIONS)
        self.call: Any = self._channel.stream_stream(plan.target)
        self.ids = itertools.count(1)
        self._slots: list[_StreamSlot] = []

    async def open(self, count: int) -> list[Slot]:
        """Slots; each opens its stream with its first request."""
        return [self.new_slot() for _ in range(count)]

    def new_slot(self) -> Slot:
        """One more slot."""
        slot = _StreamSlot(self)
        self._slots.append(slot)
        return slot

    async def close(self) -> None:
        """End all streams, then the channel."""
        for slot in self._slots:
            slot.drop()
        await self._channel.close()


class _StreamSlot:
    def __init__(self, wire: StreamWire) -> None:
        self._wire = wire
        self._stream: Any = None

    def drop(self) -> None:
        """Cancel the stream: after a fault it may still carry responses of the old request."""
        if self._stream is not None:
            self._stream.cancel()
            self._stream = None

    async def ask(self, index: int) -> Answer:
        wire = self._wire
        name = str(next(wire.ids)).encode()
        # Protobuf fields may stand in any order: the id is simply appended to the prepared bytes.
        message = wire.messages[index] + _ID_FIELD + bytes([len(name)]) + name
        seen: list[float] = []
        kept: list[bytes] = []
        try:
            async with asyncio.timeout(wire.timeout):
                if self._stream is None:
                    self._stream = wire.call()
                await self._stream.write(message)
                fault = await self._responses(name.decode(), seen, kept)
        except TimeoutError:
            self.drop()
            fault = ("client_timeout", f"no final response within {wire.timeout:g} s")
        except grpc.aio.AioRpcError as error:
            self.drop()
            fault = grpc_fault(error)
            await asyncio.sleep(0.05)  # a closed loop must not spin on a dead server
        except (asyncio.InvalidStateError, grpc.aio.UsageError) as error:
            self.drop()
            fault = ("connection", f"the stream ended: {error}")
        except asyncio.CancelledError:
            self.drop()
            raise
        now = perf_counter()
        return Answer(
            seen[0] if seen else now,
            seen[-1] if seen and not fault else now,
            len(seen),
            fault,
            tuple(seen),
            tuple(kept),
        )

    async def _responses(self, name: str, seen: list[float], kept: list[bytes]) -> tuple[str, str] | None:
        """Read until the final response of request `name`; `seen` gets the times of those with outputs."""
        fault = None
        while True:
            data = await self._stream.read()
            now = perf_counter()
            if data is grpc.aio.EOF:
                self._stream = None
                return "connection", "the server ended the stream"
            answer = service_pb2.ModelStreamInferResponse.FromString(data)
            response = answer.infer_response
            if response.id and response.id != name:
                continue  # late, of a request that this slot has given up
            known = "triton_final_response" in response.parameters
            final = known and response.parameters["triton_final_response"].bool_param
            if answer.error_message:
                fault = fault or (classify_stream(answer.error_message), answer.error_message)
                # A request that was refused gets one message without the parameter, and no more.
                final = final or not known
            if response.outputs:
                seen.append(now)
                if self._wire.read:
                    kept.append(self._wire.read(response))
            if final:
                return fault
