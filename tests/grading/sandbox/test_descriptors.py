"""Who grades many notebooks in one process may have many open files."""

from __future__ import annotations

import os
import resource

from lab_utils.grading.listening import _ready


def test_descriptors_from_1024_on_are_listened_to() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    reading, writing = os.pipe()
    try:
        high = os.dup2(reading, 1100 if hard == resource.RLIM_INFINITY else min(1100, hard - 1))
        assert high >= 1024
        assert _ready(high, writing, 0) == {writing}
        os.write(writing, b"x")
        assert _ready(high, None, 5) == {high}
        os.close(high)
    finally:
        os.close(reading)
        os.close(writing)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
