"""A running engine, or SKIP with the reason; at its end nothing of it is left."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docker.real_engine import CannotRun, RealEngine


@contextlib.contextmanager
def started_engine(path: str = "") -> Iterator[RealEngine]:
    """A real dockerd of its own. A test may stop and start it meanwhile.

    Args:
        path: A folder whose programs dockerd finds first.
    """
    # pytest's own temporary paths are too long for a socket.
    with tempfile.TemporaryDirectory(prefix="tld") as folder:
        Path(folder).chmod(0o755)  # so that it is the socket itself that refuses other users
        made = RealEngine(Path(folder) / "e", path=path)
        try:
            made.start()
            with made.network():
                pass
        except CannotRun as reason:
            made.stop()
            pytest.skip(f"no container engine can run here: {reason}")
        try:
            yield made
        finally:
            made.stop()
        assert made.remains() == []
