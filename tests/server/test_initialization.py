"""A server that runs on without being initialized is not waited for."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from lab_utils import server as triton
from lab_utils.server.base import Server, ServerError


@pytest.mark.live
@pytest.mark.parametrize("size", ["a-lot", "10"])
def test_a_wrong_cache_size_is_said_at_once(
    start: Callable[..., Server], repository: Path, size: str
) -> None:
    begin = time.monotonic()
    with pytest.raises(ServerError, match="could not be initialized") as caught:
        start(repository, name="cache", options=(f"--cache-config=local,size={size}",), timeout=30)
    assert time.monotonic() - begin < 15
    assert "response cache" in caught.value.why
    assert "LocalCache" in caught.value.details
    assert triton.find("cache") is None, "nothing runs on"
