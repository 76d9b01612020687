"""Small model repositories for the server's own tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lab_utils import server as triton
from lab_utils.server.base import Server

CONFIG = """
name: "{name}"
backend: "python"
max_batch_size: 8
input [ {{ name: "x" data_type: TYPE_FP32 dims: [ 4 ] }} ]
output [ {{ name: "y" data_type: TYPE_FP32 dims: [ 4 ] }} ]
instance_group [ {{ kind: KIND_CPU count: {count} }} ]
"""
MODEL = """
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        inputs = [pb_utils.get_input_tensor_by_name(r, "x").as_numpy() for r in requests]
        return [pb_utils.InferenceResponse([pb_utils.Tensor("y", 2 * x)]) for x in inputs]
"""
FAST = ("--disable-auto-complete-config", "--exit-timeout-secs=1")


def add_model(
    repository: Path, name: str, *, config: str | None = None, code: str = MODEL, count: int = 1
) -> Path:
    """Write a python-backend model that doubles its input; returns its folder."""
    folder = repository / name
    (folder / "1").mkdir(parents=True)
    (folder / "config.pbtxt").write_text(CONFIG.format(name=name, count=count) if config is None else config)
    (folder / "1" / "model.py").write_text(code)
    return folder


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with the one good model `double`."""
    add_model(tmp_path / "models", "double")
    return tmp_path / "models"


@pytest.fixture
def start(request: pytest.FixtureRequest) -> Iterator[Callable[..., Server]]:
    """`triton.start` under a name of this test; every server is stopped at the end."""
    started: list[Server] = []
    name = request.node.name.lower().replace("[", "-").replace("]", "").replace("_", "-")[:50].rstrip("-.")

    def run(repository: Path, *, options: tuple[str, ...] = FAST, **settings: object) -> Server:
        settings.setdefault("name", name)
        server = triton.start(repository, options=options, **settings)  # type: ignore[arg-type]
        started.append(server)
        return server

    yield run
    for server in started:
        server.stop()
