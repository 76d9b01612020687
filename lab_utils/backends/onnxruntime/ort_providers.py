"""Execution providers of ONNX Runtime from Triton's `execution_accelerators` and GPU parameters."""

from __future__ import annotations

from typing import Any

import onnxruntime as ort
from lab_backend import Config, refuse

# Parameters of the C++ backend for its CUDA provider, with the values it translates.
CUDA_PARAMETERS: dict[str, dict[str, str]] = {
    "cudnn_conv_algo_search": {"0": "EXHAUSTIVE", "1": "HEURISTIC", "2": "DEFAULT"},
    "arena_extend_strategy": {"0": "kNextPowerOfTwo", "1": "kSameAsRequested"},
    "gpu_mem_limit": {},
    "do_copy_in_default_stream": {},
}
_TENSORRT_NAMES = {
    "max_workspace_size_bytes": "trt_max_workspace_size",
    "int8_calibration_table_name": "trt_int8_calibration_table_name",
    "int8_use_native_calibration_table": "trt_int8_use_native_calibration_table",
}
_PRECISIONS = {"FP16": "trt_fp16_enable", "BF16": "trt_bf16_enable", "INT8": "trt_int8_enable"}


def _tensorrt(config: Config, parameters: dict[str, str]) -> dict[str, str]:
    options = {"device_id": str(config.device_id)}
    for name, value in parameters.items():
        if name == "precision_mode":
            if value != "FP32" and value not in _PRECISIONS:
                refuse(f"unsupported precision mode '{value}' is requested for model '{config.model}'")
            if value in _PRECISIONS:
                options[_PRECISIONS[value]] = "1"
        elif name in _TENSORRT_NAMES or name.startswith("trt_"):
            options[_TENSORRT_NAMES.get(name, name)] = value
        else:
            refuse(f"unknown parameter '{name}' is provided for TensorRT Execution Accelerator")
    return options


def _need(config: Config, provider: str, why: str) -> None:
    if provider not in ort.get_available_providers():
        refuse(
            f"unable to load model '{config.model}', {why} needs ONNX Runtime's {provider}, and the "
            f"installed onnxruntime {ort.__version__} has only {', '.join(ort.get_available_providers())}"
        )


def providers(config: Config) -> list[tuple[str, dict[str, str]]]:
    """The providers for one instance, first choice first.

    Raises:
        TritonModelException: An accelerator is unknown, or not in the installed ONNX Runtime, or
            asked for on an instance that is not on a GPU.
    """
    accelerators: dict[str, list[dict[str, Any]]] = config.raw.get("optimization", {}).get(
        "execution_accelerators", {}
    )
    chosen: list[tuple[str, dict[str, str]]] = []
    cuda: dict[str, str] = {"device_id": str(config.device_id)}
    for entry in accelerators.get("gpu_execution_accelerator", []):
        name, parameters = entry["name"], dict(entry.get("parameters", {}))
        if name not in ("tensorrt", "cuda"):
            refuse(f"unknown Execution Accelerator '{name}' is requested for model '{config.model}'")
        if config.kind != "GPU":
            refuse(
                f"unable to load model '{config.model}', gpu_execution_accelerator '{name}' is "
                "requested for an "
                f"instance of kind KIND_{config.kind}: remove it, or use KIND_GPU on a machine with a GPU"
            )
        if name == "tensorrt":
            _need(config, "TensorrtExecutionProvider", "gpu_execution_accelerator 'tensorrt'")
            chosen.append(("TensorrtExecutionProvider", _tensorrt(config, parameters)))
        else:
            cuda.update(parameters)
    if config.kind == "GPU":
        _need(config, "CUDAExecutionProvider", "KIND_GPU")
        for name, values in CUDA_PARAMETERS.items():
            if name in config.parameters:
                value = config.parameters[name]
                if values and value not in values:
                    refuse(f"unsupported {name} value '{value}' is requested for model '{config.model}'")
                cuda[name] = values.get(value, value)
        chosen.append(("CUDAExecutionProvider", cuda))
    for entry in accelerators.get("cpu_execution_accelerator", []):
        if entry["name"] != "openvino":
            refuse(f"unknown Execution Accelerator '{entry['name']}' is requested for model '{config.model}'")
        _need(config, "OpenVINOExecutionProvider", "cpu_execution_accelerator 'openvino'")
        chosen.append(("OpenVINOExecutionProvider", {"device_type": "CPU"}))
    return [*chosen, ("CPUExecutionProvider", {})]
