"""A model's configuration as a protobuf message: read, written, and asked from a server."""

from __future__ import annotations

import contextlib
from pathlib import Path

import httpx
from google.protobuf import json_format, text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig

from lab_utils.repository.errors import ConfigError, RepositoryError
from lab_utils.repository.messages import Fault, config_error, line_and_column
from lab_utils.repository.parse import Parser

CONFIG_NAME = "config.pbtxt"


def parse_config(text: str, *, source: str = CONFIG_NAME) -> ModelConfig:
    """The message that a text stands for, judged as the server of the labs judges it.

    Args:
        text: The content of a config.pbtxt.
        source: The file's name for the error message.

    Raises:
        ConfigError: Triton refuses the text; with line, column, field and the nearest real name.
    """
    try:
        return Parser(text).parse()
    except Fault as fault:
        raise config_error(text, fault, source) from None


def read_text(path: Path) -> str:
    """The text of a config.pbtxt as Triton sees it: UTF-8, and no other encoding.

    Bytes that are not UTF-8 become U+FFFD: inside a comment or a text Triton does not mind them.

    Raises:
        RepositoryError: There is no such file, or it cannot be read.
        ConfigError: The file is UTF-16, or it is not text.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise RepositoryError(
            f"{path} cannot be read.",
            why=error.strerror or str(error),
            fix="Check the path; a model's config is the file config.pbtxt in the model's folder.",
        ) from None
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise ConfigError(
            f"{path.name} is saved as UTF-16.",
            line=1,
            column=1,
            problem="encoding",
            log_line=f"1:1: Interpreting non ascii codepoint {data[0]}.",
            why="Triton reads a config.pbtxt as UTF-8; some Windows editors and shells write UTF-16.",
            fix="Save the file again with the encoding UTF-8 (without BOM).",
        )
    return data.decode("utf-8", "replace")


def read_config(path: Path) -> ModelConfig:
    """The config of a model folder, or of a config.pbtxt.

    Raises:
        ConfigError: Triton refuses the text.
        RepositoryError: There is no such file.
    """
    path = Path(path)
    file = path / CONFIG_NAME if path.is_dir() else path
    source = f"{file.parent.name}/{file.name}" if file.parent.name else file.name
    return parse_config(read_text(file), source=source)


def fault_behind(folder: Path, log: str) -> ConfigError | None:
    """The fault of a model's config.pbtxt that a part of Triton's log reports.

    Args:
        folder: The model's folder.
        log: Lines of the log, with libprotobuf's `Error parsing text-format ... 2:14: ...`.

    Returns:
        None when the file cannot be read here, has no fault, or has another one by now than the log says.
    """
    try:
        read_config(folder)
    except ConfigError as error:
        # The place decides: one fault may draw a second line with other words at the same place.
        place = ":".join(error.log_line.split(":", 2)[:2])
        return error if f"ModelConfig: {place}: " in log else None
    except RepositoryError:
        return None
    return None


def format_config(config: ModelConfig) -> str:
    """The text form of a config: fields in the order of Triton's schema, two spaces per level, stable."""
    return text_format.MessageToString(config, indent=0, use_short_repeated_primitives=True, as_utf8=True)


def places(text: str) -> dict[str, tuple[int, int]]:
    """Line and column of every field of a text, by path, as far as the text can be read."""
    try:
        parser = Parser(text)
    except Fault:
        return {}
    with contextlib.suppress(Fault):  # what was read before the fault has its place
        parser.parse()
    return {path: line_and_column(text, offset) for path, offset in parser.places.items()}


def locate(text: str, field: str) -> tuple[int, int] | None:
    """Line and column (from 1) of a field in a config's text; None when it does not stand there.

    Args:
        text: The content of a config.pbtxt; it need not be valid behind the field.
        field: Path of the field: `max_batch_size`, `input[1].dims`, `input[1].dims[0]`,
            `parameters[key].string_value` (`.value` may be left out), `input` is the first one.
    """
    known = places(text)
    if field in known:
        return known[field]
    return known.get(_with_value(field))


def locate_nearest(text: str, field: str) -> tuple[int, int]:
    """The place of a field, else of the nearest thing around it that is written; else the first line."""
    known = places(text)
    path = field
    while path:
        for name in (path, _with_value(path), f"{path}[0]"):
            if name in known:
                return known[name]
        path = path[: max(path.rfind("."), path.rfind("["), 0)]
    return 1, 1


def _with_value(field: str) -> str:
    """`parameters[key].string_value` is written as `parameters { key: ... value { string_value: ...`."""
    head, bracket, rest = field.partition("]")
    return f"{head}].value{rest}" if bracket and rest and not rest.startswith(".value") else field


def served_config(address: str, model: str, version: str = "", *, timeout: float = 10.0) -> ModelConfig:
    """The config of a model as the server reports it: the file's, plus auto-complete and defaults.

    Args:
        address: The server's HTTP address, `host:port` (with or without `http://`).
        model: Name of the model; it must be loaded.
        version: One version; by default the one that the server answers with.
        timeout: Seconds.

    Raises:
        RepositoryError: No server answers there, or it does not serve this model.
    """
    base = address if "://" in address else f"http://{address}"
    part = f"/versions/{version}" if version else ""
    try:
        answer = httpx.get(f"{base}/v2/models/{model}{part}/config", timeout=timeout)
    except httpx.HTTPError as error:
        raise RepositoryError(
            f"No server answers at {address}.",
            why=f"{type(error).__name__}: {error}",
            fix="`triton-lab status` shows the running servers and their addresses.",
        ) from None
    if answer.status_code != 200:
        raise RepositoryError(
            f"The server at {address} reports no config for `{model}`.",
            why=f"Triton says: {answer.text.strip()}",
            fix="Load the model first; `POST /v2/repository/index` lists what the server knows.",
        )
    # A newer server may report fields that this client does not know yet.
    return json_format.Parse(answer.text, ModelConfig(), ignore_unknown_fields=True)
