"""Model repositories that checks make for themselves, with sound and with broken models."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from lab_utils.progress.context import LabContext
from lab_utils.progress.probes import latest_version

CONFIG = """name: "{name}"
platform: "onnxruntime_onnx"
max_batch_size: 8192
input [ {{ name: "input" data_type: TYPE_FP32 dims: [ 1, 28, 28 ] }} ]
output [ {{ name: "output" data_type: TYPE_FP32 dims: [ 10 ] }} ]
instance_group [ {{ kind: KIND_CPU count: 1 }} ]
"""

NOT_ONNX = b"this is not an ONNX file"


def place(
    ctx: LabContext,
    folder: Path,
    name: str,
    *,
    edit: Callable[[str], str] = str,
    config: bool = True,
    version: bool = True,
    content: bytes | None = None,
) -> None:
    """Put the digits model into a repository under a name, whole or broken.

    Args:
        ctx: The lab context, for the ONNX file of its repository.
        folder: The repository.
        name: The model's name.
        edit: Changes the text of its config.pbtxt.
        config: False leaves the config out.
        version: False leaves the version folder out.
        content: What model.onnx holds instead of the model.
    """
    model = folder / name
    model.mkdir(parents=True)
    if config:
        (model / "config.pbtxt").write_text(edit(CONFIG.format(name=name)))
    if version:
        (model / "1").mkdir()
        if content is None:
            shutil.copy(latest_version(ctx.repository, "mnist_mlp") / "model.onnx", model / "1")
        else:
            (model / "1" / "model.onnx").write_bytes(content)


def fresh_name(ctx: LabContext, word: str) -> str:
    """A model name that nobody can know beforehand; sorts by `word`."""
    return f"{word}_{int(ctx.rng.integers(1 << 20)):05x}"
