"""Reading along with HTTP/1.1 and HTTP/2: just enough to know what was asked and what is open.

The parsers never change, hold back or refuse a byte. What they do not understand they let pass and
stop looking, so a recorder cannot break a conversation.
Sources: RFC 9112 (message framing), RFC 9113 section 4.1 (HTTP/2 frame header).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_HEADERS_FRAME = 1
_RESET_FRAME = 3
_END_STREAM = 1


@dataclass(eq=False)
class Recorded:
    """One HTTP/1.1 request as it went over the wire.

    Attributes:
        method: `GET`, `POST`, …
        path: With its query, percent-encoded as sent.
        headers: Names in lower case.
        body: The first bytes of the body (chunked encoding removed).
        body_length: Bytes of the whole body.
        status: The status code of the answer; 0 while there is none.
    """

    method: str = ""
    path: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    body_length: int = 0
    status: int = 0


def is_http2(start: bytes) -> bool:
    """True when a connection begins with the preface of HTTP/2, which gRPC speaks."""
    return start[:14] == _PREFACE[:14]


class Flight:
    """The requests of one connection that have no complete answer yet."""

    def __init__(self, counter: Callable[[int], None]) -> None:
        self._counter = counter
        self._open: dict[Hashable, None] = {}

    @property
    def count(self) -> int:
        """How many are open."""
        return len(self._open)

    def start(self, key: Hashable) -> bool:
        """One more is open. False when it already was."""
        if key in self._open:
            return False
        self._open[key] = None
        self._counter(1)
        return True

    def oldest(self) -> Hashable:
        """The one that is answered next on an HTTP/1.1 connection; None when none is open."""
        return next(iter(list(self._open)), None)

    def end(self, key: Hashable) -> None:
        """It is answered."""
        if key in self._open:
            del self._open[key]
            self._counter(-1)

    def clear(self) -> None:
        """The connection is gone."""
        for key in list(self._open):
            self.end(key)


class Http1Parser:
    """One direction of an HTTP/1.1 connection, message after message."""

    def __init__(
        self,
        kind: str,
        keep: int,
        on_start: Callable[[Recorded], None],
        on_end: Callable[[Recorded], None] | None = None,
    ) -> None:
        """Watch `kind` (`"request"` or `"response"`) and keep `keep` bytes of each body."""
        self._kind = kind
        self._keep = keep
        self._on_start = on_start
        self._on_end = on_end or (lambda message: None)
        self._head = bytearray()
        self._message: Recorded | None = None
        self._left = 0
        self._chunked = False
        self._state = "head"

    @property
    def between_messages(self) -> bool:
        """True when the next byte begins a new message."""
        return self._state == "head" and not self._head

    def feed(self, data: memoryview | bytes) -> None:
        """The next bytes of this direction."""
        view = memoryview(data)
        while len(view) and self._state != "lost":
            view = view[self._step(view) :]

    def _step(self, view: memoryview) -> int:
        """Use up some bytes; returns how many."""
        if self._state == "body":
            return self._body(view)
        if self._state == "until close":
            self._store(view)
            return len(view)
        # Head, chunk size and trailer all end with a line break: collect until it is there.
        already = len(self._head)
        self._head += view
        end_mark = b"\r\n\r\n" if self._state == "head" else b"\r\n"
        end = self._head.find(end_mark, max(0, already - 3))
        if end < 0:
            if len(self._head) > 1 << 20:
                self._state = "lost"
            return len(view)
        text = bytes(self._head[:end])
        used = end + len(end_mark) - already
        self._head.clear()
        if self._state == "head":
            self._start(text)
        elif self._state == "chunk size":
            self._chunk(text)
        elif self._state == "chunk end":
            self._state = "chunk size"
        elif not text:  # the empty line after the trailers
            self._end()
        return used

    def _start(self, text: bytes) -> None:
        first, *lines = text.decode("latin-1").lstrip("\r\n").split("\r\n")
        words = first.split(" ")
        message = Recorded()
        message.headers = {
            name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)
        }
        try:
            if self._kind == "request":
                message.method, message.path, version = words
                if not version.startswith("HTTP/1."):
                    raise ValueError(version)
            else:
                message.status = int(words[1])
        except (IndexError, ValueError):
            self._state = "lost"
            return
        self._message = message
        if 100 <= message.status < 200:
            return  # an interim answer (100 Continue): the real one follows
        self._on_start(message)
        self._chunked = "chunked" in message.headers.get("transfer-encoding", "").lower()
        bodiless = self._kind == "response" and (message.method == "HEAD" or message.status in (204, 304))
        if bodiless:
            self._end()
        elif self._chunked:
            self._state = "chunk size"
        elif "content-length" in message.headers:
            self._length(message.headers["content-length"])
        elif self._kind == "response":
            self._state = "until close"
        else:
            self._end()

    def _length(self, text: str) -> None:
        if not text.isdigit():
            self._state = "lost"
        elif int(text) == 0:
            self._end()
        else:
            self._left, self._state = int(text), "body"

    def _chunk(self, text: bytes) -> None:
        try:
            self._left = int(text.split(b";")[0], 16)
        except ValueError:
            self._state = "lost"
            return
        self._state = "body" if self._left else "trailer"

    def _body(self, view: memoryview) -> int:
        part = view[: self._left]
        self._store(part)
        self._left -= len(part)
        if self._left == 0:
            if self._chunked:
                self._state = "chunk end"
            else:
                self._end()
        return len(part)

    def _store(self, part: memoryview) -> None:
        message = self._message
        if message is None:
            return
        room = self._keep - len(message.body)
        if room > 0:
            message.body += bytes(part[:room])
        message.body_length += len(part)

    def _end(self) -> None:
        self._state = "head"
        if self._message is not None:
            self._on_end(self._message)
        self._message = None


class Http2Parser:
    """One direction of an HTTP/2 connection: which streams open and which end."""

    def __init__(
        self,
        *,
        on_headers: Callable[[int], None] | None = None,
        on_end: Callable[[int], None] | None = None,
        preface: bool = False,
    ) -> None:
        """Call back with the stream's number on its headers and on its end."""
        self._on_headers = on_headers or (lambda stream: None)
        self._on_end = on_end or (lambda stream: None)
        self._skip = len(_PREFACE) if preface else 0
        self._head = b""

    @property
    def between_messages(self) -> bool:
        """True when the next byte begins a new frame."""
        return not self._skip and not self._head

    def feed(self, data: memoryview | bytes) -> None:
        """The next bytes of this direction."""
        view = memoryview(data)
        while len(view):
            if self._skip:
                step = min(self._skip, len(view))
                self._skip -= step
                view = view[step:]
                continue
            need = 9 - len(self._head)
            self._head += bytes(view[:need])
            view = view[need:]
            if len(self._head) == 9:
                self._frame(self._head)
                self._head = b""

    def _frame(self, head: bytes) -> None:
        self._skip = int.from_bytes(head[:3], "big")
        kind, flags = head[3], head[4]
        stream = int.from_bytes(head[5:9], "big") & 0x7FFFFFFF
        if kind == _HEADERS_FRAME:
            self._on_headers(stream)
        if kind == _RESET_FRAME or (kind in (0, _HEADERS_FRAME) and flags & _END_STREAM):
            self._on_end(stream)
