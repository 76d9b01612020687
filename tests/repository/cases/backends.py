"""Platforms, backends, parameters, and what stands in the ONNX, TorchScript and Python files."""

from __future__ import annotations

import functools
import io
import pickle
from pathlib import Path

import pytest

from tests.repository.cases.kit import (
    PYTHON_CONFIG,
    PYTHON_MODEL,
    Case,
    Loaded,
    Outcome,
    onnx_bytes,
    write_model,
)
from tests.repository.cases.layout import ONNX, ONNX_CONFIG, PY, folder, says

PT_CONFIG = ONNX_CONFIG.replace("onnxruntime_onnx", "pytorch_libtorch")


def backend(name: str, line: str, rule: str | None, *explain: str, server: Outcome = "refuse") -> Case:
    """The Python model with another line in place of its backend."""
    return folder(name, PYTHON_CONFIG.replace('backend: "python"', line), PY, rule, *explain, server=server)


def onnx(
    name: str,
    old: str,
    new: str,
    rule: str | None,
    *explain: str,
    shape: tuple[int | str, ...] = ("batch", 4),
    server: Outcome = "refuse",
) -> Case:
    """The identity in ONNX with one place of its config changed."""
    assert old in ONNX_CONFIG, old
    config = ONNX_CONFIG.replace(old, new, 1)
    return folder(name, config, {"1/model.onnx": onnx_bytes(shape)}, rule, *explain, server=server)


def parameter(key: str, value: str) -> str:
    """One entry of `parameters`."""
    return f'parameters {{ key: "{key}" value {{ string_value: "{value}" }} }}\n'


@functools.cache
def torch_bytes(kind: str) -> bytes:
    """A file that PyTorch writes: TorchScript of `forward(self, a, b)`, a state_dict, or a whole module."""
    import warnings

    torch = pytest.importorskip("torch", reason="PyTorch is not installed: make test EXTRAS=torch")

    buffer = io.BytesIO()
    if kind == "script":

        class Plus(torch.nn.Module):
            def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
                return a + b

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            torch.jit.save(torch.jit.trace(Plus(), (torch.ones(1, 4), torch.ones(1, 4))), buffer)
    elif kind == "state_dict":
        torch.save(torch.nn.Linear(2, 2).state_dict(), buffer)
    else:
        torch.save(torch.nn.Linear(2, 2), buffer)
    return buffer.getvalue()


def torchscript(
    name: str,
    inputs: list[str],
    rule: str | None,
    *explain: str,
    kind: str = "script",
    server: Outcome = "refuse",
) -> Case:
    """A TorchScript model with inputs of these names."""
    entries = ", ".join(f'{{ name: "{n}" data_type: TYPE_FP32 dims: [ 4 ] }}' for n in inputs)
    config = PT_CONFIG.replace(
        'input [ { name: "x" data_type: TYPE_FP32 dims: [ 4 ] } ]', f"input [ {entries} ]"
    )

    def build(repository: Path) -> None:
        data = pickle.dumps({"weights": [1.0]}) if kind == "pickle" else torch_bytes(kind)
        write_model(repository, name, config, {"1/model.pt": data})

    return Case(name, build, server, rule, explain)


def python(
    name: str, code: str, rule: str | None, *explain: str, server: Outcome = "refuse", **more: object
) -> Case:
    """The Python model with other code."""
    return folder(name, PYTHON_CONFIG, {"1/model.py": code}, rule, *explain, server=server, **more)


def _every_request_fails(loaded: Loaded) -> None:
    data = {"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [1, 2, 3, 4]}
    assert loaded.infer({"inputs": [data]}).status_code >= 400


SIZE, X, Y = (
    "max_batch_size: 8",
    'name: "x" data_type: TYPE_FP32 dims: [ 4 ]',
    'name: "y" data_type: TYPE_FP32 dims: [ 4 ]',
)
CASES = [
    backend("backend_misspelt", 'backend: "pythn"', "unknown-backend", "pythn"),
    backend("backend_not_here", 'backend: "vllm"', "unknown-backend", "vllm"),
    backend("platform_of_tensorrt", 'platform: "tensorrt_plan"', "unknown-backend", "tensorrt"),
    backend("platform_of_tensorflow", 'platform: "tensorflow_savedmodel"', "unknown-backend", "tensorflow"),
    backend("platform_onnxruntime", 'platform: "onnxruntime"', "unknown-platform", "onnxruntime"),
    backend("platform_python", 'platform: "python"', "unknown-platform", "python"),
    backend("platform_unknown", 'platform: "pytorch_torchscript"', "unknown-platform", "pytorch_torchscript"),
    backend(
        "platform_and_backend_differ",
        'platform: "onnxruntime_onnx" backend: "python"',
        "platform-ignored",
        server="silent",
    ),
    backend("backend_left_out", "", None, server="accept"),
    backend("runtime_missing", 'backend: "python" runtime: "libmine.so"', "runtime-missing", "libmine.so"),
    backend(
        "agent_unknown",
        'backend: "python" model_repository_agents { agents { name: "checksum" } }',
        "unknown-agent",
        "checksum",
    ),
    folder(
        "parameter_unknown",
        ONNX_CONFIG + parameter("intra_op_threads", "1"),
        ONNX,
        "unknown-parameter",
        "intra_op_threads",
    ),
    folder(
        "parameter_no_number",
        ONNX_CONFIG + parameter("intra_op_thread_count", "one"),
        ONNX,
        "parameter-value",
        "intra_op_thread_count",
    ),
    folder(
        "parameter_force_cpu",
        PYTHON_CONFIG + parameter("FORCE_CPU_ONLY_INPUT_TENSORS", "true"),
        PY,
        "parameter-value",
        "FORCE_CPU_ONLY",
    ),
    folder(
        "parameter_environment_missing",
        PYTHON_CONFIG + parameter("EXECUTION_ENV_PATH", "$$TRITON_MODEL_DIRECTORY/env.tar.gz"),
        PY,
        "parameter-value",
        "env.tar.gz",
    ),
    folder(
        "parameter_known", ONNX_CONFIG + parameter("intra_op_thread_count", "1"), ONNX, None, server="accept"
    ),
    folder(
        "accelerator_tensorrt",
        ONNX_CONFIG
        + 'optimization { execution_accelerators { gpu_execution_accelerator { name: "tensorrt" } } }\n',
        ONNX,
        "accelerator",
        "tensorrt",
    ),
    onnx("onnx_fixed_batch", SIZE, SIZE, "onnx-batch", "batch", shape=(3, 4)),
    onnx("onnx_no_batch_dimension", SIZE, SIZE, "onnx-batch", "batch", shape=(4,)),
    onnx("onnx_batch_in_dims", X, 'name: "x" data_type: TYPE_FP32 dims: [ -1, 4 ]', "onnx-dims", "dim"),
    onnx("onnx_no_batching_short_dims", SIZE, "max_batch_size: 0", "onnx-dims", "dim"),
    onnx("onnx_other_dims", X, 'name: "x" data_type: TYPE_FP32 dims: [ 5 ]', "onnx-dims", "dim"),
    onnx("onnx_open_dims", X, 'name: "x" data_type: TYPE_FP32 dims: [ -1 ]', "onnx-dims", "dim"),
    onnx("onnx_output_dims", Y, 'name: "y" data_type: TYPE_FP32 dims: [ 4, 1 ]', "onnx-dims", "dim"),
    onnx("onnx_data_type", X, 'name: "x" data_type: TYPE_FP64 dims: [ 4 ]', "onnx-data-type", "TYPE_FP64"),
    onnx("onnx_input_capital", X, 'name: "X" data_type: TYPE_FP32 dims: [ 4 ]', "onnx-inputs", "X"),
    onnx(
        "onnx_input_extra",
        X,
        f'{X} }}, {{ name: "z" data_type: TYPE_FP32 dims: [ 4 ]',
        "onnx-inputs",
        "input",
    ),
    onnx(
        "onnx_output_extra", Y, f'{Y} }}, {{ name: "z" data_type: TYPE_FP32 dims: [ 4 ]', "onnx-outputs", "z"
    ),
    onnx("onnx_ragged", X, f"{X} allow_ragged_batch: true", "ragged-refused", "ragged"),
    onnx("onnx_optional", X, f"{X} optional: true", "onnx-optional", "input"),
    onnx("onnx_fixed_dims_of_open_file", X, X, None, shape=("batch", 4), server="accept"),
    onnx(
        "onnx_reshape",
        X,
        'name: "x" data_type: TYPE_FP32 dims: [ 2, 2 ] reshape { shape: [ 4 ] }',
        None,
        server="accept",
    ),
    folder("onnx_damaged", ONNX_CONFIG, {"1/model.onnx": onnx_bytes()[:40]}, "onnx-broken", "ONNX"),
    folder("onnx_is_text", ONNX_CONFIG, {"1/model.onnx": "not a model"}, "onnx-broken", "ONNX"),
    folder(
        "onnx_completed",
        'platform: "onnxruntime_onnx"\ninstance_group { kind: KIND_CPU }\n',
        ONNX,
        None,
        server="accept",
        auto=True,
    ),
    folder(
        "onnx_completed_fixed_batch",
        'platform: "onnxruntime_onnx"\nmax_batch_size: 8\n',
        {"1/model.onnx": onnx_bytes((3, 4))},
        "onnx-batch",
        "batch",
        auto=True,
    ),
    torchscript("torch_names", ["a", "b"], None, server="accept"),
    torchscript("torch_too_few_inputs", ["a"], "torch-inputs", "input"),
    torchscript("torch_too_many_inputs", ["a", "b", "c"], "torch-inputs", "input"),
    torchscript("torch_indices_with_gap", ["INPUT__0", "INPUT__2"], "torch-inputs", "INPUT__2"),
    torchscript("torch_state_dict", ["x"], "not-torchscript", "torch.save", kind="state_dict"),
    torchscript("torch_whole_module", ["x"], "not-torchscript", "torch.save", kind="module"),
    torchscript("torch_pickle", ["x"], "not-torchscript", "pickle", kind="pickle"),
    folder("torch_is_onnx", PT_CONFIG, {"1/model.pt": onnx_bytes()}, "not-torchscript", "ONNX"),
    folder(
        "torch_without_tensors",
        'platform: "pytorch_libtorch"\n',
        {"1/model.pt": b"x"},
        "torch-no-tensors",
        "input",
        auto=True,
    ),
    python(
        "python_syntax",
        "class TritonPythonModel:\n    def execute(self, requests)\n",
        "python-syntax",
        "line 2",
    ),
    python("python_two", PYTHON_MODEL + "\nprint 'loaded'\n", "python-syntax", "line 9"),
    python("python_tabs", PYTHON_MODEL.replace("        return", "\treturn"), "python-syntax", "tab"),
    python(
        "python_other_class",
        PYTHON_MODEL.replace("TritonPythonModel", "Model"),
        "python-class",
        "TritonPythonModel",
    ),
    python("python_empty", "", "model-file-empty", "TritonPythonModel"),
    python(
        "python_no_execute",
        PYTHON_MODEL.replace("execute", "run"),
        "python-execute",
        server="silent",
        shown=_every_request_fails,
    ),
    python(
        "python_initialize_without_args",
        PYTHON_MODEL + "\n    def initialize(self):\n        pass\n",
        "python-signature",
        "initialize",
    ),
    python(
        "python_complete_not_static",
        PYTHON_MODEL + "\n    def auto_complete_config(self, config):\n        return config\n",
        "python-signature",
        "auto_complete_config",
        auto=True,
    ),
    python(
        "python_module_missing", "import no_such_module\n" + PYTHON_MODEL, "python-import", "no_such_module"
    ),
    python(
        "python_module_optional",
        "try:\n    import no_such_module\nexcept ImportError:\n    no_such_module = None\n" + PYTHON_MODEL,
        None,
        server="accept",
    ),
    python(
        "python_class_by_another_name",
        PYTHON_MODEL.replace("TritonPythonModel", "Model") + "\n\nTritonPythonModel = Model\n",
        None,
        server="accept",
    ),
    folder(
        "python_without_tensors",
        'backend: "python"\ninstance_group { kind: KIND_CPU }\n',
        PY,
        "no-tensors",
        server="silent",
        shown=says("config", lambda c: not c["input"] and not c["output"]),
    ),
]
