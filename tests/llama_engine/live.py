"""Short ways to ask the model `llama` on a real server, and to wait for its metrics."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.llama_client import Answer, Stream, metrics, post, tensors
from lab_utils.server.base import Server

__all__ = ["Answer", "Stream", "metrics", "post", "settle", "stream", "tensors"]


@contextmanager
def stream(server: Server) -> Iterator[Stream]:
    one = Stream(server)
    try:
        yield one
    finally:
        one.close()


def settle(server: Server, **wanted: float) -> dict[str, float]:
    """Wait until metrics have these values (they come four times per second)."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        found = metrics(server)
        if all(found.get(name) == value for name, value in wanted.items()):
            return found
        time.sleep(0.05)
    raise AssertionError(f"{ {name: found.get(name) for name in wanted} } are not {wanted}")
