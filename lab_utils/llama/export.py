"""The stateless export: a whole Llama as one TorchScript file, tokens in, logits out, nothing remembered."""

from __future__ import annotations

import hashlib
import io
import warnings
from importlib.metadata import version
from pathlib import Path

import torch
from filelock import FileLock

from lab_utils.errors import LabError
from lab_utils.files import write_bytes
from lab_utils.llama.config import LlamaError
from lab_utils.llama.script import scripted
from lab_utils.llama.source import find_llama
from lab_utils.llama.weights import load_llama
from lab_utils.paths import cache_home, project_root

MODEL = "llama_logits"
_LOCK_SECONDS = 600


def export_logits(source: Path, target: Path) -> Path:
    """Write a Llama as TorchScript with `forward(tokens int64 [B, T]) -> logits float32 [B, T, vocab]`.

    The module is frozen: weights are constants of the graph, and only `forward` is left. Row b, place t
    has the logits of the token that follows the first t + 1 tokens of row b. What stands to the right of
    a place does not change it, so that shorter rows may be padded on the right with any token.

    Args:
        source: A Hugging Face folder with a Llama.
        target: The file to write; replaced at once when it is complete.

    Returns:
        `target`.

    Raises:
        LlamaError: The folder holds no Llama that can be read, or the export does not agree with it.
    """
    llama = load_llama(source)
    with warnings.catch_warnings():
        # TorchScript is deprecated in PyTorch; see lab_utils.llama.script for its standing.
        warnings.filterwarnings("ignore", message=".*torch.jit")
        module = torch.jit.freeze(scripted(llama, freeze=False))
        buffer = io.BytesIO()
        torch.jit.save(module, buffer)
        buffer.seek(0)
        again = torch.jit.load(buffer)
    tokens = torch.arange(6).reshape(2, 3)
    with torch.inference_mode():
        error = float((again(tokens) - llama(tokens)).abs().max())
    if not error <= 1e-4:
        raise LlamaError(
            f"The exported file gives other logits than the model (largest difference {error:.3g}).",
            fix="Install the versions of constraints.txt.",
        )
    write_bytes(target, buffer.getvalue())
    return target


def build_logits(repository: Path | None = None, model: str | None = None, force: bool = False) -> list[Path]:
    """Put `llama_logits/1/model.pt`, which git does not hold, into a model repository.

    Args:
        repository: Model repository that has the folder `llama_logits`. Default: the project's.
        model: Which Llama: see `find_llama`.
        force: Export again even when the cache holds this file.

    Returns:
        The file when this call wrote it; empty when it was up to date.

    Raises:
        LabError: The repository has no such model, or the Llama cannot be had.
    """
    folder = (repository or project_root() / "model_repository") / MODEL
    if not (folder / "config.pbtxt").is_file():
        raise LabError(
            f"There is no model {MODEL} in {folder.parent}.",
            fix=f"Copy model_repository/{MODEL} there first.",
        )
    source = find_llama(model)
    cached = cache_home() / "models" / f"{MODEL}-{_recipe(source)}" / "model.pt"
    cached.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(cached.parent.parent / f".{MODEL}.lock", timeout=_LOCK_SECONDS):
        if force or not cached.exists():
            export_logits(source, cached)
        content, target = cached.read_bytes(), folder / "1" / "model.pt"
        if not force and target.exists() and target.read_bytes() == content:
            return []
        target.parent.mkdir(exist_ok=True)
        write_bytes(target, content)
        return [target]


def _recipe(source: Path) -> str:
    """Hash of what the file depends on: the weights (by path, size and time), our code, PyTorch."""
    content = hashlib.sha256(str(source.resolve()).encode())
    for file in sorted(source.glob("*.safetensors")):
        facts = file.stat()
        content.update(f"{file.name} {facts.st_size} {facts.st_mtime_ns};".encode())
    here = Path(__file__).parent
    for code in ("model.py", "script.py", "export.py", "weights.py"):
        content.update((here / code).read_bytes())
    content.update(version("torch").encode())
    return content.hexdigest()[:16]
