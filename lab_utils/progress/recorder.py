"""A TCP proxy that stands in front of a server and writes down what a client really sent.

A check hands its address to a student's function. What arrives there is proof: that the function
used the address it was given, which protocol it spoke, which path, with which body, and how many
requests were under way at the same time. Bytes pass unchanged and at once.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable
from types import TracebackType

from lab_utils.progress.wire import Flight, Http1Parser, Http2Parser, Recorded, is_http2
from lab_utils.server import keys

_CHUNK = 1 << 18
_GATHERING_S = 2.0
"""Seconds that responses wait, all together, for requests that are still to come."""


class Recorder:
    """A proxy on a free loopback port in front of `target`.

    Attributes:
        address: `127.0.0.1:port`, to be given to the student's function.
        target: `host:port` of the real server.
        requests: HTTP/1.1 requests in the order of their arrival.
        connections: TCP connections accepted so far.
        grpc_calls: HTTP/2 streams that clients opened (one per gRPC call).
        bytes_up: Bytes from clients to the server.
        bytes_down: Bytes from the server to clients.
    """

    def __init__(self, target: str, *, delay: float = 0.0, gather: int = 0, keep: int = 1 << 16) -> None:
        """Prepare it; `with` starts it.

        Args:
            target: `host:port` of the real server.
            delay: Seconds to hold back each response. A model that answers in half a millisecond
                never has two requests under way; with a delay, concurrency can be seen.
            gather: Hold the first responses back until so many requests are under way, two seconds at
                most; what comes later is held back for `delay`. However slow the machine is, requests
                that do not wait for each other are then seen together.
            keep: Bytes of each request body that are kept in `requests[i].body`.
        """
        self.target = target
        self.requests: list[Recorded] = []
        self.connections = 0
        self.grpc_calls = 0
        self.bytes_up = 0
        self.bytes_down = 0
        self._delay = delay
        self._gather = gather
        self._gathered = threading.Event()
        self._gather_until = 0.0
        self._keep = keep
        self._lock = threading.Lock()
        self._in_flight = 0
        self._max_in_flight = 0
        self._closed = False
        self._sockets: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"

    @property
    def max_concurrent(self) -> int:
        """The most requests (HTTP) or calls (gRPC) that were under way at one moment."""
        return self._max_in_flight

    @property
    def paths(self) -> list[str]:
        """Each HTTP request as `POST /v2/…`, in the order of arrival."""
        return [f"{request.method} {request.path}" for request in self.requests]

    def __enter__(self) -> Recorder:
        keys.stand_in_for(self.address, self.target)
        threading.Thread(target=self._accept, name="recorder", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        keys.stand_in_for(self.address, None)
        # A thread in accept() keeps the port open past close(); shutdown() wakes it.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            self._closed = True
            left = list(self._sockets)
        for one in left:
            _hang_up(one)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), name="recorder", daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        host, port = self.target.rsplit(":", 1)
        with self._lock:
            self.connections += 1
            self._sockets.add(client)
            closed = self._closed
        if closed:  # accepted in the moment in which the recorder ended
            client.close()
            return
        try:
            server = socket.create_connection((host, int(port)), timeout=10)
        except OSError:
            _hang_up(client)
            client.close()
            return
        server.settimeout(None)
        for one in (client, server):
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self._lock:
            self._sockets.add(server)
            closed = self._closed
        if closed:
            _hang_up(server)
        talk = _Conversation(self)
        down = threading.Thread(
            target=self._hand_back, args=(server, client, talk), name="recorder", daemon=True
        )
        down.start()
        self._pump(client, server, talk.ask)
        talk.heard.set()
        down.join()
        talk.close()
        with self._lock:
            self._sockets -= {client, server}
        client.close()
        server.close()

    def _hand_back(self, server: socket.socket, client: socket.socket, talk: _Conversation) -> None:
        # A gRPC server speaks as soon as somebody connects. A client that takes it for HTTP gives up at that,
        # perhaps before its own request was read here; so the client is heard first.
        talk.heard.wait()
        self._pump(server, client, talk.answer)

    def _pump(self, source: socket.socket, sink: socket.socket, watch: Callable[[memoryview], None]) -> None:
        buffer = bytearray(_CHUNK)
        view = memoryview(buffer)
        try:
            while count := source.recv_into(buffer):
                watch(view[:count])
                sink.sendall(view[:count])
        except OSError:
            pass
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_WR)

    def count_flight(self, change: int) -> None:
        """One more (or fewer) request is under way."""
        with self._lock:
            self._in_flight += change
            self._max_in_flight = max(self._max_in_flight, self._in_flight)
            if self._max_in_flight >= self._gather:
                self._gathered.set()

    def hold_back(self) -> None:
        """Return when a response may leave."""
        if not self._gather:
            time.sleep(self._delay)
            return
        with self._lock:
            self._gather_until = self._gather_until or time.monotonic() + _GATHERING_S
        self._gathered.wait(max(self._gather_until - time.monotonic(), self._delay))


class _Conversation:
    """One connection: reads along in both directions, and never raises."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self.heard = threading.Event()
        """Set once the client has said something, or has gone."""
        self._first = b""
        self._asking: Http1Parser | Http2Parser | None = None
        self._answering: Http1Parser | Http2Parser | None = None
        self._flight = Flight(recorder.count_flight)

    def ask(self, data: memoryview) -> None:
        """Bytes from the client."""
        recorder = self._recorder
        with recorder._lock:
            recorder.bytes_up += len(data)
        if self._asking is None:
            self._first += bytes(data[:24])
            if is_http2(self._first):
                self._asking = Http2Parser(on_headers=self._call_started, preface=True)
                self._answering = Http2Parser(on_end=self._flight.end)
            else:
                self._asking = Http1Parser("request", recorder._keep, self._request_started)
                self._answering = Http1Parser("response", 0, self._response_started, self._response_ended)
        self._asking.feed(data)
        self.heard.set()

    def answer(self, data: memoryview) -> None:
        """Bytes from the server."""
        recorder = self._recorder
        with recorder._lock:
            recorder.bytes_down += len(data)
        starts = self._answering is not None and self._answering.between_messages
        if starts and self._flight.count:
            recorder.hold_back()
        if self._answering is not None:
            self._answering.feed(data)

    def close(self) -> None:
        """The connection is gone: nothing of it is under way any more."""
        self._flight.clear()

    def _call_started(self, stream: int) -> None:
        if self._flight.start(stream):
            with self._recorder._lock:
                self._recorder.grpc_calls += 1

    def _request_started(self, request: Recorded) -> None:
        with self._recorder._lock:
            self._recorder.requests.append(request)
        self._flight.start(request)

    def _response_started(self, response: Recorded) -> None:
        request = self._flight.oldest()
        if isinstance(request, Recorded):
            request.status = response.status
            response.method = request.method

    def _response_ended(self, response: Recorded) -> None:
        self._flight.end(self._flight.oldest())


def _hang_up(one: socket.socket) -> None:
    with contextlib.suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
