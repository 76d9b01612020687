"""A model repository drawn as a tree, with what Triton serves and what it passes over."""

from __future__ import annotations

import os
from pathlib import Path

from lab_utils.repository.errors import RepositoryError
from lab_utils.repository.layout import ModelFolder, Repository, version_number

_AT_MOST = 12
"""Entries of one version folder that are drawn; the rest is counted."""
_IGNORED = {".ipynb_checkpoints": "ignored", "__pycache__": "made by Python"}


def draw_tree(path: Path | str) -> str:
    """A repository, or one model folder, as text: names, sizes, and remarks of what Triton does with them.

    Raises:
        RepositoryError: There is no such folder.
    """
    path = Path(path)
    repository = Repository(path)
    if (path / "config.pbtxt").is_file():
        return "\n".join([f"{path.resolve().name}/{_remark(_model_remark(ModelFolder(path)))}",
                          *_model_lines(ModelFolder(path), "")])  # fmt: skip
    odd = {entry.path: entry.reason for entry in repository.odd}
    lines = [f"{path.resolve().name}/"]
    entries = sorted(path.iterdir(), key=lambda p: (not p.is_dir(), p.name))
    for index, entry in enumerate(entries):
        branch, indent = _branch(index, len(entries))
        if entry.is_dir():
            model = ModelFolder(entry)
            lines.append(f"{branch}{entry.name}/{_link(entry)}{_remark(_model_remark(model))}")
            lines += _model_lines(model, indent)
        else:
            lines.append(f"{branch}{_entry(entry)}{_remark(odd.get(entry, ''))}")
    return "\n".join(lines)


def size_text(path: Path) -> str:
    """The size of a file, or of all files in a folder, in words: `1.4 MiB`."""
    try:
        if path.is_dir():
            files = (Path(top) / name for top, _, names in os.walk(path) for name in names)
            size = float(sum(f.lstat().st_size for f in files))
        else:
            size = float(path.stat().st_size)
    except OSError:
        return "broken link" if path.is_symlink() else "unreadable"
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.0f} B" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} GiB"


def _model_remark(model: ModelFolder) -> str:
    if model.name.startswith(".") or model.name == "__pycache__":
        return "Triton takes this folder for a model"
    try:
        config = model.config
    except RepositoryError:
        return "config.pbtxt cannot be read" if model.config_path else "no config.pbtxt"
    kind = config.platform or config.backend or "no platform, no backend"
    return (
        f"{kind}, batches up to {config.max_batch_size}"
        if config.max_batch_size > 0
        else f"{kind}, no batching"
    )


def _model_lines(model: ModelFolder, indent: str) -> list[str]:
    odd = {entry.path: entry.reason for entry in model.odd}
    served = set(model.served_versions)
    wanted = set(model.model_files.values())
    entries = sorted(model.path.iterdir(), key=lambda p: (p.is_dir(), _version_key(p)))
    lines = []
    for index, entry in enumerate(entries):
        branch, deeper = _branch(index, len(entries))
        number, reason = version_number(entry.name) if entry.is_dir() else (None, "file")
        if number is not None and not reason:
            remark = "served" if number in served else "not served: the version policy leaves it out"
            lines.append(f"{indent}{branch}{entry.name}/{_link(entry)}{_remark(remark)}")
            lines += _version_lines(entry, indent + deeper, wanted)
        else:
            lines.append(f"{indent}{branch}{_entry(entry)}{_remark(odd.get(entry, ''))}")
    return lines


def _version_lines(folder: Path, indent: str, wanted: set[Path]) -> list[str]:
    entries = sorted(folder.iterdir())
    missing = [file for file in wanted if file.parent == folder and not file.exists()]
    shown = [_entry(e) + _remark(_IGNORED.get(e.name, "")) for e in entries[:_AT_MOST]]
    if len(entries) > _AT_MOST:
        shown.append(f"... {len(entries) - _AT_MOST} more")
    shown += [file.name + _remark("missing") for file in missing]
    return [f"{indent}{_branch(index, len(shown))[0]}{text}" for index, text in enumerate(shown)]


def _entry(path: Path) -> str:
    """Name, target of a link, and size."""
    return f"{path.name}{'/' if path.is_dir() else ''}{_link(path)}  {size_text(path)}"


def _version_key(path: Path) -> tuple[int, str]:
    number = version_number(path.name)[0] if path.is_dir() else None
    return (number if number is not None else 2**63, path.name)


def _branch(index: int, count: int) -> tuple[str, str]:
    return ("└── ", "    ") if index == count - 1 else ("├── ", "│   ")


def _link(path: Path) -> str:
    return f" -> {path.readlink()}" if path.is_symlink() else ""


def _remark(text: str) -> str:
    return f"  # {text}" if text else ""
