"""One server with all worked examples, for all their tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import tritonclient.grpc as grpcclient

from lab_utils import server as triton
from lab_utils.progress.repository import copy_models
from lab_utils.server.base import Server
from tests.models.worked import MODELS


@pytest.fixture(scope="package")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """All examples as a lab copies them; auto-complete off, so that every config must be complete."""
    repository = tmp_path_factory.mktemp("worked") / "models"
    copy_models(MODELS, repository)
    options = ["--model-control-mode=explicit", "--load-model=*", "--disable-auto-complete-config"]
    server = triton.start(repository, name="worked", options=options, wait_for=MODELS)
    yield server
    server.stop()


@pytest.fixture(scope="package")
def client(server: Server) -> Iterator[grpcclient.InferenceServerClient]:
    with grpcclient.InferenceServerClient(server.endpoints.grpc) as client:
        yield client
