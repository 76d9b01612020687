"""Which file Triton looks for in a version folder, by backend and platform."""

from __future__ import annotations

from tritonclient.grpc.model_config_pb2 import ModelConfig

# platform -> backend (Triton 24.10). `openvino`, `python` and all others are reached by `backend:` alone.
PLATFORMS = {
    "tensorrt_plan": "tensorrt",
    "tensorflow_graphdef": "tensorflow",
    "tensorflow_savedmodel": "tensorflow",
    "onnxruntime_onnx": "onnxruntime",
    "pytorch_libtorch": "pytorch",
}
# The files (or folders) by which Triton guesses the backend when a config names none, in Triton's order.
GUESSED_FILES = {
    "tensorflow_savedmodel": "model.savedmodel",
    "tensorflow_graphdef": "model.graphdef",
    "tensorrt": "model.plan",
    "onnxruntime": "model.onnx",
    "openvino": "model.xml",
    "pytorch": "model.pt",
    "python": "model.py",
}
# By backend or platform; the two more are documented by their backends.
DEFAULT_FILES = {**GUESSED_FILES, "tensorflow": "model.savedmodel", "vllm": "model.json"}


def backend_of(config: ModelConfig) -> str:
    """The backend that a config names, also through its platform; empty when it names none it knows."""
    return config.backend or PLATFORMS.get(config.platform, "")


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
    return DEFAULT_FILES.get(config.platform) or DEFAULT_FILES.get(backend_of(config))
