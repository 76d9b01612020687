"""Build `digits_cnn` once, and keep it by the recipe it came from. PyTorch is imported only to train."""

from __future__ import annotations

import hashlib
import importlib.util
import io
import json
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from lab_utils.errors import LabError
from lab_utils.files import write_bytes
from lab_utils.models import digits
from lab_utils.paths import cache_home

if TYPE_CHECKING:
    from lab_utils.models.cnn import DigitsCnn

CNN = "digits_cnn"
_NEEDED = ("torch", "safetensors")
_LOCK_SECONDS = 300


@dataclass(frozen=True)
class CnnCache:
    """Where one recipe's files are kept.

    Attributes:
        folder: `cache_home()/models/digits_cnn-<recipe>`; a changed recipe has another folder.
    """

    folder: Path

    @property
    def weights(self) -> Path:
        """The weights alone, as safetensors: what a training leaves behind."""
        return self.folder / "model.safetensors"

    @property
    def torchscript(self) -> Path:
        """TorchScript by script: what is served."""
        return self.folder / "model.pt"

    @property
    def traced(self) -> Path:
        """TorchScript by trace."""
        return self.folder / "traced.pt"

    @property
    def onnx(self) -> Path:
        """The same network as ONNX."""
        return self.folder / "model.onnx"

    @property
    def facts(self) -> Path:
        """Test accuracy, as JSON."""
        return self.folder / "facts.json"


def can_build_cnn() -> bool:
    """Whether PyTorch and safetensors are installed (without importing them, which takes seconds)."""
    return all(importlib.util.find_spec(name) is not None for name in _NEEDED)


def cnn_cache() -> CnnCache:
    """The cache of the present recipe; its files need not exist yet."""
    content = hashlib.sha256()
    folder = Path(str(digits.__file__)).parent
    for name in ("digits.py", "mlp.py", "cnn.py", "build_cnn.py"):
        content.update((folder / name).read_bytes())
    for library in ("torch", "numpy", "scikit-learn", "onnx", "safetensors"):
        try:
            content.update(f"{library}={version(library)};".encode())
        except PackageNotFoundError:
            continue  # `build_cnn` says what is missing
    return CnnCache(cache_home() / "models" / f"{CNN}-{content.hexdigest()[:16]}")


def build_cnn(force: bool = False) -> CnnCache:
    """Train and export the network when the cache lacks it. Safe to run twice at once.

    Args:
        force: Train again even when the cache holds this recipe.

    Returns:
        The cache, with all its files.

    Raises:
        LabError: PyTorch is not installed, the network is not accurate enough, or another build never ends.
    """
    cache = cnn_cache()
    wanted = (cache.weights, cache.torchscript, cache.traced, cache.onnx, cache.facts)
    if not force and all(path.exists() for path in wanted):
        return cache
    if not can_build_cnn():
        raise LabError(
            f"The model {CNN} needs PyTorch, which is not installed.",
            fix="pip install -e '.[torch]' -c constraints.txt",
        )
    cache.folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(cache.folder.parent / f".{cache.folder.name}.lock", timeout=_LOCK_SECONDS)
    try:
        with lock:
            if force or not all(path.exists() for path in wanted):
                _write(cache)
    except Timeout as error:
        raise LabError(
            f"Another process has been building {CNN} for {_LOCK_SECONDS} s.",
            fix=f"End it, or delete {lock.lock_file} when there is none; then: triton-lab models build",
        ) from error
    return cache


def _write(cache: CnnCache) -> None:
    import torch
    from safetensors.torch import save

    from lab_utils.models import cnn

    network, accuracy = cnn.train()
    for path, how in ((cache.torchscript, "script"), (cache.traced, "trace")):
        buffer = io.BytesIO()
        torch.jit.save(cnn.to_torchscript(network, how), buffer)
        write_bytes(path, buffer.getvalue())
    write_bytes(cache.onnx, cnn.to_onnx(network).SerializeToString(deterministic=True))
    write_bytes(cache.weights, save(network.state_dict()))
    write_bytes(cache.facts, (json.dumps({"accuracy": accuracy}) + "\n").encode())


def load_cnn() -> DigitsCnn:
    """The trained network as a PyTorch module, built when it is not in the cache.

    Returns:
        In evaluation mode, without gradients: images float32 `[n, 1, 28, 28]` to scores `[n, 10]`.

    Raises:
        LabError: See `build_cnn`.
    """
    cache = build_cnn()
    from safetensors.torch import load_file

    from lab_utils.models.cnn import DigitsCnn

    network = DigitsCnn()
    network.load_state_dict(load_file(cache.weights))
    return network.eval().requires_grad_(False)


def cnn_accuracy() -> float:
    """Share of the test digits that the network reads rightly, measured when it was trained."""
    return float(json.loads(build_cnn().facts.read_text(encoding="utf-8"))["accuracy"])
