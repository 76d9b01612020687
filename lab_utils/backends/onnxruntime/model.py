"""Triton's `onnxruntime` backend, as a Python-based backend for the embedded server.

Serves `model.onnx` with the config.pbtxt that the C++ backend takes. The names, the rules and the
wording of the refusals follow triton-inference-server/onnxruntime_backend.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import ort_files
import ort_tensors
import triton_python_backend_utils as pb_utils
from lab_backend import (
    BatchedModel,
    Config,
    RequestError,
    TensorConfig,
    nearest,
    refuse,
    shape_text,
)
from ort_files import data_type, dims

PARAMETERS = (
    "intra_op_thread_count",
    "inter_op_thread_count",
    "execution_mode",
    "enable_mem_arena",
    "enable_mem_pattern",
    "memory.enable_memory_arena_shrinkage",
    "session.use_device_allocator_for_initializers",
    "share_session_between_instances",
    "cudnn_conv_algo_search",
    "gpu_mem_limit",
    "arena_extend_strategy",
    "do_copy_in_default_stream",
)


class TritonPythonModel(BatchedModel):
    """One instance: one ONNX Runtime session in a process of its own."""

    @staticmethod
    def auto_complete_config(auto_complete_model_config: Any) -> Any:
        """Fill in inputs, outputs, max_batch_size and dynamic_batching, as the C++ backend does."""
        return ort_files.auto_complete(auto_complete_model_config)

    def initialize(self, args: dict[str, str]) -> None:
        """Open the session and compare the config with the model."""
        self.config = config = Config.parse(args)
        config.refuse_unknown("onnxruntime", PARAMETERS)
        config.refuse_shared("share_session_between_instances")
        path = config.model_file("model.onnx")
        import onnxruntime as ort
        from ort_providers import CUDA_PARAMETERS, providers

        unused = [name for name in CUDA_PARAMETERS if name in config.parameters]
        if unused and config.kind != "GPU":
            pb_utils.Logger.log_warn(
                f"{config.model}: {', '.join(unused)} have no effect on KIND_{config.kind}"
            )
        self.session = ort_files.open_session(config.model, path, self._options(ort), providers(config))
        self.run_options = ort.RunOptions()
        shrink = "memory.enable_memory_arena_shrinkage"
        if shrink in config.parameters:
            self.run_options.add_run_config_entry(shrink, config.parameters[shrink])
        self._check_inputs()
        self._check_outputs()

    def _options(self, ort: Any) -> Any:
        config = self.config
        options = ort.SessionOptions()
        level = int(config.raw.get("optimization", {}).get("graph", {}).get("level", 0))
        levels = ort.GraphOptimizationLevel
        options.graph_optimization_level = {
            -1: levels.ORT_ENABLE_BASIC,
            1: levels.ORT_ENABLE_EXTENDED,
            2: levels.ORT_DISABLE_ALL,
        }.get(level, levels.ORT_ENABLE_ALL)
        parallel = config.integer("execution_mode", allowed=(0, 1)) == 1
        options.execution_mode = (
            ort.ExecutionMode.ORT_PARALLEL if parallel else ort.ExecutionMode.ORT_SEQUENTIAL
        )
        options.intra_op_num_threads = max(0, config.integer("intra_op_thread_count"))
        options.inter_op_num_threads = max(0, config.integer("inter_op_thread_count"))
        options.enable_cpu_mem_arena = config.boolean("enable_mem_arena", options.enable_cpu_mem_arena)
        options.enable_mem_pattern = config.boolean("enable_mem_pattern", options.enable_mem_pattern)
        if "dynamic_batching" in config.raw:
            # Threads that spin between two runs take the cores on which the server gathers the next
            # batch: without them one inference costs about half the CPU time on two cores.
            options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        key = "session.use_device_allocator_for_initializers"
        if key in config.parameters:
            options.add_session_config_entry(key, config.parameters[key])
        for library in config.raw.get("model_operations", {}).get("op_library_filename", []):
            try:
                options.register_custom_ops_library(library)
            except Exception as error:
                refuse(f"unable to load model '{config.model}', custom operations '{library}': {error}")
        return options

    def _check_inputs(self) -> None:
        config = self.config
        where = f"unable to load model '{config.model}', "
        required = {n.name: n for n in self.session.get_inputs()}
        self.nodes = required | {n.name: n for n in self.session.get_overridable_initializers()}
        expected = [i.name for i in config.inputs if not i.optional] + config.controls
        if len(expected) != len(required):
            refuse(
                f"{where}configuration expects {len(expected)} inputs, model provides {len(required)} "
                f"(configuration: {', '.join(expected)}; model: {', '.join(required)})"
            )
        for name in config.controls:
            if name not in self.nodes:
                refuse(
                    f"configuration specified sequence control '{name}', but model does not provide "
                    "that input"
                )
        for entry in config.inputs:
            if entry.optional and config.max_batch_size > 0:
                refuse(
                    f"{where}optional input '{entry.name}' is not supported for models that support batching"
                )
            if entry.name not in self.nodes:
                refuse(
                    f"{where}unexpected inference input '{entry.name}', allowed inputs are: "
                    f"{', '.join(self.nodes)}{nearest(entry.name, self.nodes)}"
                )
            self._compare("input", entry, self.nodes[entry.name], exact=False)
        self.input_types = {name: data_type(config.model, node) for name, node in self.nodes.items()}

    def _check_outputs(self) -> None:
        nodes = {n.name: n for n in self.session.get_outputs()}
        for entry in self.config.outputs:
            if entry.name not in nodes:
                refuse(
                    f"unable to load model '{self.config.model}', unexpected inference output "
                    f"'{entry.name}', "
                    f"allowed outputs are: {', '.join(nodes)}{nearest(entry.name, nodes)}"
                )
            self._compare("output", entry, nodes[entry.name], exact=True)
        self.output_dims = {entry.name: entry.dims for entry in self.config.outputs}
        self.scalars = {name for name, node in nodes.items() if not dims(node)}
        self.output_types = {entry.name: entry.data_type for entry in self.config.outputs}
        self.bfloat16_inputs = {n for n, kind in self.input_types.items() if kind == "TYPE_BF16"}
        self.through_values = "TYPE_BF16" in self.output_types.values()
        if self.through_values and "TYPE_STRING" in self.input_types.values():
            refuse(
                f"unable to load model '{self.config.model}', it has a TYPE_STRING input and a TYPE_BF16 "
                "output: the Python interface of ONNX Runtime cannot run the two together"
            )

    def _compare(self, side: str, entry: TensorConfig, node: Any, exact: bool) -> None:
        model, shape = self.config.model, dims(node)
        provided = data_type(model, node)
        if entry.data_type != provided:
            refuse(
                f"unable to load model '{model}', configuration expects datatype {entry.data_type} for "
                f"{side} "
                f"'{entry.name}', model provides {provided}"
            )
        batching = self.config.max_batch_size > 0
        tensor = f"model '{model}', tensor '{entry.name}': "
        if not shape and not batching:
            if any(d != 1 for d in entry.dims):
                refuse(
                    f"unable to load model '{model}', scalar tensor '{entry.name}', should only "
                    "provide 1 in the "
                    "model configuration when the model doesn't support batching. Model configuration "
                    "provided: "
                    f"{shape_text(entry.dims)}."
                )
            return
        if batching and shape[:1] != [-1]:
            refuse(
                f"{tensor}for the model to support batching the shape should have at least 1 dimension "
                "and the "
                f"first dimension must be -1; but shape expected by the model is {shape_text(shape)}"
            )
        full = [-1, *entry.dims] if batching else list(entry.dims)
        fits = len(full) == len(shape) and all(
            m == c or (m == -1 and not exact) for m, c in zip(shape, full, strict=True)
        )
        if not fits:
            whole = (
                " (an initial batch dimension because max_batch_size > 0 followed by the explicit "
                "tensor shape, "
                f"making complete shape {shape_text(full)})"
            )
            refuse(
                f"{tensor}the model expects {len(shape)} dimensions (shape {shape_text(shape)}) but "
                "the model "
                f"configuration specifies {len(full)} dimensions"
                + (whole if batching else f" (shape {shape_text(full)})")
            )

    def read(self, request: Any) -> dict[str, Any]:
        """Arrays of the request; numbers are views of Triton's own memory, not copies."""
        values = {}
        for tensor in request.inputs():
            name = tensor.name()
            kind = self.input_types.get(name)
            if kind is None:
                raise RequestError(f"unexpected inference input '{name}' for model '{self.config.model}'")
            value = (
                ort_tensors.read_text(name, tensor)
                if kind == "TYPE_STRING"
                else ort_tensors.read_numbers(tensor, kind)
            )
            values[name] = value if self.nodes[name].shape else value.reshape(())
        return values

    def join(self, parts: list[Any]) -> Any:
        """One copy into one new array."""
        return np.concatenate(parts)

    def run(self, inputs: dict[str, Any], wanted: list[str]) -> dict[str, Any]:
        """One run of the session."""
        if not wanted:
            return {}
        for name in self.bfloat16_inputs.intersection(inputs):
            inputs = inputs | {name: ort_tensors.bfloat16(inputs[name])}
        if self.through_values:
            results = ort_tensors.run_values(self.session, self.run_options, inputs, wanted)
        else:
            results = self.session.run(wanted, inputs, self.run_options)
        outputs = dict(zip(wanted, results, strict=True))
        for name in self.scalars.intersection(outputs):
            # A scalar has dims [1] (or [1,1], …) in the config: Triton knows no tensor without dims.
            outputs[name] = np.asarray(outputs[name]).reshape(self.output_dims[name])
        return outputs

    def write(self, name: str, value: Any) -> Any:
        """Triton's tensor; its bytes are copied once, into the answer."""
        return ort_tensors.write(name, value, self.output_types[name])

    def explain(self, error: Exception) -> str:
        """ONNX Runtime's message in the form of the C++ backend."""
        found = re.match(r"\[ONNXRuntimeError\] : (\d+) : \w+ : (.*)", str(error), re.S)
        return f"onnx runtime error {found[1]}: {found[2]}" if found else super().explain(error)
