"""The folders of a model repository as Triton reads them: models, versions, files, and what is odd.

What is said here about names was tried on tritonserver 2.51 (docs/model-repository.md has the table).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from tritonclient.grpc.model_config_pb2 import ModelConfig

from lab_utils.repository.config import CONFIG_NAME, read_config
from lab_utils.repository.errors import RepositoryError
from lab_utils.repository.files import default_file

# Triton reads a version with C++'s stoll: blanks, a sign, digits, and whatever follows is dropped.
_NUMBER = re.compile(r"[ \t\n\v\f\r]*([+-]?\d+)")
_MOST = 2**63 - 1


@dataclass(frozen=True)
class OddEntry:
    """A file or folder that Triton does not use as its owner may think.

    Attributes:
        path: The entry.
        reason: What Triton does with it, and why.
        harm: False when Triton just passes over it; True when it changes what is served, or fails a load.
    """

    path: Path
    reason: str
    harm: bool = False


def version_number(folder: str) -> tuple[int | None, str]:
    """The version that Triton reads from a folder's name, and what is odd about it.

    Returns:
        The number (None when the folder is ignored) and the reason, which is empty for `1`, `20240101`,
        and also for `0`.
    """
    if len(folder) > 1 and folder.startswith("0"):
        return None, "ignored: a version has no leading zeros"
    found = _NUMBER.match(folder)
    if not found:
        return None, "ignored: the name is no number; versions are 1, 2, 3 ..."
    number = int(found.group(1))
    if abs(number) > _MOST:
        return None, "the number is larger than 64 bits: Triton ends with an uncaught error"
    if folder == str(number) and number >= 0:
        return number, ""
    # Internally a version is an unsigned number, so -1 becomes 18446744073709551615.
    looked_for = number % 2**64
    return number, f"Triton takes it for version {number}, and then looks for the files in `{looked_for}/`"


@dataclass(frozen=True)
class ModelFolder:
    """One model of a repository, as a folder.

    Attributes:
        path: The folder; its name is the model's name.
    """

    path: Path

    @property
    def name(self) -> str:
        """The name under which Triton knows the model."""
        return self.path.name

    @property
    def config_path(self) -> Path | None:
        """Its config.pbtxt; None when there is none."""
        file = self.path / CONFIG_NAME
        return file if file.is_file() else None

    @cached_property
    def config(self) -> ModelConfig:
        """The config. Raises `ConfigError` when Triton refuses it, `RepositoryError` when there is none."""
        return read_config(self.path)

    @property
    def extra_configs(self) -> list[Path]:
        """Configs in `configs/`, used when the server runs with `--model-config-name`."""
        folder = self.path / "configs"
        return sorted(folder.glob("*.pbtxt")) if folder.is_dir() else []

    @cached_property
    def versions(self) -> tuple[int, ...]:
        """The versions that are there, ascending: folders named by a plain number."""
        found = (version_number(p.name) for p in self._folders)
        return tuple(sorted(number for number, reason in found if number is not None and not reason))

    @property
    def served_versions(self) -> tuple[int, ...]:
        """The versions that the config's version policy selects from those that are there.

        Without a policy, or without a readable config, the newest one.
        """
        try:
            policy = self.config.version_policy
        except RepositoryError:
            return self.versions[-1:]
        which = policy.WhichOneof("policy_choice")
        if which == "all":
            return self.versions
        if which == "specific":
            return tuple(v for v in self.versions if v in set(policy.specific.versions))
        count = policy.latest.num_versions if which == "latest" else 1
        return self.versions[-count:] if count else ()

    @property
    def version_folders(self) -> list[Path]:
        """The folders of `versions`, in that order."""
        return [self.path / str(v) for v in self.versions]

    @property
    def model_files(self) -> dict[int, Path]:
        """Where Triton looks for the model file of each version; the file need not be there.

        Empty for an ensemble, and when the config cannot be read or names no backend that is known here.
        """
        try:
            name = default_file(self.config)
        except RepositoryError:
            name = self._only_default()
        return {v: self.path / str(v) / name for v in self.versions} if name else {}

    def _only_default(self) -> str | None:
        """Without a config: the default file that is there."""
        for name in ("model.onnx", "model.pt", "model.py", "model.plan"):
            if any((folder / name).exists() for folder in self.version_folders):
                return name
        return None

    @cached_property
    def odd(self) -> tuple[OddEntry, ...]:
        """Entries that Triton ignores or takes for something else; not files that lie in a version folder."""
        found: list[OddEntry] = []
        for entry in sorted(self.path.iterdir()):
            if entry.is_dir():
                if entry.name == "configs" and self.extra_configs:
                    continue
                number, reason = version_number(entry.name)
                if reason and not (number is None and self._mentioned(entry.name)):
                    if number in self.versions:
                        reason = f"read as version {number}, which is there already: `{number}/` is served"
                        found.append(OddEntry(entry, reason))
                    else:
                        found.append(OddEntry(entry, reason, harm="ignored" not in reason))
            elif entry.name.lower() != CONFIG_NAME and _looks_like_config(entry.name):
                found.append(OddEntry(entry, f"ignored: Triton reads only `{CONFIG_NAME}`"))
            elif entry.name != CONFIG_NAME and entry.name.lower() == CONFIG_NAME:
                found.append(OddEntry(entry, f"ignored: the name is `{CONFIG_NAME}`, in small letters"))
            elif version_number(entry.name)[1] == "":
                found.append(OddEntry(entry, "ignored: a version is a folder, this is a file"))
            elif re.fullmatch(r"model\.\w+", entry.name):
                found.append(OddEntry(entry, "ignored: a model file belongs into a version folder, `1/`"))
        return tuple(found)

    def _mentioned(self, name: str) -> bool:
        """True when the config points into this folder (parameters, files of a tokenizer ...)."""
        try:
            return f"{name}/" in str(self.config) or f'"{name}"' in str(self.config)
        except RepositoryError:
            return False

    @property
    def _folders(self) -> list[Path]:
        return [p for p in self.path.iterdir() if p.is_dir()]


def _looks_like_config(name: str) -> bool:
    return bool(
        re.fullmatch(r"config\.(pbtxt\.\w+|pbtx|pbtext|pb|txt|prototxt|json|ya?ml)", name, re.IGNORECASE)
    )


class Repository:
    """A model repository: a folder with one folder per model.

    Args:
        path: The folder.

    Raises:
        RepositoryError: There is no such folder.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        if not self.path.is_dir():
            raise RepositoryError(
                f"{self.path} is not a folder.",
                why="A model repository is a folder with one folder per model.",
                fix="Check the path.",
            )

    @property
    def models(self) -> list[ModelFolder]:
        """Every folder in it, by name: Triton takes each one for a model, hidden ones too."""
        return [ModelFolder(p) for p in sorted(self.path.iterdir()) if p.is_dir()]

    @property
    def phantoms(self) -> list[ModelFolder]:
        """Folders that are surely not meant as models: `.ipynb_checkpoints`, `__pycache__`, `.git`."""
        return [m for m in self.models if m.name.startswith(".") or m.name == "__pycache__"]

    @property
    def odd(self) -> list[OddEntry]:
        """Files beside the models; Triton passes over them."""
        files = [p for p in sorted(self.path.iterdir()) if not p.is_dir()]
        return [OddEntry(p, "ignored: a model is a folder") for p in files]

    def model(self, name: str) -> ModelFolder:
        """The model of this name. Raises `RepositoryError` when there is none."""
        for model in self.models:
            if model.name == name:
                return model
        raise RepositoryError(
            f"The repository {self.path} has no model `{name}`.",
            why=f"It has: {', '.join(m.name for m in self.models) or 'nothing'}.",
            fix="Names are those of the folders, letter by letter.",
        )
