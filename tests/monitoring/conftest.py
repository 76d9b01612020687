"""One embedded Triton with models of known behaviour, for the tests of the monitoring."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from lab_utils import server as triton
from lab_utils.load import crew
from lab_utils.server.base import Server
from tests.monitoring import models


@pytest.fixture(scope="package")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with the models of `tests.monitoring.models`. Nothing is trained."""
    folder: Path = tmp_path_factory.mktemp("monitoring") / "repository"
    folder.mkdir()
    models.build(folder)
    return folder


@pytest.fixture(scope="package")
def server(repository: Path) -> Iterator[Server]:
    """The shared server, with summaries and a response cache. Tests use metrics as differences only."""
    options = [
        "--cache-config=local,size=16777216",
        "--metrics-config=summary_latencies=true",
        "--metrics-interval-ms=200",
        "--exit-timeout-secs=1",
    ]
    found = triton.start(repository, name="monitoring-tests", options=options, lifetime="kernel")
    try:
        yield found
    finally:
        crew.end_idle()
        found.stop()
