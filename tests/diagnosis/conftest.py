"""One real server in explicit mode for all broken models, and short ways to write them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from lab_utils import server as triton
from lab_utils.server.base import Server

TENSORS = (
    'input [ { name: "x" data_type: TYPE_FP32 dims: [ 4 ] } ]\n'
    'output [ { name: "y" data_type: TYPE_FP32 dims: [ 4 ] } ]\n'
)
ECHO = """\
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        inputs = [pb_utils.get_input_tensor_by_name(r, "x").as_numpy() for r in requests]
        return [pb_utils.InferenceResponse([pb_utils.Tensor("y", x)]) for x in inputs]
"""


def write(repository: Path, name: str, config: str | None, files: dict[str, str | bytes]) -> Path:
    """A model folder with a config and any files."""
    folder = repository / name
    for path, content in (files | ({} if config is None else {"config.pbtxt": config})).items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        data = content.encode() if isinstance(content, str) else content
        (folder / path).write_bytes(data)
    return folder


def python(extra: str = "", *, tensors: str = TENSORS, batch: str = "8") -> str:
    """A config of the python backend; `extra` is its last part and begins at line 5."""
    return f'backend: "python"\nmax_batch_size: {batch}\n{tensors}{extra}'


@pytest.fixture(scope="package")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server in explicit mode on an empty repository."""
    repository = tmp_path_factory.mktemp("diagnosis") / "models"
    repository.mkdir()
    server = triton.start(
        repository,
        name="diagnosis",
        lifetime="kernel",
        options=["--model-control-mode=explicit", "--disable-auto-complete-config", "--exit-timeout-secs=1"],
    )
    yield server
    server.stop()


def load(server: Server, model: str) -> int:
    """Ask for a load; the HTTP status."""
    url = f"{server.endpoints.http_url}/v2/repository/models/{model}/load"
    return httpx.post(url, timeout=30, trust_env=False).status_code
