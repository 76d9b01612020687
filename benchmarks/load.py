"""A closed-loop HTTP load generator with little overhead. Standard library only.

N keep-alive connections; each sends the same prepared bytes again as soon as its answer is complete.
One thread and epoll: some 25 µs of CPU a request, so that the server is measured and not the client.
Runs as a program of its own, so that it shares no interpreter lock with anything:

    python load.py ADDRESS MESSAGE_FILE CONNECTIONS SECONDS      prints one JSON object
"""

from __future__ import annotations

import json
import selectors
import socket
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path


@dataclass
class Stream:
    """One connection: bytes of the answer so far, its full length once known, when it was asked (s)."""

    connection: socket.socket
    received: bytearray = field(default_factory=bytearray)
    expected: int = 0
    asked: float = 0.0


@dataclass(frozen=True)
class Result:
    """What one load gave: answers, errors, wall and client CPU seconds, latency quantiles (ms)."""

    answers: int
    errors: int
    seconds: float
    cpu_seconds: float
    p50: float
    p99: float

    @property
    def per_second(self) -> float:
        """Good answers a second."""
        return self.answers / self.seconds

    @property
    def client_share(self) -> float:
        """Share of one core that the client used: near 1, the client is the limit."""
        return self.cpu_seconds / self.seconds


def content_length(head: bytes) -> int:
    """Length of the body that follows these header lines."""
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    raise ValueError(f"an answer without Content-Length: {head[:200]!r}")


def connect(address: str) -> socket.socket:
    """A connection without delay for small packets."""
    host, port = address.rsplit(":", 1)
    connection = socket.create_connection((host, int(port)), timeout=60)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def run(address: str, message: bytes, connections: int, seconds: float, warm_up: float = 0.2) -> Result:
    """Load a server for some seconds (after a warm-up) and count.

    Args:
        address: `host:port`.
        message: The whole HTTP request. Small enough for the socket's buffer.
        connections: Requests in flight at any time.
        seconds: How long to measure.
        warm_up: Seconds of load before the measurement.
    """
    selector = selectors.DefaultSelector()
    for _ in range(connections):
        stream = Stream(connect(address))
        selector.register(stream.connection, selectors.EVENT_READ, stream)
        stream.connection.sendall(message)
        stream.asked = time.perf_counter()
    began, cpu = time.perf_counter() + warm_up, 0.0
    end = began + seconds
    latencies: list[float] = []
    errors, warm = 0, False
    now = time.perf_counter()
    while now < end:
        ready = selector.select(timeout=5)
        now = time.perf_counter()
        if not warm and now >= began:
            warm, began, cpu, errors = True, now, time.process_time(), 0
            latencies.clear()
        for key, _ in ready:
            stream = key.data
            data = stream.connection.recv(262144)
            if not data:
                raise ConnectionError("the server closed a connection under load")
            stream.received += data
            if not stream.expected:
                head = stream.received.find(b"\r\n\r\n")
                if head < 0:
                    continue
                stream.expected = head + 4 + content_length(bytes(stream.received[:head]))
            if len(stream.received) < stream.expected:
                continue
            if stream.received[9:12] == b"200":
                latencies.append(now - stream.asked)
            else:
                errors += 1
            stream.received.clear()
            stream.expected = 0
            stream.asked = time.perf_counter()
            stream.connection.sendall(message)
    spent, used = time.perf_counter() - began, time.process_time() - cpu
    for key in list(selector.get_map().values()):
        key.data.connection.close()
    latencies.sort()
    if not latencies:
        raise ConnectionError(f"no good answer in {seconds} s ({errors} errors)")
    return Result(
        answers=len(latencies),
        errors=errors,
        seconds=spent,
        cpu_seconds=used,
        p50=1e3 * latencies[len(latencies) // 2],
        p99=1e3 * latencies[int(len(latencies) * 0.99)],
    )


if __name__ == "__main__":
    target, message_file, in_flight, duration = sys.argv[1:]
    print(json.dumps(asdict(run(target, Path(message_file).read_bytes(), int(in_flight), float(duration)))))
