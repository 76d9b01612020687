"""The HTTP side of the receiver: what it takes, and the status for what it does not."""

from __future__ import annotations

import contextlib
import json
import socket
import sys
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from lab_utils.tracing.otlp import MalformedError, read_spans
from lab_utils.tracing.spans import Span

PATH = "/v1/traces"
MAX_BODY = 8 * 2**20
"""Bytes. Triton sends at most 512 spans at once, less than 1 MB."""
_DIGITS = 18
_IDLE_SECONDS = 60.0
"""After so long without a request a connection is closed; Triton opens a new one."""


class Listener(ThreadingHTTPServer):
    """Listens, with a thread per connection.

    Args:
        address: Host and port.
        take: Called with the spans of each good request.
        refuse: Called with the status and the reason of each refused one.
    """

    daemon_threads = True
    # With this, a server on a port of its own can be started again at once.
    allow_reuse_address = True

    def __init__(
        self,
        address: tuple[str, int],
        take: Callable[[list[Span]], None],
        refuse: Callable[[int, str], None],
    ) -> None:
        self.take, self.refuse = take, refuse
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        super().__init__(address, Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Remember the connection, then serve it in a thread."""
        with self._lock:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Forget and close a connection that has ended."""
        with self._lock:
            self._open.discard(request)
        super().shutdown_request(request)

    def hang_up(self) -> None:
        """End the connections: Triton keeps one open, and a stopped receiver must not go on reading."""
        with self._lock:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Keep it as an error to see; a traceback on the screen would help nobody."""
        error = sys.exception()
        if not isinstance(error, ConnectionError | TimeoutError):
            self.refuse(500, f"the receiver failed: {error!r}")


class Handler(BaseHTTPRequestHandler):
    """Answers the requests of one connection."""

    protocol_version = "HTTP/1.1"
    timeout = _IDLE_SECONDS
    # Head and body go out as two pieces; with Nagle's algorithm the second would wait 40 ms.
    disable_nagle_algorithm = True
    server: Listener

    def do_POST(self) -> None:
        """Take an export request: 200 with `{}`, or the status that says what is wrong with it."""
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or len(length) > _DIGITS:
            self._fail(411, "a body of unknown length")
        elif int(length) > MAX_BODY:
            self._fail(413, f"a body of {length} bytes; {MAX_BODY} are allowed")
        else:
            body = self.rfile.read(int(length))
            kind = self.headers.get("Content-Type", "").partition(";")[0].strip().lower()
            coding = self.headers.get("Content-Encoding", "identity").lower()
            if self.path.partition("?")[0] != PATH:
                self._fail(404, f"no such path: {self.path}", keep=True)
            elif kind != "application/json" or coding != "identity":
                found = kind or "nothing" if coding == "identity" else f"{kind} in {coding}"
                self._fail(415, f"only plain application/json is understood, not {found}", keep=True)
            else:
                self._read(body)

    def _read(self, body: bytes) -> None:
        try:
            spans = read_spans(body)
        except MalformedError as error:
            self._fail(400, str(error), keep=True)
        else:
            self.server.take(spans)
            self._answer(200, {})

    def do_GET(self) -> None:
        """Say in words that this is the wrong way, to a person with a browser."""
        self._fail(405, f"traces are sent with POST to {PATH}")

    def _fail(self, status: int, message: str, keep: bool = False) -> None:
        """Refuse. Without `keep` the connection is closed, since a body that was not read is in its way."""
        self.server.refuse(status, message)
        if not keep:
            self.close_connection = True
        self._answer(status, {"message": message})

    def _answer(self, status: int, content: dict[str, str]) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Quiet: a notebook is no place for an access log."""
