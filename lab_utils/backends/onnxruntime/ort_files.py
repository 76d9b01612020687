"""ONNX files: opening them with their faults named, and a config.pbtxt out of one."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from lab_backend import faulty_file, refuse

# ONNX Runtime's type names and Triton's.
DATA_TYPES = {
    "tensor(bool)": "TYPE_BOOL",
    "tensor(uint8)": "TYPE_UINT8",
    "tensor(uint16)": "TYPE_UINT16",
    "tensor(uint32)": "TYPE_UINT32",
    "tensor(uint64)": "TYPE_UINT64",
    "tensor(int8)": "TYPE_INT8",
    "tensor(int16)": "TYPE_INT16",
    "tensor(int32)": "TYPE_INT32",
    "tensor(int64)": "TYPE_INT64",
    "tensor(float16)": "TYPE_FP16",
    "tensor(float)": "TYPE_FP32",
    "tensor(double)": "TYPE_FP64",
    "tensor(bfloat16)": "TYPE_BF16",
    "tensor(string)": "TYPE_STRING",
}
# Value of `max_batch_size` that Triton hands to every backend for auto-complete.
DEFAULT_MAX_BATCH_SIZE = 4


def open_session(model: str, path: Path, options: Any = None, providers: Any = None) -> Any:
    """An `onnxruntime.InferenceSession`, with the usual faults of a file named."""
    import onnxruntime as ort

    why = faulty_file(path)
    if why is None:
        try:
            return ort.InferenceSession(
                str(path), sess_options=options, providers=providers or ["CPUExecutionProvider"]
            )
        except Exception as error:
            why = str(error)
            if "Protobuf parsing failed" in why or "INVALID_PROTOBUF" in why:
                head = path.read_bytes()[:2]
                is_torch = "; it looks like a PyTorch file: export it with torch.onnx.export"
                why = f"it is not an ONNX file, or damaged{is_torch if head == b'PK' else ''} ({why})"
    refuse(f"failed to load model '{model}' from '{path}': {why}")


def dims(node: Any) -> list[int]:
    """A node's shape with -1 for every dimension that is not a number."""
    return [d if isinstance(d, int) and d >= 0 else -1 for d in node.shape]


def data_type(model: str, node: Any) -> str:
    """A node's Triton data type."""
    if node.type not in DATA_TYPES:
        refuse(
            f"unable to load model '{model}', tensor '{node.name}' has type {node.type}, which Triton "
            "cannot carry"
        )
    return DATA_TYPES[node.type]


def auto_complete(model_config: Any) -> Any:
    """Fill in inputs, outputs, max_batch_size and dynamic_batching, as the C++ backend does."""
    config = model_config.as_dict()
    if config["input"] and config["output"]:
        return model_config  # the C++ backend leaves it alone too
    # The model's file is not among the arguments; it stands on the stub's own command line.
    path = Path(Path("/proc/self/cmdline").read_bytes().split(b"\0")[1].decode())
    path = path / "model.onnx" if path.is_dir() else path
    if not path.is_file():
        refuse(f"unable to find '{path}' for model '{config['name']}'")
    session = open_session(config["name"], path)
    inputs, outputs = session.get_inputs(), session.get_outputs()
    if all(dims(node)[:1] == [-1] for node in [*inputs, *outputs]):
        if config["max_batch_size"] == 0:
            model_config.set_max_batch_size(_default_max_batch_size())
        if config["max_batch_size"] > 1 and "sequence_batching" not in config:
            model_config.set_dynamic_batching()
    elif config["max_batch_size"] != 0:
        refuse(
            f"autofill failed for model '{config['name']}': model does not support batching while "
            "non-zero max_batch_size is specified"
        )
    batching = config["max_batch_size"] > 0
    for key, nodes in (("input", inputs), ("output", outputs)):
        if config[key]:
            continue
        for node in nodes:
            entry = {"name": node.name, "data_type": data_type(config["name"], node)}
            entry["dims"] = dims(node)[1:] if batching else dims(node)
            if not entry["dims"]:
                entry["dims"] = [1]
                if batching:
                    entry["reshape"] = {"shape": []}
            # add_input() would refuse `reshape`, which a tensor of the batch alone needs.
            config[key].append(entry)
    return model_config


def _default_max_batch_size() -> int:
    """`--backend-config=onnxruntime,default-max-batch-size=N` (or for all backends), else 4."""
    # Triton does not hand this setting to python-based backends: read it from the server itself.
    size = DEFAULT_MAX_BATCH_SIZE
    try:
        words = Path(f"/proc/{os.getppid()}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return size
    for pattern in (r"default-max-batch-size=(\d+)", r"onnxruntime,default-max-batch-size=(\d+)"):
        for word in words:
            found = re.fullmatch(r"(?:--backend-config=)?" + pattern, word)
            size = int(found[1]) if found else size
    return size
