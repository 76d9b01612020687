"""Reading on behind a fault: the field at fault is blanked out, and the rest is parsed again."""

from __future__ import annotations

from tritonclient.grpc.model_config_pb2 import ModelConfig

from lab_utils.repository.config import parse_config, places
from lab_utils.repository.errors import ConfigError

_AT_NAME = ("unknown_field", "newer_field", "duplicate_field", "two_of_one")
_AT_VALUE = ("unknown_value", "wrong_type", "out_of_range")
_AT_MOST = 12


def parse_all(text: str, source: str) -> tuple[ModelConfig | None, list[ConfigError], str]:
    """The config without its faulty fields, and every fault.

    Triton stops at the first fault. A person wants to hear of all of them at once.

    Returns:
        The message (None when a fault is one of syntax), the faults in the order of the text, and the text
        with spaces in place of the fields at fault: in it every other field still has its place.
    """
    faults: list[ConfigError] = []
    while len(faults) < _AT_MOST:
        try:
            return parse_config(text, source=source), faults, text
        except ConfigError as error:
            faults.append(error)
            mended = _without(text, error)
            if mended is None:
                return None, faults, text
            text = mended
    return None, faults, text


def _without(text: str, error: ConfigError) -> str | None:
    """The text with spaces in place of the field at fault; None when its place is not certain."""
    if error.problem in _AT_NAME:
        start = _offset(text, error.line, error.column)
    elif error.problem in _AT_VALUE:
        where = places(text).get(error.field.split("[")[0] if error.field.endswith("]") else error.field)
        if where is None:
            return None
        start = _offset(text, *where)
    else:
        return None
    stop = _field_end(text, start)
    if stop is None:
        return None
    blank = "".join(c if c == "\n" else " " for c in text[start:stop])
    return text[:start] + blank + text[stop:]


def _offset(text: str, line: int, column: int) -> int:
    return sum(len(part) + 1 for part in text.split("\n")[: line - 1]) + column - 1


def _field_end(text: str, start: int) -> int | None:
    """Offset behind the value of the field that starts here."""
    at = start
    while at < len(text) and (text[at].isalnum() or text[at] == "_"):
        at += 1
    at = _skip_space(text, at)
    if text[at : at + 1] == ":":
        at = _skip_space(text, at + 1)
    if text[at : at + 2] == "${":  # a placeholder that nobody filled in
        at = text.find("}", at) + 1
    elif text[at : at + 1] in ("{", "<", "["):
        at = _matching(text, at)
    elif text[at : at + 1] in ("'", '"'):
        at = _string_end(text, at)
    else:
        while at < len(text) and text[at] not in " \t\r\n,;}>]#":
            at += 1
    at_mark = _skip_space(text, at) if 0 < at <= len(text) else at
    if text[at_mark : at_mark + 1] in (",", ";"):
        at = at_mark + 1
    return at if start < at <= len(text) else None


def _skip_space(text: str, at: int) -> int:
    while at < len(text) and (text[at].isspace() or text[at] == "#"):
        if text[at] == "#":
            end = text.find("\n", at)
            at = len(text) if end < 0 else end
        else:
            at += 1
    return at


def _string_end(text: str, at: int) -> int:
    quote, at = text[at], at + 1
    while at < len(text) and text[at] != quote:
        at += 2 if text[at] == "\\" else 1
    return at + 1


def _matching(text: str, at: int) -> int:
    """Offset behind the bracket that closes the one at `at`; -1 when there is none."""
    depth = 0
    while at < len(text):
        at = _skip_space(text, at)
        char = text[at : at + 1]
        if char in ("'", '"'):
            at = _string_end(text, at)
            continue
        depth += (char in ("{", "[", "<")) - (char in ("}", "]", ">"))
        at += 1
        if depth == 0:
            return at
    return -1
