"""The statistics of a model that is loaded again while a load runs."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import tritonclient.http as httpclient

from lab_utils import server as triton
from lab_utils.load.crew import LoadError
from lab_utils.load.view import ServerView
from lab_utils.server.base import Server
from tests.server.conftest import add_model

pytestmark = pytest.mark.live


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    add_model(tmp_path / "repository", "double")
    options = ["--model-control-mode=explicit", "--load-model=double", "--disable-auto-complete-config"]
    found = triton.start(tmp_path / "repository", name="view", options=options, lifetime="kernel")
    yield found
    found.stop(timeout=0)


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_counters_wait_for_a_model_that_is_loaded_again(server: Server, protocol: str) -> None:
    view = ServerView(server, protocol, "double")
    with httpclient.InferenceServerClient(server.endpoints.http) as client:
        client.unload_model("double")
        for patience in (0.0, 0.2):
            with pytest.raises(LoadError, match="The model `double` cannot be loaded"):
                view.counters(patience)
    later = threading.Timer(0.5, load, [server.endpoints.http])
    later.start()
    assert view.counters(20).requests == 0
    later.join()
    view.close()


def load(address: str) -> None:
    with httpclient.InferenceServerClient(address) as client:
        client.load_model("double")
