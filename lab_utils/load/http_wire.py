"""HTTP/1.1 over asyncio: prepared bytes go out, and as much of the answer is read as its status needs."""

from __future__ import annotations

import asyncio
import json
import re
from time import perf_counter
from typing import Any

from lab_utils.load.faults import classify_http
from lab_utils.load.plan import Plan
from lab_utils.load.wires import Answer, Slot, reader

_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d+)", re.IGNORECASE)
_CLOSE = re.compile(rb"\r\nconnection:[ \t]*close", re.IGNORECASE)
_BACK_OFF = 0.05
"""Seconds before a slot tries again to connect: a closed loop must not spin on a dead server."""


class HttpWire:
    """Keep-alive connections, one per slot."""

    def __init__(self, plan: Plan) -> None:
        self.messages = plan.messages
        self.read = reader(plan)
        host, _, port = plan.address.rpartition(":")
        self.host, self.port = host.strip("[]"), int(port)
        self.timeout = plan.client_timeout
        self._slots: list[HttpSlot] = []
        self._sweeper: asyncio.Task[None] | None = None

    async def open(self, count: int) -> list[Slot]:
        """Connected slots. A refused connection shows in the slot's first answer."""
        slots = [self.new_slot() for _ in range(count)]
        # One after another: a server's backlog is short.
        for slot in self._slots:
            await slot.connect()
        self._sweeper = asyncio.ensure_future(self._sweep())
        return slots

    def new_slot(self) -> Slot:
        """One more slot."""
        slot = HttpSlot(self)
        self._slots.append(slot)
        return slot

    async def _sweep(self) -> None:
        """Give up requests that are older than the time-out. One task for all: a timer each costs more."""
        while True:
            await asyncio.sleep(min(0.1, self.timeout / 4))
            limit = perf_counter() - self.timeout
            for slot in self._slots:
                if slot.waiting and slot.asked < limit:
                    slot.fail("client_timeout", f"no answer within {self.timeout:g} s")

    async def close(self) -> None:
        """Close all connections."""
        if self._sweeper:
            self._sweeper.cancel()
        for slot in self._slots:
            slot.drop()
        await asyncio.sleep(0)


class HttpSlot(asyncio.Protocol):
    """One connection and the one request on it."""

    def __init__(self, wire: HttpWire) -> None:
        self._wire = wire
        self._transport: Any = None
        self._received = bytearray()
        self._expected = 0
        self._heads: dict[bytes, tuple[int, int, bool]] = {}
        self._head: tuple[int, int, bool] = (0, 0, False)
        self._body_at = 0
        self._future: asyncio.Future[Answer] | None = None
        self.asked = 0.0

    @property
    def waiting(self) -> bool:
        """True while an answer is due."""
        return self._future is not None

    async def connect(self) -> str:
        """Connect; returns the reason when that is refused, else nothing."""
        loop = asyncio.get_running_loop()
        try:
            await asyncio.wait_for(
                loop.create_connection(lambda: self, self._wire.host, self._wire.port), self._wire.timeout
            )
        except (OSError, TimeoutError) as error:
            return f"connection to {self._wire.host}:{self._wire.port} failed: {error}"
        return ""

    async def ask(self, index: int) -> Answer:
        """Send message `index` and wait for its whole answer."""
        if self._transport is None and (reason := await self.connect()):
            now = perf_counter()
            await asyncio.sleep(_BACK_OFF)
            return Answer(now, now, 0, ("connection", reason))
        self._future = future = asyncio.get_running_loop().create_future()
        self.asked = perf_counter()
        self._transport.write(self._wire.messages[index])
        try:
            return await future
        finally:
            self._future = None

    def drop(self) -> None:
        """Forget the connection, at once."""
        if self._transport is not None:
            self._transport.abort()
            self._transport = None
        self._received.clear()
        self._expected = 0

    def fail(self, kind: str, message: str) -> None:
        """End the request with a fault. Its connection is of no more use: an answer may still come."""
        future, self._future = self._future, None
        self.drop()
        if future and not future.done():
            now = perf_counter()
            future.set_result(Answer(now, now, 0, (kind, message)))

    # asyncio's side ---------------------------------------------------------------------------------

    def connection_made(self, transport: Any) -> None:
        """Keep the transport; asyncio has set TCP_NODELAY on it."""
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        """The server closed, or the network broke."""
        if self._future is not None and not self._future.done():
            self.fail("connection", f"the connection broke: {exc or 'closed by the server'}")
        self._transport = None

    def data_received(self, data: bytes) -> None:
        """Collect; end the request when the length that the head names is there."""
        received = self._received
        received += data
        if not self._expected:
            end = received.find(b"\r\n\r\n")
            if end < 0:
                return
            head = bytes(received[: end + 2])
            known = self._heads.get(head)
            if known is None:
                known = self._read_head(head)
                if known is None:
                    self.fail("connection", f"not an HTTP answer with a length: {head[:80]!r}")
                    return
                if len(self._heads) < 1000:
                    self._heads[head] = known
            self._head = known
            self._body_at = end + 4
            self._expected = self._body_at + known[1]
        if len(received) < self._expected:
            return
        now = perf_counter()
        status, _, close = self._head
        future = self._future
        if future is not None and not future.done():
            if status == 200:
                read = self._wire.read
                payload = (read(bytes(received)),) if read else ()
                future.set_result(Answer(now, now, 1, None, (), payload))
            else:
                text = _message(bytes(received[self._body_at :]))
                future.set_result(
                    Answer(now, now, 0, (classify_http(status, text), f"HTTP {status}: {text}"))
                )
        received.clear()
        self._expected = 0
        if close:
            self.drop()

    @staticmethod
    def _read_head(head: bytes) -> tuple[int, int, bool] | None:
        """Status, length of the body, whether the server will close."""
        length = _LENGTH.search(head)
        if not head.startswith(b"HTTP/1.") or not length or not head[9:12].isdigit():
            return None
        return int(head[9:12]), int(length[1]), bool(_CLOSE.search(head))


def _message(body: bytes) -> str:
    """Triton's `{"error": "..."}`, or the start of whatever came."""
    try:
        return str(json.loads(body)["error"])
    except (ValueError, KeyError, TypeError):
        return body[:200].decode(errors="replace")
