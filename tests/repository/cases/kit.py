"""What a case is, and short ways to write a model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import httpx

Outcome = Literal["refuse", "accept", "silent", "hang", "crash"]

PYTHON_MODEL = """\
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        inputs = [pb_utils.get_input_tensor_by_name(r, "x").as_numpy() for r in requests]
        return [pb_utils.InferenceResponse([pb_utils.Tensor("y", x)]) for x in inputs]
"""
PYTHON_CONFIG = """\
backend: "python"
max_batch_size: 8
input [ { name: "x" data_type: TYPE_FP32 dims: [ 4 ] } ]
output [ { name: "y" data_type: TYPE_FP32 dims: [ 4 ] } ]
instance_group [ { kind: KIND_CPU count: 1 } ]
"""


@dataclass(frozen=True)
class Loaded:
    """A model that Triton took, for the part of a case that looks closer."""

    url: str
    model: str

    def get(self, path: str) -> dict:
        """An answer of the HTTP API about this model: `get("config")`, `get("stats")`; "": its metadata."""
        answer = httpx.get(f"{self.url}/v2/models/{self.model}/{path}".rstrip("/"), timeout=10)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def infer(self, body: dict) -> httpx.Response:
        """One request with a JSON body."""
        return httpx.post(f"{self.url}/v2/models/{self.model}/infer", json=body, timeout=20)


@dataclass(frozen=True)
class Case:
    """One repository and what is true about it.

    Attributes:
        name: Name of the case and of its model; unique among all cases.
        build: Writes the model's folder (and those of other models) under the repository folder it gets.
        server: What Triton does on load. `refuse`: an error. `accept`: it serves it, and all is well.
            `silent`: it serves it, and does not do what is written. `hang`: the load never returns.
            `crash`: the server ends. The last two get a server of their own.
        rule: The lint rule that must fire on the model (severity error for refuse, hang and crash; warning
            for silent). None: lint finds nothing.
        explain: Words that the cause must hold, in any case of letters (refuse only). Never empty there.
        models: Other models that must be loaded first; `build` writes them too.
        auto: True: on the server with auto-complete (Triton's default); False: with auto-complete off.
        options: More options of tritonserver; the case then shares a server with those of equal options.
        shown: Looks at the loaded model and asserts that the silent thing is really not done.
    """

    name: str
    build: Callable[[Path], None]
    server: Outcome
    rule: str | None = None
    explain: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    auto: bool = False
    options: tuple[str, ...] = ()
    shown: Callable[[Loaded], None] | None = None


def write_model(
    repository: Path, name: str, config: str | bytes | None, files: Mapping[str, str | bytes | None]
) -> Path:
    """Write a model folder. `files` maps a path in it to its content; None makes an empty folder."""
    folder = repository / name
    folder.mkdir(parents=True)
    contents = dict(files)
    if config is not None:
        contents["config.pbtxt"] = config
    for path, content in contents.items():
        target = folder / path
        if content is None:
            target.mkdir(parents=True)
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


def python_model(repository: Path, name: str, config: str | bytes | None = PYTHON_CONFIG) -> Path:
    """A python-backend model that returns its input "x" (FP32 [4]) as "y"."""
    return write_model(repository, name, config, {"1/model.py": PYTHON_MODEL})


def onnx_model(
    repository: Path,
    name: str,
    config: str | bytes | None,
    *,
    shape: tuple[int | str, ...] = ("batch", 4),
    version: str = "1",
) -> Path:
    """An ONNX model that returns its input "x" (float) as "y"; a word in `shape` is a free dimension."""
    return write_model(repository, name, config, {f"{version}/model.onnx": onnx_bytes(shape)})


def onnx_bytes(shape: tuple[int | str, ...] = ("batch", 4)) -> bytes:
    """The file of `onnx_model`."""
    from onnx import TensorProto, checker, helper

    value = [helper.make_tensor_value_info(n, TensorProto.FLOAT, list(shape)) for n in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "identity", value[:1], value[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    checker.check_model(model)
    return model.SerializeToString()


def with_config(name: str, config: str | bytes) -> Callable[[Path], None]:
    """A `build` for a python-backend model with this config."""

    def build(repository: Path) -> None:
        python_model(repository, name, config)

    return build
