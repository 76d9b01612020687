"""The file and line where a mend is made: a field of config.pbtxt, or a line of model.py."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lab_utils.diagnosis.rule import Match

if TYPE_CHECKING:
    from google.protobuf.message import Message

# `  /models/net/1/model.py(12): initialize` of the stub, and Python's own `File "...", line 12`.
_FRAME = re.compile(r"^\s*(?P<file>/?[^\s()\"<>]+\.py)\((?P<line>\d+)\): ", re.M)
_FILE_LINE = re.compile(r'File "(?P<file>[^"<>]+)", line (?P<line>\d+)')
# Names by which an entry of a repeated field is known.
_KEYS = ("name", "model_name", "key")


@dataclass(frozen=True)
class Place:
    """A file (as text, it may lie on another machine) and a line from 1, each None when not known."""

    file: str | None = None
    line: int | None = None


def find_place(match: Match, text: str, model: str, repository: Path | None) -> Place:
    """Where to mend.

    Args:
        match: The rule that fits, and what it caught.
        text: The whole message.
        model: The model's name.
        repository: The model repository, if it can be read here.
    """
    folder = repository / model if repository and (repository / model).is_dir() else None
    if match.rule.place == "line":
        return Place(_config_name(text, model, folder), int(match.groups["line"]))
    frame = own_frame(text, model)
    if frame.file and (match.rule.place in ("", "model.py")):
        return Place(_here(frame.file, model, folder), frame.line)
    if match.rule.place == "folder":
        inside = match.groups.get("folder", "")
        return Place(str(folder / inside) if folder else f"{model}/{inside}".rstrip("/"))
    if match.rule.place == "model.py":
        return _python_place(match, model, folder)
    if match.places:
        return Place(_config_name(text, model, folder), _field_line(match.places, folder))
    return Place(_here(match.groups["path"], model, folder)) if match.groups.get("path") else Place()


def own_frame(text: str, model: str) -> Place:
    """The innermost line of a traceback that lies in the model's own folder.

    The stub prints the innermost frame first, Python prints it last.
    """
    own = re.compile(rf"(?:^|/){re.escape(model)}/")
    frames = [(m["file"], int(m["line"])) for m in _FRAME.finditer(text)]
    frames += [(m["file"], int(m["line"])) for m in reversed(list(_FILE_LINE.finditer(text)))]
    for file, line in frames:
        if own.search(file) and "site-packages" not in file:
            return Place(file, line)
    return Place()


def _python_place(match: Match, model: str, folder: Path | None) -> Place:
    """model.py without a traceback: the line that the message names (a syntax error), else the file."""
    line = match.groups.get("line", "")
    name = match.groups.get("file") or "model.py"
    found = sorted(folder.glob(f"*/{name}")) if folder else []
    file = str(found[-1]) if found else f"{model}/1/{name}"
    return Place(file, int(line) if line.isdigit() else None)


def _config_name(text: str, model: str, folder: Path | None) -> str:
    """The path of the model's config.pbtxt here, else as the log has it, else inside the repository."""
    named = re.search(r"(?P<path>/\S+\.pbtxt)", text)
    if folder is not None:
        inside = named["path"].rpartition(f"/{model}/")[2] if named else ""
        other = folder / inside if inside else folder / "config.pbtxt"
        return str(other if other.is_file() else folder / "config.pbtxt")
    return named["path"] if named else f"{model}/config.pbtxt"


def _here(path: str, model: str, folder: Path | None) -> str:
    """A path of the log on this machine, when the repository is here (a container has other paths)."""
    if folder is None or Path(path).exists():
        return path
    inside = path.rpartition(f"/{model}/")[2]
    return str(folder / inside) if inside and (folder / inside).exists() else path


def _field_line(fields: list[str], folder: Path | None) -> int | None:
    """The line of the first of these fields that the config has; None without a config to look into."""
    if folder is None or not (folder / "config.pbtxt").is_file():
        return None
    # Not above: with it comes gRPC, and every command of `triton-lab` would wait for that.
    from lab_utils.repository import (
        ConfigError,
        RepositoryError,
        locate,
        locate_nearest,
        parse_config,
        read_text,
    )

    try:
        text = read_text(folder / "config.pbtxt")
        config: Message | None = parse_config(text)
    except ConfigError:
        text, config = text, None
    except RepositoryError:
        return None
    paths = [_index(field, config) for field in fields]
    for path in paths:
        if path and (found := locate(text, path)):
            return found[0]
    return locate_nearest(text, next((p for p in paths if p), "name"))[0]


def _index(field: str, config: Message | None) -> str | None:
    """`input.pixels.dims` as `input[1].dims`: an entry by its name, its number, or a map's key."""
    path, message = "", config
    parts = field.split(".")
    while parts:
        name = parts.pop(0)
        path += f".{name}" if path else name
        known = message.DESCRIPTOR.fields_by_name.get(name) if message is not None else None
        if known is None:
            message = None
            if parts and parts[0].isdigit():
                path += f"[{parts.pop(0)}]"
            continue
        value = getattr(message, name)
        if not known.is_repeated:
            message = value if known.message_type else None
            continue
        message = None
        if known.message_type and known.message_type.GetOptions().map_entry:
            if parts:
                path += f"[{parts.pop(0)}]"
        elif parts:
            wanted = parts.pop(0)
            number = _number(value, wanted)
            if number is None:
                return None
            path += f"[{number}]"
            message = value[number] if number < len(value) and known.message_type else None
    return path


def _number(entries: list[Message], wanted: str) -> int | None:
    """The place of an entry by number or name."""
    if wanted.isdigit():
        return int(wanted)
    for number, entry in enumerate(entries):
        if any(getattr(entry, key, None) == wanted for key in _KEYS):
            return number
    return None
