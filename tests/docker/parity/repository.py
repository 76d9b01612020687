"""The model repository that both servers get: one model of each kind that a student meets."""

from __future__ import annotations

from pathlib import Path

import numpy as np

_VECTOR = '{{ name: "{name}" data_type: TYPE_FP32 dims: [ {size} ] }}'
_CPU = "instance_group [ { kind: KIND_CPU count: 1 } ]\n"
MODELS = ("scores", "plain", "positive", "chain", "words", "raises")
"""The models that are loaded. `broken` and `late` are not: asking for them is a part of the test."""


def _write(root: Path, name: str, config: str, code: str = "") -> Path:
    folder = root / name
    (folder / "1").mkdir(parents=True)
    if config:
        (folder / "config.pbtxt").write_text(config)
    if code:
        (folder / "1" / "model.py").write_text(code)
    return folder


def _tensors(kind: str, name: str, size: int) -> str:
    return f"{kind} [ {_VECTOR.format(name=name, size=size)} ]\n"


def save_network(path: Path) -> None:
    """`y = tanh(x @ w)`, x FP32 `[n, 8]`, y FP32 `[n, 4]`."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    weights = np.random.default_rng(7).standard_normal((8, 4)).astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["xw"]), helper.make_node("Tanh", ["xw"], ["y"])],
        "scores",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 4])],
        [numpy_helper.from_array(weights, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, str(path))


POSITIVE = """
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        answers = []
        for request in requests:
            y = pb_utils.get_input_tensor_by_name(request, "y").as_numpy()
            answers.append(pb_utils.InferenceResponse([pb_utils.Tensor("z", y.clip(0))]))
        return answers
"""
WORDS = """
import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        for request in requests:
            text = pb_utils.get_input_tensor_by_name(request, "text").as_numpy()[0].decode()
            sender = request.get_response_sender()
            for word in text.split():
                tensor = pb_utils.Tensor("word", np.array([word.encode()], object))
                sender.send(pb_utils.InferenceResponse([tensor]))
            sender.send(flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
"""
RAISES = """
class TritonPythonModel:
    def execute(self, requests):
        raise ValueError("this model always fails")
"""
CHAIN = """
platform: "ensemble"
max_batch_size: 8
input [ { name: "x" data_type: TYPE_FP32 dims: [ 8 ] } ]
output [ { name: "z" data_type: TYPE_FP32 dims: [ 4 ] } ]
ensemble_scheduling { step [
  { model_name: "scores" model_version: -1
    input_map { key: "x" value: "x" } output_map { key: "y" value: "between" } },
  { model_name: "positive" model_version: -1
    input_map { key: "y" value: "between" } output_map { key: "z" value: "z" } }
] }
"""


def write_repository(root: Path) -> Path:
    """Write the repository; returns its folder."""
    x, y = _tensors("input", "x", 8), _tensors("output", "y", 4)
    batching = "dynamic_batching { preferred_batch_size: [ 4 ] max_queue_delay_microseconds: 100 }\n"
    onnx_head = 'platform: "onnxruntime_onnx"\nmax_batch_size: 8\n'
    save_network(_write(root, "scores", onnx_head + x + y + _CPU + batching) / "1" / "model.onnx")
    save_network(_write(root, "plain", "") / "1" / "model.onnx")
    python = 'backend: "python"\nmax_batch_size: 8\n'
    pair = _tensors("input", "y", 4) + _tensors("output", "z", 4) + _CPU
    _write(root, "positive", python + pair, POSITIVE)
    _write(root, "chain", CHAIN)
    text = 'input [ { name: "text" data_type: TYPE_STRING dims: [ 1 ] } ]\n'
    word = 'output [ { name: "word" data_type: TYPE_STRING dims: [ 1 ] } ]\n'
    decoupled = "model_transaction_policy { decoupled: true }\n"
    _write(root, "words", 'backend: "python"\n' + text + word + _CPU + decoupled, WORDS)
    _write(root, "raises", python + pair, RAISES)
    _write(root, "late", python + pair, POSITIVE)
    _write(root, "broken", python + pair + "max_batch: 8\n", POSITIVE)
    return root
