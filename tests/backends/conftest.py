"""One embedded Triton for all tests of the backends; models are loaded one by one."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc
import tritonclient.http
from tritonclient.utils import InferenceServerException

from lab_utils import server as triton

CLIENTS = {"http": tritonclient.http, "grpc": tritonclient.grpc}


class Bench:
    """A server with an empty repository, and short ways to add, load and call a model."""

    def __init__(self, server: Any, repository: Path) -> None:
        self.server = server
        self.repository = repository
        self.http = tritonclient.http.InferenceServerClient(server.endpoints.http, concurrency=8)
        self.grpc = tritonclient.grpc.InferenceServerClient(server.endpoints.grpc)

    def close(self) -> None:
        """An open HTTP connection would hold up the server's shutdown."""
        self.http.close()
        self.grpc.close()

    def add(self, name: str, build: Callable[[Path], Any], config: str | None, *, version: str = "1") -> None:
        """Write a model: `build` gets the path `<name>/<version>` and puts the file there."""
        folder = self.repository / name
        (folder / version).mkdir(parents=True, exist_ok=True)
        build(folder / version)
        if config is not None:
            (folder / "config.pbtxt").write_text(config)

    def load(self, name: str) -> None:
        """Load a model. Raises `InferenceServerException` when Triton refuses it."""
        self.http.load_model(name)
        assert self.http.is_model_ready(name)

    def refusal(self, name: str) -> str:
        """Load a model that must not load; gives Triton's reason."""
        with pytest.raises(InferenceServerException) as caught:
            self.grpc.load_model(name)  # the gRPC client may be used from several threads
        return str(caught.value.message())

    def infer(
        self,
        name: str,
        inputs: dict[str, tuple[str, np.ndarray]],
        *,
        protocol: str = "http",
        outputs: list[str] | None = None,
        version: str = "",
    ) -> dict[str, np.ndarray]:
        """Ask a model; `inputs` maps a name to (Triton data type, array)."""
        module: ModuleType = CLIENTS[protocol]
        sent = []
        for key, (kind, value) in inputs.items():
            tensor = module.InferInput(key, list(value.shape), kind)
            tensor.set_data_from_numpy(value)
            sent.append(tensor)
        wanted = [module.InferRequestedOutput(o) for o in outputs] if outputs else None
        client = getattr(self, protocol)
        answer = client.infer(name, sent, outputs=wanted, model_version=version)
        response = answer.get_response()
        if protocol == "http":
            names = [o["name"] for o in response["outputs"]]
        else:
            names = [o.name for o in response.outputs]
        return {n: answer.as_numpy(n) for n in names}

    def statistics(self, name: str) -> SimpleNamespace:
        """Counters of a model's first version."""
        stats = self.http.get_inference_statistics(name)["model_stats"][0]
        return SimpleNamespace(inferences=stats["inference_count"], executions=stats["execution_count"])


@pytest.fixture(scope="package")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """The shared server, in explicit model control mode."""
    home = tmp_path_factory.mktemp("backends")
    repository = home / "repository"
    repository.mkdir()
    patch = pytest.MonkeyPatch()
    for variable in ("HOME", "CACHE", "WORK"):
        patch.setenv(f"TRITON_LAB_{variable}", str(home / variable.lower()))
    server = triton.start(
        repository,
        name="backend-tests",
        runtime="embedded",
        lifetime="kernel",
        options=["--model-control-mode=explicit", "--log-verbose=0"],
    )
    bench = Bench(server, repository)
    try:
        yield bench
    finally:
        bench.close()
        server.stop()
        patch.undo()
        shutil.rmtree(home, ignore_errors=True)
