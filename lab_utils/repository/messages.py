"""From a parser's fault to an error that a student can act on."""

from __future__ import annotations

import re
from typing import Any

from tritonclient.grpc.model_config_pb2 import ModelConfig

from lab_utils.repository.errors import ConfigError
from lab_utils.repository.names import (
    SERVER_VERSION,
    is_habit,
    nearest_field,
    nearest_value,
    newer_than_server,
    places_of,
)

_WHOLE = "a whole number"
# By CPPTYPE of the field's descriptor.
_TYPE_WORDS = {
    **{1: _WHOLE, 2: _WHOLE, 3: f"{_WHOLE} from 0", 4: f"{_WHOLE} from 0", 5: "a number", 6: "a number"},
    **{
        7: "true or false",
        8: "a name without quotes",
        9: 'a text in quotes, "like this"',
        10: "a block, { ... }",
    },
}
_OTHER_LETTERS = {
    "\u201c": "a typographic quote",
    "\u201d": "a typographic quote",
    "\u2018": "a typographic quote",
    "\u2019": "a typographic quote",
    "\u00a0": "a no-break space",
    "\ufeff": "a byte order mark (BOM)",
    "\u200b": "a space of no width",
    "\u2013": "a long dash",
    "\u2014": "a long dash",
    "\uff1a": "a full-width colon",
    "\uff0c": "a full-width comma",
}


class Fault(Exception):
    """Where and why the parser stops.

    Args:
        text: Protobuf's own words.
        at: Offset (characters) where protobuf reports it.
        start: Offset of the word that is wrong.
        path: The field that was being read.
        kind: As `ConfigError.problem`.
        descriptor: Of the message that has no such field.
        word: The wrong word.
        value_of: Descriptor of the field whose value is wrong.
        wanted: What should have stood there.
        other: The other member of a oneof group.
        opened: Offset of the innermost bracket that is still open.
    """

    def __init__(
        self, text: str, at: int, start: int, path: str, *, kind: str = "syntax", **about: Any
    ) -> None:
        super().__init__(text)
        self.text, self.at, self.start, self.path, self.kind = text, at, start, path, kind
        self.descriptor = about.get("descriptor")
        self.word: str = about.get("word", "")
        self.value_of = about.get("value_of")
        self.wanted: str = about.get("wanted", "")
        self.other: str = about.get("other", "")
        self.opened: int | None = about.get("opened")


def line_and_column(text: str, offset: int) -> tuple[int, int]:
    """Line and column of an offset, both from 1, as an editor shows them (column in characters)."""
    start = text.rfind("\n", 0, offset) + 1
    return text.count("\n", 0, offset) + 1, offset - start + 1


def triton_place(text: str, offset: int) -> tuple[int, int]:
    """Line and column as Triton's log counts them: columns in bytes of UTF-8, a tab goes on to the next 8."""
    start = text.rfind("\n", 0, offset) + 1
    column = 0
    for letter in text[start:offset]:
        column += 8 - column % 8 if letter == "\t" else len(letter.encode("utf-8", "replace"))
    return text.count("\n", 0, offset) + 1, column + 1


def config_error(text: str, fault: Fault, source: str) -> ConfigError:
    """The error for a fault in a text; `source` is the file's name for the message."""
    if fault.opened is not None and fault.wanted and fault.start >= len(text.rstrip()):
        fault.kind, fault.start = "unclosed", fault.opened  # the mend is at the open bracket
    line, column = line_and_column(text, fault.start)
    log_line, log_column = triton_place(text, fault.at)
    what, fix, nearest = _words(text, fault)
    shown = text.split("\n")[line - 1].rstrip("\r")
    marker = "".join("\t" if c == "\t" else " " for c in shown[: column - 1]) + "^"
    log = f"{log_line}:{log_column}: {fault.text}"
    return ConfigError(
        f"{source}, line {line}, column {column}: {what}",
        line=line,
        column=column,
        field=fault.path,
        nearest=nearest,
        problem=fault.kind,
        log_line=log,
        why=f"Triton reads a config.pbtxt whole or not at all. It says: {fault.text}",
        fix=fix,
        details=f"  {shown}\n  {marker}",
    )


def _words(text: str, fault: Fault) -> tuple[str, str, str | None]:
    """What is wrong, the mend, the nearest name."""
    placeholder = re.compile(r"\$\{[^}\s]*\}?").match(text, fault.start)
    if placeholder:
        return (
            f"the placeholder `{placeholder.group()}` stands here: this is a template that nobody filled in.",
            "Put a value in place of every `${...}` (TensorRT-LLM: with tools/fill_template.py).",
            None,
        )
    if fault.kind in ("unknown_field", "newer_field"):
        return _unknown_field(text, fault)
    field = fault.value_of
    if fault.kind == "unknown_value" and field is not None:
        return _unknown_value(fault, field)
    if fault.kind == "duplicate_field":
        return f"`{fault.word}` stands here a second time.", "Keep one of the two.", None
    if fault.kind == "two_of_one":
        return (
            f"`{fault.word}` cannot stand beside `{fault.other}`: a config has one of the two.",
            f"Remove `{fault.word}` or `{fault.other}`.",
            None,
        )
    if fault.kind == "unclosed":
        bracket = text[fault.start]
        closing = {"{": "}", "[": "]", "<": ">"}[bracket]
        return (
            f"this `{bracket}` is not closed: the file ends.",
            f"Write the `{closing}` that closes it.",
            None,
        )
    if fault.kind == "out_of_range":
        name = field.name if field is not None else fault.path
        return f"{fault.word} is not a value that `{name}` can have.", "Write a value in its range.", None
    if fault.kind == "wrong_type" and field is not None:
        return _wrong_type(fault, field)
    return _syntax(text, fault)


def _unknown_field(text: str, fault: Fault) -> tuple[str, str, str | None]:
    descriptor: Any = fault.descriptor
    where = fault.path.rpartition(".")[0]
    place = f"`{where}`" if where else "a model config"
    if fault.kind == "newer_field":
        first = newer_than_server(descriptor.fields_by_name[fault.word])
        return (
            f"`{fault.word}` is newer than this server ({SERVER_VERSION}): Triton knows it from {first} on.",
            f"Remove `{fault.word}`, or use a server of version {first} or later.",
            None,
        )
    dashed = re.compile(r"[\w-]+").match(text, fault.start)  # `max-batch-size` is cut at its first dash
    word = dashed.group() if dashed else fault.word
    nearest = nearest_field(descriptor, word)
    what = f"{place} has no field `{word}`."
    elsewhere = places_of(ModelConfig.DESCRIPTOR, word)
    if elsewhere and "." not in elsewhere[0] and fault.opened is not None:
        line = line_and_column(text, fault.opened)[0]
        return (
            what,
            f"`{word}` is a field of the config itself. Close the bracket of line {line} before it, "
            "or move it out.",
            nearest,
        )
    if elsewhere and not is_habit(descriptor, word):
        return what, f"`{fault.word}` exists as `{elsewhere[0]}`: move it there.", nearest
    if nearest:
        return what, f"Write `{nearest}`.", nearest
    return what, "Remove it, or look its name up in Triton's model configuration guide.", None


def _unknown_value(fault: Fault, field: Any) -> tuple[str, str, str | None]:
    if field.enum_type is None:
        what = f"`{fault.word}` is not a value of `{field.name}`."
        nearest = {"TRUE": "true", "FALSE": "false", "T": "true", "F": "false", "yes": "true", "no": "false",
                   "on": "true", "off": "false"}.get(fault.word)  # fmt: skip
        return what, f"Write `{nearest or 'true` or `false'}`, in small letters.", nearest
    nearest = nearest_value(field.enum_type, fault.word)
    known = ", ".join(v.name for v in field.enum_type.values if not v.name.endswith("_INVALID"))
    what = f"`{fault.word}` is not a value of `{field.name}`."
    return what, f"Write `{nearest}`." if nearest else f"Write one of: {known}.", nearest


def _wrong_type(fault: Fault, field: Any) -> tuple[str, str, str | None]:
    needs = _TYPE_WORDS[field.cpp_type]
    got = f"`{fault.word}`" if fault.word else "the end of the file"
    if field.enum_type is not None and fault.word[:1] in "\"'":
        bare = fault.word.strip("\"'")
        known = bare in field.enum_type.values_by_name
        nearest = bare if known else nearest_value(field.enum_type, bare)
        return (
            f"`{field.name}` needs a name without quotes, not {got}.",
            f"Write `{field.name}: {nearest}`." if nearest else "Remove the quotes.",
            nearest,
        )
    if fault.word == "]":
        return f"`{field.name}` needs {needs}: a comma stands before the `]`.", "Remove that comma.", None
    fix = f"Write {needs}."
    if field.cpp_type == 9 and fault.word.replace("_", "").isalnum():
        fix = f'Write `{field.name}: "{fault.word}"`.'
    elif fault.word[:1] in "\"'" and fault.word.strip("\"'").lstrip("-").isdigit():
        fix = f"Remove the quotes: `{field.name}: {fault.word.strip(chr(34) + chr(39))}`."
    elif fault.word == "[" and not field.is_repeated:
        fix = f"`{field.name}` is one value, not a list: remove the brackets."
    return f"`{field.name}` needs {needs}, not {got}.", fix, None


def _syntax(text: str, fault: Fault) -> tuple[str, str, str | None]:
    letter = text[fault.start : fault.start + 1]
    got = f"`{fault.text.rpartition(chr(34) + '.')[0].rpartition(chr(34))[2]}`" if fault.wanted else ""
    at_end = fault.start >= len(text.rstrip())
    if letter in _OTHER_LETTERS or (letter and not letter.isascii()):
        name = _OTHER_LETTERS.get(letter, f"the letter {letter}")
        return f"{name} stands outside a text.", "Replace it by a plain ASCII character.", None
    if "String literals" in fault.text or "end of string" in fault.text:
        return (
            "this text has no closing quote on its line.",
            'Close it with the quote that opened it: `"`.',
            None,
        )
    if "escape" in fault.text:
        return (
            "a backslash in this text starts no valid escape.",
            "Write `\\\\` for one backslash, or use `/`.",
            None,
        )
    if at_end and fault.wanted:
        return "the file ends where a value should stand.", f"Write the value of `{fault.path}`.", None
    if fault.wanted == ":" and fault.value_of is not None:
        name = fault.value_of.name
        return f"`{name}` needs a colon before its value.", f"Write `{name}: ...`.", None
    if fault.wanted == ",":
        return (
            "the elements of a list are separated by commas; here one is missing.",
            "Write a comma here.",
            None,
        )
    if fault.wanted == "{" and fault.value_of is not None:
        return (
            f"`{fault.value_of.name}` is a block: it needs `{{ ... }}`.",
            f"Write `{fault.value_of.name} {{ ... }}`.",
            None,
        )
    if letter == "/":
        return "`/` starts no comment here.", "Comments start with `#`.", None
    if fault.wanted == "identifier":
        return f"a field name should stand here, not `{letter}`.", _fix_for_name(text, letter), None
    if fault.wanted:
        return f"`{fault.wanted}` should stand here, not {got}.", f"Write `{fault.wanted}`.", None
    if "control characters" in fault.text:
        return "a control character stands outside a text.", "Remove it; it may not be visible.", None
    if "Need space" in fault.text:
        return "a number and a name stand together.", "Write a space or a line break between them.", None
    if "leading zero" in fault.text:
        return "a number with a leading zero is read as octal.", "Remove the leading zero.", None
    return fault.text, "Correct this place.", None


def _fix_for_name(text: str, letter: str) -> str:
    if text.lstrip().startswith("{"):
        return "This looks like JSON. A config.pbtxt is written `name: value`, without the outer braces."
    if letter in ("}", "]", ">"):
        return f"Remove this `{letter}`: nothing is open here."
    if letter in ('"', "'"):
        return "Write the field name without quotes."
    if letter == ",":
        return "Remove this comma."
    return "Write `name: value`, or remove this."
