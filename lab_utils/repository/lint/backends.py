"""Names of backends and platforms, and how Triton finds the backend of a config that names none.

The steps are those of `AutoCompleteBackendFields` in triton-inference-server/core
(src/model_config_utils.cc, r24.10), tried on the server.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tritonclient.grpc.model_config_pb2 import ModelConfig

from lab_utils.repository.files import GUESSED_FILES as FILES
from lab_utils.repository.files import PLATFORMS

ENSEMBLE = "ensemble"


@dataclass(frozen=True)
class Backend:
    """The backend that Triton chooses. An empty name and a reason when it finds none."""

    name: str
    file: str = ""
    refusal: str = ""
    guessed: bool = False


def choose_backend(folder: Path, model: str, config: ModelConfig) -> Backend:
    """The backend of a model, as Triton finds it from the config and the first version folder."""
    platform, backend, file = config.platform, config.backend, config.default_model_filename
    if platform == ENSEMBLE:
        return Backend(ENSEMBLE)
    if not platform and not backend:
        found = _from_files(folder, file)
        if found:
            return Backend(found.split("_")[0], file or FILES[found], guessed=True)
        if not file:
            if "." not in model:
                return Backend("", refusal="undetermined")
            name = model.split(".", 1)[1]
            return Backend(name, f"model.{name}", guessed=True)
        return Backend("", refusal="platform")
    if not backend:
        if platform not in PLATFORMS:
            return Backend("", refusal="platform")
        name = PLATFORMS[platform]
        default = FILES.get(platform, FILES.get(name, ""))
        return Backend(name, file or default)
    if backend == "tensorflow":
        return Backend(backend, file or FILES.get(platform, ""))
    return Backend(backend, file or FILES.get(backend, ""))


def _from_files(folder: Path, file: str) -> str | None:
    """The backend whose default file name is given, or stands in the first folder of the model."""
    for backend, default in FILES.items():
        if file == default:
            return backend
    if file:
        return None
    folders = sorted(p for p in folder.iterdir() if p.is_dir()) if folder.is_dir() else []
    there = {p.name for p in folders[0].iterdir()} if folders else set()
    return next((backend for backend, default in FILES.items() if default in there), None)
