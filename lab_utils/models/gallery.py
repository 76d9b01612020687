"""The gallery of Lab 2: a model repository in which every model but three is broken in one way.

The names are trees, so that they give nothing away. `digits_preprocess`, `mnist_mlp` and `zelkova` are
sound: two steps that an ensemble of the gallery needs, and one that a careless repair would change.
"""

from __future__ import annotations

import io
import re
import shutil
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lab_utils.errors import LabError
from lab_utils.models.build import build_models, has_torch, torchscript_file
from lab_utils.paths import project_root

SOUND = ("digits_preprocess", "mnist_mlp", "zelkova")
PHANTOM = ".ipynb_checkpoints"

CAUSES = """\
A  asks for a GPU that is not there           I  an output that no step writes
B  the batch stands in the dims as well       J  a folder that is no model
C  a version that Triton skips                K  folder and config disagree on the name
D  a field that does not exist                L  the newest version is empty
E  batching that never happens                M  a file name that nobody looks for
F  an output that the network does not have   N  a preferred batch that is too large
G  weights without code                       O  Python cannot read the code
H  another number type than the network's"""

_CONFIG = """name: "{name}"
platform: "onnxruntime_onnx"
max_batch_size: 64
input [ {{ name: "input" data_type: TYPE_FP32 dims: [ 1, 28, 28 ] }} ]
output [ {{ name: "output" data_type: TYPE_FP32 dims: [ 10 ] }} ]
instance_group [ {{ kind: KIND_CPU count: 1 }} ]
"""

_ENSEMBLE = """name: "pine"
platform: "ensemble"
max_batch_size: 64
input [ { name: "image" data_type: TYPE_UINT8 dims: [ 28, 28 ] } ]
output [ { name: "scores" data_type: TYPE_FP32 dims: [ 10 ] } ]
ensemble_scheduling {
  step [
    {
      model_name: "digits_preprocess"
      model_version: -1
      input_map { key: "image" value: "image" }
      output_map { key: "input_tensor" value: "floats" }
    },
    {
      model_name: "mnist_mlp"
      model_version: -1
      input_map { key: "input" value: "floats" }
      output_map { key: "output" value: "answer" }
    }
  ]
}
"""

_PYTHON = """name: "willow"
backend: "python"
max_batch_size: 64
input [ { name: "scores" data_type: TYPE_FP32 dims: [ 10 ] } ]
output [ { name: "digit" data_type: TYPE_INT32 dims: [ 1 ] } ]
instance_group [ { kind: KIND_CPU count: 1 } ]
"""

_MODEL_PY = '''import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    """Scores in, digit out: the position of the largest score."""

    def execute(self, requests):
        responses = []
        for request in requests
            scores = pb_utils.get_input_tensor_by_name(request, "scores").as_numpy()
            digit = scores.argmax(axis=1).reshape(-1, 1).astype(np.int32)
            responses.append(pb_utils.InferenceResponse([pb_utils.Tensor("digit", digit)]))
        return responses
'''

_TORCH = """name: "yew"
platform: "pytorch_libtorch"
max_batch_size: 64
input [ { name: "INPUT__0" data_type: TYPE_FP32 dims: [ 1, 28, 28 ] } ]
output [ { name: "OUTPUT__0" data_type: TYPE_FP32 dims: [ 10 ] } ]
instance_group [ { kind: KIND_CPU count: 1 } ]
"""


def build_gallery(folder: Path) -> Path:
    """Write the gallery, in place of an older one.

    Args:
        folder: A folder of its own; missing, empty, or a gallery.

    Returns:
        The folder.

    Raises:
        LabError: The folder holds something else.
    """
    if folder.is_dir() and any(folder.iterdir()) and not (folder / "zelkova").is_dir():
        raise LabError(
            f"{folder} is no gallery: it holds other things, which a new gallery would replace",
            fix="Name a folder of its own.",
        )
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    build_models()
    examples = project_root() / "model_repository"
    for name in ("digits_preprocess", "mnist_mlp"):
        shutil.copytree(examples / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", ".*"))
    _onnx(folder, "zelkova")
    for name, change in _TEXT.items():
        _onnx(folder, name, change)
    _onnx(folder, "elm")
    shutil.copytree(folder / "elm" / "1", folder / "elm" / "02")
    _onnx(folder, "fir", file="digits.onnx")
    _onnx(folder, "rowan")
    (folder / "rowan" / "2").mkdir()
    _model(folder, "pine", _ENSEMBLE)
    _model(folder, "willow", _PYTHON, "model.py", _MODEL_PY.encode())
    _model(folder, "yew", _TORCH, "model.pt", _state_dict())
    (folder / PHANTOM).mkdir()
    (folder / PHANTOM / "config-checkpoint.pbtxt").write_text(_CONFIG.format(name="ash"))
    return folder


def spare_network(folder: Path) -> Path:
    """Write `spare.pt`, what `yew` should hold: the digits network as TorchScript.

    Without PyTorch no server of this machine loads `yew` either; the file then says so.
    """
    spare = folder / "spare.pt"
    spare.write_bytes(torchscript_file().read_bytes() if has_torch() else b"no PyTorch on this machine")
    return spare


def describe(gallery: Path, index: Sequence[Mapping[str, Any]], log: str) -> str:
    """The whole gallery on one page, with nothing explained: files, config, code, state, log lines.

    Args:
        gallery: The folder.
        index: The repository index of a server that tried to load it.
        log: That server's log.

    Returns:
        Many lines; the last ones are the warnings that name no model.
    """
    lines = log.splitlines()
    page: list[str] = []
    for model in sorted(path for path in gallery.iterdir() if path.is_dir()):
        page += [f"{'=' * 30} {model.name}"]
        for path in sorted(path for path in model.rglob("*") if "__pycache__" not in path.parts):
            page.append(f"{path.relative_to(gallery)}{'/' if path.is_dir() else ''}")
        for text in (model / "config.pbtxt", model / "1" / "model.py"):
            page += ["", text.read_text().rstrip()] if text.exists() and model.name not in SOUND[:2] else []
        states = [
            f"{e.get('state', 'none')} {e.get('version', '')}".strip()
            for e in index
            if e["name"] == model.name
        ]
        page += ["", f"state: {', '.join(states) or 'none'}"]
        for number, line in enumerate(lines):
            if f"'{model.name}'" in line and line.startswith("E") and "backend_model.cc" not in line:
                # A text that cannot be parsed: the reason stands in the line before, which names nobody.
                page += [_short(lines[number - 1])] if "read text proto" in line else []
                page.append(_short(line))
        page.append("")
    page += [_short(line) for line in lines if line.startswith("W") and "version directory" in line]
    return "\n".join(page)


def _short(line: str) -> str:
    """A log line without the traceback that Triton puts behind it, and without the source's long path."""
    line = line.split("\\n\\nAt:")[0]
    return re.sub(r"^\[libprotobuf ERROR \S+\]", "[libprotobuf ERROR]", line)


def _swap(old: str, new: str) -> Callable[[str], str]:
    return lambda text: text.replace(old, new)


def _never_batches(text: str) -> str:
    """Batching that is asked for, and cannot happen: the batch stands in the dims."""
    text = text.replace("max_batch_size: 64", "max_batch_size: 0")
    text = text.replace("[ 1, 28, 28 ]", "[ -1, 1, 28, 28 ]").replace("[ 10 ]", "[ -1, 10 ]")
    return text + "dynamic_batching { max_queue_delay_microseconds: 500 }\n"


_TEXT: dict[str, Callable[[str], str]] = {
    "ash": _swap("max_batch_size", "max_batchsize"),
    "birch": _swap('name: "input" data_type: TYPE_FP32', 'name: "input" data_type: TYPE_FP64'),
    "cedar": _swap("[ 1, 28, 28 ]", "[ -1, 1, 28, 28 ]"),
    "hazel": _swap('name: "output"', 'name: "scores"'),
    "juniper": _swap("KIND_CPU", "KIND_GPU"),
    "maple": _never_batches,
    "oak": _swap('name: "oak"', 'name: "oak_2024"'),
    "spruce": lambda text: text + "dynamic_batching { preferred_batch_size: [ 32, 128 ] }\n",
}
"""Model → what is wrong with the text of its config."""


def _onnx(folder: Path, name: str, change: Callable[[str], str] = str, *, file: str = "model.onnx") -> None:
    """One digits model, whole but for `change` in its config or for the name of its file."""
    content = (project_root() / "model_repository" / "mnist_mlp" / "1" / "model.onnx").read_bytes()
    _model(folder, name, change(_CONFIG.format(name=name)), file, content)


def _model(folder: Path, name: str, config: str, file: str = "", content: bytes = b"") -> None:
    place = folder / name / "1"
    place.mkdir(parents=True)
    (folder / name / "config.pbtxt").write_text(config)
    if file:
        (place / file).write_bytes(content)


def _state_dict() -> bytes:
    """What `torch.save(network.state_dict(), "model.pt")` writes, as far as a loader looks: weights, no code.

    Written by hand, so that the gallery needs no PyTorch. The layout is the one of `torch.save` since
    1.6: a zip archive with `data.pkl`, a file per storage and `version`; a TorchScript archive would
    also have `code/` and `constants.pkl`.
    """
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, content in (
            # An empty collections.OrderedDict, in pickle's protocol 2.
            ("data.pkl", b"\x80\x02ccollections\nOrderedDict\nq\x00)Rq\x01."),
            ("byteorder", b"little"),
            ("data/0", bytes(4 * 10)),
            ("version", b"3\n"),
        ):
            archive.writestr(zipfile.ZipInfo(f"model/{name}"), content)
    return file.getvalue()
