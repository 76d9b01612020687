"""Which file Triton looks for in a version folder, by backend and platform."""

from __future__ import annotations

from tritonclient.grpc.model_config_pb2 import ModelConfig

# Triton's own table of platforms (24.10) and the default file name that each backend documents.
PLATFORM_BACKENDS = {
    "onnxruntime_onnx": "onnxruntime",
    "pytorch_libtorch": "pytorch",
    "tensorflow_graphdef": "tensorflow",
    "tensorflow_savedmodel": "tensorflow",
    "tensorrt_plan": "tensorrt",
    "ensemble": "",
}
BACKEND_FILES = {
    "onnxruntime": "model.onnx",
    "pytorch": "model.pt",
    "python": "model.py",
    "tensorrt": "model.plan",
    "openvino": "model.xml",
    "tensorflow": "model.savedmodel",
    "vllm": "model.json",
}
# With a version folder that may stay empty: nothing, or nothing that Triton itself looks for, is in it.
NO_FILE = frozenset({"ensemble"})
_PLATFORM_FILES = {"tensorflow_graphdef": "model.graphdef"}


def backend_of(config: ModelConfig) -> str:
    """The backend that a config names, also through its platform; empty when it names none it knows."""
    return config.backend or PLATFORM_BACKENDS.get(config.platform, "")


def is_ensemble(config: ModelConfig) -> bool:
    """True for an ensemble: it has steps, and no file of its own."""
    return config.platform == "ensemble" or config.HasField("ensemble_scheduling")


def default_file(config: ModelConfig) -> str | None:
    """Name of the model file (or folder) in a version folder.

    None for an ensemble, and for a backend whose file name is not known here.
    """
    if is_ensemble(config):
        return None
    if config.default_model_filename:
        return config.default_model_filename
    return _PLATFORM_FILES.get(config.platform) or BACKEND_FILES.get(backend_of(config))


def backend_for_file(name: str) -> str | None:
    """The backend whose default file has this name: `model.onnx` is onnxruntime."""
    if name == "model.graphdef":
        return "tensorflow"
    return next((backend for backend, file in BACKEND_FILES.items() if file == name), None)
