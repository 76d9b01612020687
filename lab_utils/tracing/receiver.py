"""A small receiver for Triton's traces: OTLP over HTTP as JSON, on loopback, in this process."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from lab_utils.server.docker_host import WayBack, way_back
from lab_utils.server.ports import LOOPBACK, holder
from lab_utils.tracing.context import new_context
from lab_utils.tracing.http_server import PATH, Listener
from lab_utils.tracing.spans import Span, Trace, TraceError, join

MAX_SPANS = 20_000
"""Older spans make room for newer ones: some 20 MB."""
MAX_ERRORS = 100


@dataclass(frozen=True)
class ReceiverError:
    """A request that was refused.

    Attributes:
        at: Seconds since 1970.
        status: The HTTP status that the sender got.
        message: What was wrong with it.
    """

    at: float
    status: int
    message: str


@dataclass(frozen=True)
class ClientSpan:
    """The client's own span around a request, see `TraceReceiver.client_span`.

    Attributes:
        headers: For the request: `client.infer(..., headers=span.headers)`, HTTP and gRPC alike.
        trace_id: 32 hex digits.
    """

    headers: dict[str, str]
    trace_id: str


class TraceReceiver:
    """Takes what Triton sends, and keeps the spans.

        with TraceReceiver() as receiver:
            lab.start(options=trace_options(receiver))
            header, trace_id = new_traceparent()
            client.infer("mnist_mlp", inputs, headers={"traceparent": header})
            draw_waterfall(receiver.wait_for(trace_id))

    A Triton whose receiver is not there goes on serving, and the spans of that time are lost. When
    the receiver starts again, at the same port, Triton finds it again.

    It listens on 127.0.0.1; with the docker runtime on the address under which containers reach this machine.

    Args:
        port: The port; 0: a free one, which stays the same after `stop` and `start`.
        max_spans: How many spans are kept at most; the oldest are dropped.
    """

    def __init__(self, port: int = 0, *, max_spans: int = MAX_SPANS) -> None:
        self.port = port
        self.dropped = 0
        self._spans: deque[Span] = deque(maxlen=max_spans)
        self._errors: deque[ReceiverError] = deque(maxlen=MAX_ERRORS)
        self._news = threading.Condition()
        self._way = WayBack(LOOPBACK, LOOPBACK)
        self._server: Listener | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> TraceReceiver:
        """Listen. Does nothing when it listens already.

        Raises:
            TraceError: The port is taken.
        """
        if self._server is not None:
            return self
        self._way = way_back()
        try:
            self._server = Listener((self._way.listen, self.port), self._take, self._refuse)
        except OSError as error:
            raise TraceError(
                f"The receiver cannot listen on port {self.port}.",
                why=f"{holder(self.port)} listens on it: {error}",
                fix="Give another port, or 0 for a free one.",
            ) from None
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, name="traces", daemon=True
        )
        self._thread.start()
        return self

    def stop(self) -> None:
        """Stop listening and close all connections. What has been received stays."""
        server, self._server = self._server, None
        if server is not None:
            server.shutdown()
            server.server_close()
            server.hang_up()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def __enter__(self) -> TraceReceiver:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """Where Triton must send its traces. Raises `TraceError` before the first `start`."""
        if not self.port:
            raise TraceError(
                "The receiver has no address yet.", why="It has not been started.", fix="Call its start()."
            )
        return f"http://{self._way.name}:{self.port}{PATH}"

    @property
    def spans(self) -> list[Span]:
        """All spans that are kept, in the order in which they came."""
        with self._news:
            return list(self._spans)

    @property
    def traces(self) -> dict[str, Trace]:
        """The spans joined to traces, by trace id, in the order in which the traces began."""
        return join(self.spans)

    @property
    def errors(self) -> list[ReceiverError]:
        """The last refused requests: malformed bodies, wrong paths, wrong formats."""
        with self._news:
            return list(self._errors)

    def clear(self) -> None:
        """Forget all spans and errors."""
        with self._news:
            self._spans.clear()
            self._errors.clear()
            self.dropped = 0

    def wait_for(self, trace_id: str, timeout: float = 10.0) -> Trace:
        """Wait until a trace is whole: Triton sends spans some time after the request.

        Args:
            trace_id: As `new_traceparent` gave it.
            timeout: Seconds.

        Raises:
            TraceError: It did not come, or not all of it; says what did.
        """

        def found() -> Trace | None:
            trace = join(span for span in self._spans if span.trace_id == trace_id).get(trace_id)
            return trace if trace and trace.whole else None

        trace = self._wait(found, timeout)
        if trace is None:
            raise self._missing(f"The trace {trace_id} did not come whole in {timeout:g} s.", trace_id)
        return trace

    def wait_for_request(self, request_id: str, timeout: float = 10.0) -> Trace:
        """Wait until the trace of a request is whole, found by the `request_id` that the client gave.

        The way to be sure of a trace over gRPC, where Triton 24.10 loses some `traceparent`s.

        Args:
            request_id: As in `client.infer(..., request_id="...")`; one that no other request has.
            timeout: Seconds.

        Raises:
            TraceError: It did not come.
        """

        def found() -> Trace | None:
            named = [s.trace_id for s in self._spans if s.attributes.get("triton.request_id") == request_id]
            traces = join(span for span in self._spans if span.trace_id in named)
            return next((trace for trace in traces.values() if trace.whole), None)

        trace = self._wait(found, timeout)
        if trace is None:
            raise self._missing(f"No whole trace of the request `{request_id}` came in {timeout:g} s.", "")
        return trace

    def wait_for_traces(self, count: int, timeout: float = 10.0) -> dict[str, Trace]:
        """Wait until so many whole traces are here; returns all whole ones.

        Raises:
            TraceError: Fewer came in time.
        """

        def found() -> dict[str, Trace] | None:
            whole = {key: trace for key, trace in join(self._spans).items() if trace.whole}
            return whole if len(whole) >= count else None

        traces = self._wait(found, timeout)
        if traces is None:
            have = sum(trace.whole for trace in self.traces.values())
            raise self._missing(f"{have} of {count} traces came in {timeout:g} s.", "")
        return traces

    @contextlib.contextmanager
    def client_span(self, name: str = "client", *, parent: str = "") -> Iterator[ClientSpan]:
        """Measure what the client waits, as a span above Triton's own, in the same trace.

            with receiver.client_span("my program") as span:
                client.infer("mnist_mlp", inputs, headers=span.headers)

        What lies in this span and not in Triton's is packing, network and waiting in the client.
        Client and server must share a clock, so be on one machine.

        Args:
            name: The span's name.
            parent: The `traceparent` that made us ask, if there is one.
        """
        context = new_context(parent)
        above = parent.split("-")[2] if parent else ""
        began, clock = time.time_ns(), time.perf_counter_ns()
        try:
            yield ClientSpan({"traceparent": str(context)}, context.trace_id)
        finally:
            # By the steady clock: a correction of the machine's time must not bend a duration.
            ended = began + time.perf_counter_ns() - clock
            self._take([Span(name, context.trace_id, context.span_id, above, began, ended)])

    def _wait(self, found: Callable[[], Any], timeout: float) -> Any:
        with self._news:
            return self._news.wait_for(found, timeout) or None

    def _take(self, spans: list[Span]) -> None:
        with self._news:
            room = (self._spans.maxlen or 0) - len(self._spans)
            self.dropped += max(0, len(spans) - room)
            self._spans.extend(spans)
            self._news.notify_all()

    def _refuse(self, status: int, message: str) -> None:
        with self._news:
            self._errors.append(ReceiverError(time.time(), status, message[:500]))
            self._news.notify_all()

    def _missing(self, what: str, trace_id: str) -> TraceError:
        spans, errors = self.spans, self.errors
        part = [span.name for span in spans if trace_id and span.trace_id == trace_id]
        if part:
            why = f"Only these spans of it are here: {', '.join(part)}."
            fix = "Wait longer, or ask again: the rest was lost or is still on its way."
        elif errors:
            why = f"The receiver refused what came: {errors[-1].message}"
            fix = "See `receiver.errors`. Only OTLP over HTTP as JSON is understood."
        elif self._server is None:
            why, fix = "The receiver is stopped.", "Call its start(), then ask again."
        elif spans:
            why = "Other traces did come. Refused requests (wrong shape, wrong name) have no trace, and over "
            why += "gRPC Triton 24.10 loses some `traceparent`s and makes an id of its own."
            fix = "Check that the request was answered and carried the header; then ask over HTTP, or give a "
            fix += "request_id and use wait_for_request()."
        else:
            why = "Nothing came at all."
            fix = "Start the server with trace_options(receiver), and check that the request reached it."
        return TraceError(what, why=why, fix=fix)
