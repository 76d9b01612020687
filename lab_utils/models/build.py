"""Build the models that the labs serve, once, and keep them by the recipe they came from."""

from __future__ import annotations

import hashlib
import importlib.util
import io
import json
import warnings
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from filelock import FileLock, Timeout

from lab_utils.errors import LabError
from lab_utils.files import write_bytes
from lab_utils.models import digits, mlp
from lab_utils.paths import cache_home, project_root

MODEL = "mnist_mlp"
_LOCK_SECONDS = 300


@dataclass(frozen=True)
class Cache:
    """Where one recipe's files are kept.

    Attributes:
        folder: `cache_home()/models/mnist_mlp-<recipe>`; a changed recipe has another folder.
    """

    folder: Path

    @property
    def onnx(self) -> Path:
        """The ONNX file."""
        return self.folder / "model.onnx"

    @property
    def torchscript(self) -> Path:
        """The TorchScript file."""
        return self.folder / "model.pt"

    @property
    def facts(self) -> Path:
        """Test accuracy and versions, as JSON."""
        return self.folder / "facts.json"


def recipe() -> str:
    """Hash of everything the model's bits depend on: our code and the libraries' versions."""
    content = hashlib.sha256()
    for module in (digits, mlp):
        content.update(Path(str(module.__file__)).read_bytes())
    for library in ("numpy", "scikit-learn", "onnx"):
        content.update(f"{library}={version(library)};".encode())
    if has_torch():
        content.update(f"torch={version('torch')};".encode())
    return content.hexdigest()[:16]


def has_torch() -> bool:
    """Whether PyTorch is installed (without importing it, which takes seconds)."""
    return importlib.util.find_spec("torch") is not None


def model_cache() -> Cache:
    """The cache of the present recipe; its files need not exist yet."""
    return Cache(cache_home() / "models" / f"{MODEL}-{recipe()}")


def build_models(force: bool = False, repository: Path | None = None) -> list[Path]:
    """Make the files that git does not hold. Nothing is downloaded; safe to run twice at once.

    Args:
        force: Train again even when the cache holds this recipe.
        repository: Model repository to fill; default: the project's `model_repository/`.

    Returns:
        The files written by this call: `mnist_mlp/1/model.onnx` in the repository and, with
        PyTorch installed, the cached TorchScript file. Empty when all was up to date.

    Raises:
        LabError: The trained model is not accurate enough, or another build never ends.
    """
    cache = model_cache()
    target = (repository or project_root() / "model_repository") / MODEL / "1" / "model.onnx"
    cache.folder.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(cache.folder.parent / ".lock", timeout=_LOCK_SECONDS)
    try:
        with lock:
            written = _fill(cache, force)
            content = cache.onnx.read_bytes()
            if force or not target.exists() or target.read_bytes() != content:
                write_bytes(target, content)
                written.append(target)
            return written
    except Timeout as error:
        raise LabError(
            f"Another process has been building the models for {_LOCK_SECONDS} s.",
            fix=f"End it, or delete {lock.lock_file} when there is none; then: triton-lab models build",
        ) from error


def torchscript_file() -> Path:
    """The digit classifier as TorchScript, built when it is not in the cache.

    Raises:
        LabError: PyTorch is not installed.
    """
    if not has_torch():
        raise LabError(
            "The TorchScript model needs PyTorch, which is not installed.",
            fix="pip install -e '.[torch]' -c constraints.txt",
        )
    cache = model_cache()
    if not cache.torchscript.exists():
        build_models()
    return cache.torchscript


def accuracy() -> float:
    """Share of the test digits the built model reads rightly, measured when it was trained."""
    cache = model_cache()
    if not cache.facts.exists():
        build_models()
    return float(json.loads(cache.facts.read_text(encoding="utf-8"))["accuracy"])


def _fill(cache: Cache, force: bool) -> list[Path]:
    """Train and write what the cache lacks; returns the TorchScript file when it was written."""
    wanted = [cache.onnx, cache.facts] + ([cache.torchscript] if has_torch() else [])
    if not force and all(path.exists() for path in wanted):
        return []
    network = mlp.train()
    write_bytes(cache.onnx, mlp.to_onnx(network).SerializeToString(deterministic=True))
    facts = {"accuracy": network.accuracy, "opset": mlp.OPSET, "ir_version": mlp.IR_VERSION}
    write_bytes(cache.facts, (json.dumps(facts) + "\n").encode())
    if not has_torch():
        return []
    import torch

    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # see mlp.to_torchscript
        torch.jit.save(mlp.to_torchscript(network), buffer)
    write_bytes(cache.torchscript, buffer.getvalue())
    return [cache.torchscript]
