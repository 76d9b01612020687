"""What a model file really is, without running anything that is in it.

A pickle can run any code when it is loaded, so nothing here unpickles: a zip is judged by the names in
it, a pickle by its opcodes.
"""

from __future__ import annotations

import io
import pickletools
import zipfile
from enum import StrEnum
from pathlib import Path

_HEAD = 4096
_PICKLE = 16_000_000  # bytes of a pickle that are looked at: the classes stand near its start


class FileKind(StrEnum):
    """What the bytes of a model file are."""

    MISSING = "missing"
    FOLDER = "folder"
    EMPTY = "empty"
    LFS_POINTER = "git-lfs pointer"
    ONNX = "onnx"
    TORCHSCRIPT = "torchscript"
    TORCH_EXPORT = "torch.export"
    STATE_DICT = "state_dict"
    PICKLE = "pickle"
    NUMPY = "numpy"
    HDF5 = "hdf5"
    SAFETENSORS = "safetensors"
    TENSORRT = "tensorrt"
    GZIP = "gzip"
    ZIP = "zip"
    HTML = "html"
    PYTHON = "python"
    TEXT = "text"
    UNKNOWN = "unknown"


def kind_of(file: Path) -> FileKind:
    """What the file at this path is.

    `STATE_DICT` is a file of torch.save with tensors and no module class; `PICKLE` is any other pickle, also
    a whole module saved with torch.save; `TORCHSCRIPT` is what torch.jit.save writes.
    """
    file = Path(file)
    if file.is_dir():
        return FileKind.FOLDER
    if not file.is_file():
        return FileKind.MISSING
    with file.open("rb") as stream:
        head = stream.read(_HEAD)
    if not head:
        return FileKind.EMPTY
    if head.startswith(b"PK\x03\x04"):
        return _zip_kind(file)
    for start, kind in (
        (b"version https://git-lfs.github.com/", FileKind.LFS_POINTER),
        (b"\x93NUMPY", FileKind.NUMPY),
        (b"\x89HDF\r\n", FileKind.HDF5),
        (b"\x1f\x8b", FileKind.GZIP),
        (b"ftrt", FileKind.TENSORRT),
        (b"ptrt", FileKind.TENSORRT),
    ):
        if head.startswith(start):
            return kind
    if head[:1] == b"\x80" and len(head) > 1 and head[1] <= 5:
        return _pickle_kind(file)
    if len(head) > 9 and head[8:9] == b"{" and int.from_bytes(head[:8], "little") < 100_000_000:
        return FileKind.SAFETENSORS
    if is_onnx(file):
        return FileKind.ONNX
    return _text_kind(file, head)


def _zip_kind(file: Path) -> FileKind:
    """Judge a zip by the names in it, as PyTorch lays them out."""
    try:
        with zipfile.ZipFile(file) as archive:
            names = archive.namelist()
            inner = {name.partition("/")[2] for name in names} | set(names)
            if "constants.pkl" in inner:
                return FileKind.TORCHSCRIPT
            if any(n.endswith("serialized_exported_program.json") for n in names) or (
                "archive_format" in inner and any(n.startswith("models/") for n in inner)
            ):
                return FileKind.TORCH_EXPORT
            pickled = next((n for n in names if n.endswith("data.pkl")), None)
            if pickled:
                return _judge_pickle(io.BytesIO(archive.read(pickled)))
    except (zipfile.BadZipFile, OSError, RuntimeError):
        return FileKind.UNKNOWN
    return FileKind.ZIP


def _pickle_kind(file: Path) -> FileKind:
    with file.open("rb") as stream:
        return _judge_pickle(io.BytesIO(stream.read(_PICKLE)))


def _judge_pickle(stream: io.BytesIO) -> FileKind:
    """A state_dict names tensors and no class of its own; everything else is just a pickle."""
    classes: set[str] = set()
    words: list[str] = []
    try:
        # The older torch.save writes four pickles one after the other; the last one holds the object.
        for _ in range(4):
            for code, value, _place in pickletools.genops(stream):
                if code.name == "GLOBAL":
                    classes.add(str(value).replace(" ", "."))
                elif code.name == "STACK_GLOBAL" and len(words) >= 2:
                    classes.add(f"{words[-2]}.{words[-1]}")
                if isinstance(value, str):
                    words.append(value)
            if classes:
                break
    except (ValueError, EOFError, IndexError, UnicodeDecodeError):
        if not classes and stream.tell() < 3:
            return FileKind.UNKNOWN
    harmless = ("torch._utils.", "collections.OrderedDict", "torch.storage.", "torch.serialization.")
    own = [c for c in classes if not c.startswith(harmless) and not _is_storage(c)]
    tensors = any(c.startswith("torch._utils._rebuild") for c in classes)
    return FileKind.STATE_DICT if tensors and not own else FileKind.PICKLE


def _is_storage(name: str) -> bool:
    return name.startswith("torch.") and (name.endswith("Storage") or name.count(".") == 1)


def is_onnx(file: Path) -> bool:
    """True when the file is an ONNX model with a graph. Weights in other files are not read."""
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load(str(file), load_external_data=False)
    except (DecodeError, OSError, ValueError, RuntimeError):
        return False
    return model.ir_version > 0 and model.HasField("graph") and bool(model.graph.output)


def _text_kind(file: Path, head: bytes) -> FileKind:
    try:
        text = head.decode("utf-8", "strict" if len(head) < _HEAD else "ignore")
    except UnicodeDecodeError:
        return FileKind.UNKNOWN
    if any(ord(letter) < 32 and letter not in "\t\n\r\f" for letter in text):
        return FileKind.UNKNOWN
    if text.lstrip().lower().startswith(("<!doctype", "<html")):
        return FileKind.HTML
    return FileKind.PYTHON if file.suffix == ".py" else FileKind.TEXT
