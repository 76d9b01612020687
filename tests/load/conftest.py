"""One embedded Triton with models of known behaviour, for all tests of the load generator."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from lab_utils import server as triton
from lab_utils.load import crew
from lab_utils.server.base import Server
from tests.load import models, speakers


@pytest.fixture(scope="package")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The shared server. Each test uses a model's statistics as differences only."""
    repository: Path = tmp_path_factory.mktemp("load") / "repository"
    repository.mkdir()
    models.build(repository)
    speakers.build(repository)
    options = [
        "--disable-auto-complete-config",
        "--cache-config=local,size=16777216",
        "--exit-timeout-secs=1",
    ]
    found = triton.start(repository, name="load-tests", options=options, lifetime="kernel")
    try:
        yield found
    finally:
        crew.end_idle()
        found.stop()


def statistics(server: Server, model: str) -> dict[str, int]:
    """A model's counters, asked without the library under test."""
    answer = httpx.get(f"{server.endpoints.http_url}/v2/models/{model}/stats", trust_env=False, timeout=10)
    (entry,) = answer.json()["model_stats"]
    return {
        "inferences": entry["inference_count"],
        "executions": entry["execution_count"],
        "requests": entry["inference_stats"]["success"]["count"],
        **{f"batch {b['batch_size']}": b["compute_infer"]["count"] for b in entry["batch_stats"]},
    }
