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
from lab_utils.models.build_cnn import CNN, build_cnn, can_build_cnn
from lab_utils.paths import cache_home, project_root

MODEL = "mnist_mlp"
ENSEMBLE = "digits_pipeline"
SMALL_HIDDEN, SMALL_EPOCHS, SMALL_ACCURACY = (16,), 60, 0.85
VERSIONS = ("small",)
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
    def small(self) -> Path:
        """The smaller network with the same inputs and outputs, as ONNX."""
        return self.folder / "small.onnx"

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
    content = hashlib.sha256(repr((SMALL_HIDDEN, SMALL_EPOCHS)).encode())
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
        PyTorch installed, the cached TorchScript file and `digits_cnn/1/model.pt`. Empty when all was
        up to date. The version folder of the ensemble `digits_pipeline` is made, too.

    Raises:
        LabError: The trained model is not accurate enough, or another build never ends.
    """
    cache = model_cache()
    repository = repository or project_root() / "model_repository"
    target = repository / MODEL / "1" / "model.onnx"
    if (repository / ENSEMBLE).is_dir():
        # An ensemble is only its config, but Triton wants a version folder, and git keeps no empty one.
        (repository / ENSEMBLE / "1").mkdir(exist_ok=True)
    cache.folder.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(cache.folder.parent / ".lock", timeout=_LOCK_SECONDS)
    try:
        with lock:
            written = _fill(cache, force)
            sources = {target: cache.onnx}
            if (repository / CNN).is_dir() and can_build_cnn():
                sources[repository / CNN / "1" / "model.pt"] = build_cnn(force).torchscript
            for path, source in sources.items():
                content = source.read_bytes()
                if force or not path.exists() or path.read_bytes() != content:
                    write_bytes(path, content)
                    written.append(path)
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


def version_file(name: str = "small") -> Path:
    """Another network for the digits, with the inputs and outputs of `mnist_mlp`: a version 2 of it.

    Args:
        name: `small`: 784 -> 16 -> 10, a fiftieth of the size, and some digits more are read wrongly.

    Returns:
        An ONNX file in the cache, built when it is not there. It bears no version: copy it to
        `mnist_mlp/2/model.onnx` of a repository.

    Raises:
        LabError: There is no such network.
    """
    if name not in VERSIONS:
        raise LabError(f"There is no version {name!r} of {MODEL}.", fix=f"There is: {', '.join(VERSIONS)}.")
    cache = model_cache()
    if not cache.small.exists():
        build_models()
    return cache.small


def accuracy(version: str | None = None) -> float:
    """Share of the test digits that the built model reads rightly, measured when it was trained.

    Args:
        version: None for `mnist_mlp` itself, or a name that `version_file` takes.
    """
    cache = model_cache()
    if not cache.facts.exists():
        build_models()
    facts = json.loads(cache.facts.read_text(encoding="utf-8"))
    return float(facts[f"accuracy_{version}" if version else "accuracy"])


def _fill(cache: Cache, force: bool) -> list[Path]:
    """Train and write what the cache lacks; returns the TorchScript file when it was written."""
    wanted = [cache.onnx, cache.small, cache.facts] + ([cache.torchscript] if has_torch() else [])
    if not force and all(path.exists() for path in wanted):
        return []
    network = mlp.train()
    small = mlp.train(SMALL_HIDDEN, SMALL_EPOCHS, SMALL_ACCURACY)
    for path, trained in ((cache.onnx, network), (cache.small, small)):
        write_bytes(path, mlp.to_onnx(trained).SerializeToString(deterministic=True))
    facts = {
        "accuracy": network.accuracy,
        "accuracy_small": small.accuracy,
        "opset": mlp.OPSET,
        "ir_version": mlp.IR_VERSION,
    }
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
