"""Triton's `pytorch` backend (TorchScript), as a Python-based backend for the embedded server.

Serves `model.pt` with the config.pbtxt that the C++ backend takes. The names, the rules and the
wording of the refusals follow triton-inference-server/pytorch_backend.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch_names
import triton_python_backend_utils as pb_utils
from lab_backend import (
    BatchedModel,
    Config,
    RequestError,
    TensorConfig,
    refuse,
)
from torch_files import check_torchscript

# Triton's data types and the names of PyTorch's. TYPE_STRING is a List[str] in TorchScript.
DATA_TYPES = {
    "TYPE_BOOL": "bool",
    "TYPE_UINT8": "uint8",
    "TYPE_UINT16": "uint16",
    "TYPE_UINT32": "uint32",
    "TYPE_UINT64": "uint64",
    "TYPE_INT8": "int8",
    "TYPE_INT16": "int16",
    "TYPE_INT32": "int32",
    "TYPE_INT64": "int64",
    "TYPE_FP16": "float16",
    "TYPE_FP32": "float32",
    "TYPE_FP64": "float64",
    "TYPE_BF16": "bfloat16",
}
PARAMETERS = (
    "DISABLE_OPTIMIZED_EXECUTION",
    "INFERENCE_MODE",
    "DISABLE_CUDNN",
    "ENABLE_CACHE_CLEANING",
    "ENABLE_WEIGHT_SHARING",
    "ENABLE_TENSOR_FUSER",
    "ENABLE_JIT_PROFILING",
    "ENABLE_JIT_EXECUTOR",
    "ENABLE_NVFUSER",
    "INTRA_OP_THREAD_COUNT",
    "INTER_OP_THREAD_COUNT",
)
# Parameters of the backend's other half, which runs plain PyTorch code (`runtime: "model.py"`).
PYTHON_RUNTIME_PARAMETERS = ("NUM_THREADS", "NUM_INTEROP_THREADS", "TORCH_COMPILE_OPTIONAL_PARAMETERS")


class TritonPythonModel(BatchedModel):
    """One instance: one TorchScript module in a process of its own."""

    @staticmethod
    def auto_complete_config(auto_complete_model_config: Any) -> Any:
        """TorchScript stores no shapes or data types, so there is nothing to complete from."""
        config = auto_complete_model_config.as_dict()
        missing = [key for key in ("input", "output") if not config[key]]
        if missing:
            refuse(
                f"model '{config['name']}': the config.pbtxt names no {' and no '.join(missing)}, and "
                "the pytorch "
                "backend cannot auto-complete it: a TorchScript file stores neither names nor data types nor "
                "shapes of its tensors. Write them into config.pbtxt"
            )
        return auto_complete_model_config

    def initialize(self, args: dict[str, str]) -> None:
        """Check the config, load the module, and find the place of every input and output."""
        self.config = config = Config.parse(args)
        for name in PYTHON_RUNTIME_PARAMETERS:
            if name in config.parameters:
                refuse(
                    f"unable to load model '{config.model}', parameter '{name}' belongs to the pytorch "
                    "backend's "
                    "Python runtime, not to TorchScript models: use INTRA_OP_THREAD_COUNT and "
                    "INTER_OP_THREAD_COUNT "
                    "for threads, and export a compiled model as TorchScript"
                )
        config.refuse_unknown("pytorch", PARAMETERS)
        config.refuse_shared("ENABLE_WEIGHT_SHARING")
        self._read_parameters()
        for side, entries in (("input", config.inputs), ("output", config.outputs)):
            self._check_entries(side, entries)
        path = config.model_file("model.pt")
        check_torchscript(config.model, path)
        import torch

        self.torch = torch
        self.types = {name: getattr(torch, kind) for name, kind in DATA_TYPES.items() if hasattr(torch, kind)}
        self._apply_parameters()
        self.device = self._device()
        try:
            with torch.inference_mode(self.inference_mode):
                # torch.jit.load, never torch.load: a pickle runs code as it is opened.
                self.module = torch.jit.load(str(path), map_location=self.device)
        except Exception as error:
            refuse(f"failed to load model '{config.model}' from '{path}': {error}")
        self._place_tensors()

    def _check_entries(self, side: str, entries: list[TensorConfig]) -> None:
        model = self.config.model
        if not entries:
            refuse(
                f"model '{model}': model configuration must contain at least one {side}, none were specified."
            )
        for entry in entries:
            if entry.data_type == "TYPE_STRING":
                if len(entry.dims) + (self.config.max_batch_size > 0) > 1:
                    refuse(
                        f"Triton only supports 1 dimensional List of String as {side} for "
                        f"'{entry.name}' for model "
                        f"'{model}': use dims [1] with reshape {{ shape: [] }} when the model batches"
                    )
            elif entry.data_type not in DATA_TYPES:
                refuse(
                    f"unsupported datatype {entry.data_type} for {side} '{entry.name}' for model '{model}'"
                )

    def _device(self) -> Any:
        config, torch = self.config, self.torch
        if config.kind == "MODEL":
            return None  # the module keeps the devices it was saved with
        if config.kind != "GPU":
            return torch.device("cpu")
        if not torch.cuda.is_available() or config.device_id >= torch.cuda.device_count():
            refuse(
                f"unable to load model '{config.model}', KIND_GPU asks for GPU {config.device_id}, and "
                "the installed "
                f"PyTorch {torch.__version__} sees {torch.cuda.device_count()} GPUs"
            )
        return torch.device("cuda", config.device_id)

    def _read_parameters(self) -> None:
        """Check every value before PyTorch is imported: a refusal then takes no seconds."""
        config = self.config
        self.inference_mode = config.boolean("INFERENCE_MODE", True)
        self.clean_cache = config.boolean("ENABLE_CACHE_CLEANING", False)
        self.threads = {
            name: config.integer(name, -1) for name in PARAMETERS if name.endswith("_THREAD_COUNT")
        }
        switches = [name for name in PARAMETERS if name.startswith(("ENABLE_", "DISABLE_"))]
        self.switches = {name: config.boolean(name, False) for name in switches if name in config.parameters}
        if self.switches.get("ENABLE_NVFUSER"):
            refuse(
                f"unable to load model '{config.model}', parameter 'ENABLE_NVFUSER' cannot be true: today's "
                "PyTorch has no NVFuser for TorchScript. Remove it, or use ENABLE_TENSOR_FUSER"
            )

    def _apply_parameters(self) -> None:
        """The switches of the C++ backend, by the same names; unset ones change nothing."""
        torch, given = self.torch, self.switches
        torch._C._set_graph_executor_optimize(not given.get("DISABLE_OPTIMIZED_EXECUTION", False))
        if given.get("DISABLE_CUDNN"):
            torch.backends.cudnn.enabled = False
        if "ENABLE_JIT_PROFILING" in given:
            torch._C._jit_set_profiling_mode(given["ENABLE_JIT_PROFILING"])
        if "ENABLE_JIT_EXECUTOR" in given:
            torch._C._jit_set_profiling_executor(given["ENABLE_JIT_EXECUTOR"])
        if "ENABLE_NVFUSER" in given:  # false: the C++ backend then turns the tensor fuser on
            torch._C._jit_override_can_fuse_on_cpu(True)
            torch._C._jit_override_can_fuse_on_gpu(True)
            torch._C._jit_set_texpr_fuser_enabled(True)
        elif "ENABLE_TENSOR_FUSER" in given:
            torch._C._jit_set_texpr_fuser_enabled(given["ENABLE_TENSOR_FUSER"])
        if self.threads["INTRA_OP_THREAD_COUNT"] > 0:
            torch.set_num_threads(self.threads["INTRA_OP_THREAD_COUNT"])
        if self.threads["INTER_OP_THREAD_COUNT"] > 0:
            torch.set_num_interop_threads(self.threads["INTER_OP_THREAD_COUNT"])

    def _place_tensors(self) -> None:
        config = self.config
        # The first argument of a module's forward() is the module itself.
        self.places = torch_names.input_places(config, self.module.forward.schema.arguments[1:])
        self.output_places = torch_names.output_places(config)
        self.output_types = {entry.name: entry.data_type for entry in config.outputs}
        self.texts = {entry.name for entry in config.inputs if entry.data_type == "TYPE_STRING"}
        for entry in config.inputs + config.outputs:
            if entry.data_type != "TYPE_STRING" and entry.data_type not in self.types:
                refuse(
                    f"unsupported datatype {entry.data_type} of '{entry.name}' for model "
                    f"'{config.model}': PyTorch {self.torch.__version__} has no such type"
                )

    def read(self, request: Any) -> dict[str, Any]:
        """Tensors of the request through DLPack (no copy), strings as lists."""
        values: dict[str, Any] = {}
        for tensor in request.inputs():
            name = tensor.name()
            if name in self.texts:
                try:
                    values[name] = [element.decode("utf-8") for element in tensor.as_numpy().flat]
                except UnicodeDecodeError as error:
                    raise RequestError(
                        f"input '{name}' is not UTF-8 ({error.reason} at byte {error.start}): the Python "
                        "interface of TorchScript carries text only"
                    ) from None
            else:
                value = self.torch.from_dlpack(tensor.to_dlpack())
                values[name] = value.to(self.device) if self.config.kind == "GPU" else value
        return values

    def join(self, parts: list[Any]) -> Any:
        """One copy into one new tensor."""
        if isinstance(parts[0], list):
            return [element for part in parts for element in part]
        return self.torch.cat(parts)

    def run(self, inputs: dict[str, Any], wanted: list[str]) -> dict[str, Any]:
        """One call of forward()."""
        torch = self.torch
        with torch.inference_mode(self.inference_mode), torch.no_grad():
            if self.places is None:
                result = self.module(inputs)
            else:
                result = self.module(*(inputs[name] for name in self.places))
            results = result if isinstance(result, tuple) else (result,)
            outputs = {name: self._output(name, results) for name in wanted}
        if self.clean_cache and self.config.kind != "CPU":
            torch.cuda.empty_cache()
        return outputs

    def _output(self, name: str, results: tuple[Any, ...]) -> Any:
        place, wanted = self.output_places[name], self.output_types[name]
        if place >= len(results):
            raise RequestError(
                f"The output {name} in the model configuration refers to an output index which doesn't "
                "exist. "
                f"This model has {len(results)} outputs"
            )
        value = results[place]
        if isinstance(value, list) and all(isinstance(element, str) for element in value):
            provided = "TYPE_STRING"
        elif isinstance(value, self.torch.Tensor):
            provided = next((n for n, kind in self.types.items() if kind == value.dtype), str(value.dtype))
        else:
            raise RequestError(
                f"output '{name}' must be of type Tensor, List[str] or Tuple containing one of these "
                "two types; "
                f"model '{self.config.model}' gives {type(value).__name__}"
            )
        if provided != wanted:
            raise RequestError(
                f"configuration expects datatype {wanted} for output '{name}', model provides {provided}"
            )
        if provided != "TYPE_STRING" and value.dim() == 0:
            raise RequestError(f"output '{name}' is a scalar which is not supported.")
        return value if provided == "TYPE_STRING" else value.contiguous()

    def write(self, name: str, value: Any) -> Any:
        """Triton's tensor; its bytes are copied once, into the answer."""
        if isinstance(value, list):
            encoded = np.empty(len(value), dtype=object)
            encoded[:] = [element.encode("utf-8") for element in value]
            return pb_utils.Tensor(name, encoded)
        return pb_utils.Tensor.from_dlpack(name, value)

    def explain(self, error: Exception) -> str:
        """PyTorch's message in the form of the C++ backend."""
        return f"PyTorch execute failure: {error}"
