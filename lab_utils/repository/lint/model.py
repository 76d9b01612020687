"""One model folder as the rules see it: config, versions, backend, tensors, model files."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from tritonclient.grpc.model_config_pb2 import DataType, ModelConfig

from lab_utils.repository.config import CONFIG_NAME, locate, locate_nearest, read_text
from lab_utils.repository.errors import ConfigError, RepositoryError
from lab_utils.repository.lint.backends import ENSEMBLE, Backend, choose_backend
from lab_utils.repository.lint.facts import ServerFacts
from lab_utils.repository.lint.mend import parse_all
from lab_utils.repository.lint.onnx_file import OnnxFile, read_onnx

DEFAULT_MAX_BATCH_SIZE = 4
"""What auto-complete writes for a model that batches (`default-max-batch-size` of a backend)."""


@dataclass(frozen=True)
class Tensor:
    """An input or output as Triton will know it. `dims` are those of the config: no batch dimension."""

    name: str
    data_type: str
    dims: tuple[int, ...]
    optional: bool = False
    reshape: tuple[int, ...] | None = None

    @property
    def model_dims(self) -> tuple[int, ...]:
        """What the model gets: `reshape` where there is one."""
        return self.dims if self.reshape is None else self.reshape

    @classmethod
    def of(cls, entry: Any) -> Tensor:
        """From an `input` or `output` entry."""
        return cls(
            entry.name,
            type_name(entry.data_type),
            tuple(entry.dims),
            bool(getattr(entry, "optional", False)),
            tuple(entry.reshape.shape) if entry.HasField("reshape") else None,
        )


def type_name(value: int) -> str:
    """`TYPE_FP32` for its number; the number itself when it has no name (protobuf takes any number)."""
    return str(DataType.Name(value)) if value in DataType.values() else str(value)


@dataclass(frozen=True)
class Versions:
    """The folders of a model by what Triton makes of them.

    Attributes:
        numbers: Version number -> the folder's own name. `1a` is version 1 for Triton, too.
        ignored: Folder name -> why it is no version.
        fatal: Folder names whose number ends the server.
    """

    numbers: dict[int, str]
    ignored: dict[str, str]
    fatal: tuple[str, ...]


def read_versions(folder: Path) -> Versions:
    """Sort the sub-folders of a model as Triton does (`model_lifecycle.cc`: C++ `stoll`)."""
    numbers: dict[int, str] = {}
    ignored: dict[str, str] = {}
    fatal = []
    entries = sorted(p.name for p in folder.iterdir() if p.is_dir()) if folder.is_dir() else []
    for name in entries:
        found = re.match(r"\s*[+-]?\d+", name)
        if len(name) > 1 and name[0] == "0":
            ignored[name] = "leading zero"
        elif not found:
            ignored[name] = "no number"
        elif not -(2**63) <= int(found[0]) < 2**63:
            fatal.append(name)
        else:
            numbers[int(found[0]) % 2**64] = name
    return Versions(numbers, ignored, tuple(fatal))


class Model:
    """One model folder, read once. Nothing of the model is executed."""

    def __init__(self, folder: Path, facts: ServerFacts, *, name: str = "") -> None:
        self.folder = folder
        self.name = name or folder.name
        self.facts = facts
        self.text = self._mended = ""
        self.faults: list[ConfigError] = []
        self.unreadable: RepositoryError | None = None
        config: ModelConfig | None = ModelConfig()
        if self.config_path.is_file():
            try:
                self.text = read_text(self.config_path)
                config, self.faults, self._mended = parse_all(self.text, CONFIG_NAME)
            except ConfigError as error:
                config, self.faults = None, [error]
            except RepositoryError as error:
                config, self.unreadable = None, error
        self.readable = config is not None
        self.config = config if config is not None else ModelConfig()

    @property
    def config_path(self) -> Path:
        """The config.pbtxt that the server reads: with `--model-config-name` a custom one, if it is there."""
        custom = self.folder / "configs" / f"{self.facts.config_name}.pbtxt"
        return custom if self.facts.config_name and custom.is_file() else self.folder / CONFIG_NAME

    @property
    def has_config(self) -> bool:
        """Whether there is a config file."""
        return self.config_path.is_file()

    @property
    def whole(self) -> bool:
        """Whether the config was read to its end without a fault."""
        return self.readable and not self.faults

    def line(self, field: str) -> int | None:
        """The line of a field, or of what stands around it."""
        return locate_nearest(self._mended, field)[0] if self._mended else None

    def written(self, field: str) -> bool:
        """Whether a field stands in the text, be it with its default value."""
        return bool(self._mended) and locate(self._mended, field) is not None

    @cached_property
    def versions(self) -> Versions:
        """All version folders."""
        return read_versions(self.folder)

    @cached_property
    def served(self) -> dict[int, str]:
        """The versions that the version policy selects, with their folder names."""
        numbers, policy = self.versions.numbers, self.config.version_policy
        choice = policy.WhichOneof("policy_choice")
        if choice == "all":
            return dict(sorted(numbers.items()))
        if choice == "specific":
            return {v: numbers[v] for v in policy.specific.versions if v in numbers}
        count = policy.latest.num_versions if choice == "latest" else 1
        latest = sorted(numbers)[-count:] if count else []
        return {v: numbers[v] for v in latest}

    @cached_property
    def backend(self) -> Backend:
        """The backend that Triton chooses."""
        return choose_backend(self.folder, self.name, self.config)

    @property
    def ensemble(self) -> bool:
        """Whether it is an ensemble."""
        return self.config.platform == ENSEMBLE

    @property
    def in_python(self) -> bool:
        """Whether one of the course's Python-based backends serves it."""
        return self.backend.name in self.facts.python_based

    @cached_property
    def files(self) -> dict[int, Path]:
        """The model file of each served version, where there is one to be looked for and it is there."""
        default = self.backend.file
        found = {}
        for version in self.served:
            path = self.folder / str(version) / default
            if default and path.is_dir() and self.backend.name in ("onnxruntime", "pytorch"):
                path = path / {"onnxruntime": "model.onnx", "pytorch": "model.pt"}[self.backend.name]
            if default and path.exists():
                found[version] = path
        return found

    @cached_property
    def onnx(self) -> dict[int, OnnxFile]:
        """The content of each served ONNX file."""
        if self.backend.name != "onnxruntime":
            return {}
        return {version: read_onnx(path) for version, path in self.files.items() if path.is_file()}

    @cached_property
    def _completed(self) -> tuple[int, list[Tensor], list[Tensor], bool]:
        config = self.config
        inputs = [Tensor.of(entry) for entry in config.input]
        outputs = [Tensor.of(entry) for entry in config.output]
        most, batching = config.max_batch_size, config.HasField("dynamic_batching")
        files = [f for f in self.onnx.values() if not f.error]
        if not (self.facts.auto_complete and files) or (inputs and outputs):
            return most, inputs, outputs, batching
        file = files[0]
        if file.batches:
            most = most or DEFAULT_MAX_BATCH_SIZE
            batching = batching or (most > 1 and not config.HasField("sequence_batching"))
        start = 1 if most > 0 else 0
        for mine, theirs in ((inputs, file.inputs), (outputs, file.outputs)):
            if mine:
                continue
            for node in theirs:
                dims = (node.dims or ())[start:]
                empty = () if start and not dims else None
                mine.append(Tensor(node.name, node.data_type or "", dims or (1,), reshape=empty))
        return most, inputs, outputs, batching

    @property
    def max_batch_size(self) -> int:
        """`max_batch_size` after auto-complete."""
        return self._completed[0]

    @property
    def inputs(self) -> list[Tensor]:
        """Inputs after auto-complete."""
        return self._completed[1]

    @property
    def outputs(self) -> list[Tensor]:
        """Outputs after auto-complete."""
        return self._completed[2]

    @property
    def dynamic_batching(self) -> bool:
        """Whether it has a dynamic batcher after auto-complete."""
        return self._completed[3]

    @cached_property
    def tensors_known(self) -> bool:
        """False when a Python model may add tensors or change the batch size in `auto_complete_config`."""
        if not self.facts.auto_complete or self.backend.name != "python":
            return True
        return not any("auto_complete_config" in path.read_text(errors="replace") for path in self._sources())

    def _sources(self) -> list[Path]:
        return [p for p in self.files.values() if p.is_file() and p.suffix == ".py"]

    def controls(self) -> list[str]:
        """Names of the control inputs of the sequence batcher."""
        return [c.name for c in self.config.sequence_batching.control_input]

    def member(self, name: str) -> Model | None:
        """Another model of the same repository; None when there is no such folder."""
        folder = self.folder.parent / name
        return Model(folder, self.facts) if name and "/" not in name and folder.is_dir() else None
