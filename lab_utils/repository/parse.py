"""A config.pbtxt text becomes a ModelConfig, or an error, exactly where Triton's own parser says so.

A recursive descent over protobuf's text format with the rules of its C++ `TextFormat` as Triton 2.51
uses it (every rule here was compared with the server: tests/repository/test_config_like_triton.py).
While it reads it notes the place of every field: `locate` needs no second reader.
"""

from __future__ import annotations

from typing import Any

from tritonclient.grpc.model_config_pb2 import ModelConfig

from lab_utils.repository.messages import Fault
from lab_utils.repository.names import newer_than_server
from lab_utils.repository.tokens import Kind, Token, TokenError, Tokenizer, integer_value, string_value

# CPPTYPE_INT32 ... of protobuf's descriptors: (least, most) of the integer kinds.
_RANGES = {
    1: (-(2**31), 2**31 - 1),
    2: (-(2**63), 2**63 - 1),
    3: (0, 2**32 - 1),
    4: (0, 2**64 - 1),
}
_FLOATS, _BOOL, _ENUM, _STRING, _MESSAGE = (5, 6), 7, 8, 9, 10


class Parser:
    """Reads one text into one message.

    Attributes:
        places: Offset of the name (or, in a list, of the element) of every field that was read.
            `input[1].dims`, `input[1].dims[0]`, `parameters["key"].value.string_value`.
    """

    def __init__(self, text: str) -> None:
        self.places: dict[str, int] = {}
        self._counts: dict[str, int] = {}
        self._open: list[int] = []  # offsets of the brackets that are open now
        self._path = ""
        try:
            self._tokens = Tokenizer(text)
        except TokenError as error:
            raise self._lexical(error) from None

    def parse(self) -> ModelConfig:
        """The whole text. Raises `Fault` at the first thing that Triton refuses."""
        config = ModelConfig()
        try:
            while self._now.kind is not Kind.END:
                self._field(config, "")
        except TokenError as error:
            raise self._lexical(error) from None
        return config

    @property
    def _now(self) -> Token:
        return self._tokens.current

    def _lexical(self, error: TokenError) -> Fault:
        return Fault(error.message, error.at, error.start, self._path)

    def _fault(self, message: str, *, start: int | None = None, **about: Any) -> Fault:
        """A fault at the current token, where protobuf reports it; `start`: where the bad word is."""
        at = self._now.start
        about["opened"] = self._open[-1] if self._open else None
        return Fault(message, at, at if start is None else start, self._path, **about)

    def _take(self, symbol: str) -> bool:
        """Take this symbol if it is next."""
        if self._now.text == symbol and self._now.kind is Kind.SYMBOL:
            self._tokens.advance()
            return True
        return False

    def _need(self, symbol: str, **about: Any) -> None:
        if not self._take(symbol):
            raise self._fault(f'Expected "{symbol}", found "{self._now.text}".', wanted=symbol, **about)

    def _identifier(self) -> Token:
        if self._now.kind is not Kind.IDENTIFIER:
            raise self._fault(f"Expected identifier, got: {self._now.text}", wanted="identifier")
        return self._tokens.advance()

    def _field(self, message: Any, prefix: str) -> None:
        self._path = prefix
        descriptor = message.DESCRIPTOR
        if self._take("["):
            self._extension(descriptor)
        word = self._identifier()
        path = f"{prefix}.{word.text}" if prefix else word.text
        self._path = path
        field = descriptor.fields_by_name.get(word.text)
        newer = newer_than_server(field) if field is not None else None
        if field is None or newer:
            text = f'Message type "{descriptor.full_name}" has no field named "{word.text}".'
            kind = "newer_field" if newer else "unknown_field"
            raise self._fault(text, start=word.start, kind=kind, descriptor=descriptor, word=word.text)
        self._check_single(message, field, word)
        if field.cpp_type == _MESSAGE:
            self._take(":")
        else:
            self._need(":", value_of=field)
        self.places.setdefault(path, word.start)
        if field.is_repeated and self._take("["):
            self._open.append(self._tokens.previous.start if self._tokens.previous else 0)
            if not self._take("]"):
                while True:
                    self._value(message, field, path, self._now.start)
                    if self._take("]"):
                        break
                    self._need(",")
            self._open.pop()
        else:
            self._value(message, field, path, word.start)
        _ = self._take(";") or self._take(",")

    def _extension(self, descriptor: Any) -> None:
        name = self._identifier().text
        while self._take("."):
            name += f".{self._identifier().text}"
        self._need("]")
        text = f'Extension "{name}" is not defined or is not an extension of "{descriptor.full_name}".'
        raise self._fault(text)

    def _check_single(self, message: Any, field: Any, word: Token) -> None:
        """A field that is not repeated stands once; of a oneof group only one member stands."""
        if field.is_repeated:
            return
        # Proto3 scalars without presence count as set when they differ from zero: so `max_batch_size: 0`
        # may be written twice, for Triton too.
        present = message.HasField(field.name) if field.has_presence else bool(getattr(message, field.name))
        if present:
            text = f'Non-repeated field "{word.text}" is specified multiple times.'
            raise self._fault(text, start=word.start, kind="duplicate_field", word=word.text)
        group = field.containing_oneof
        other = message.WhichOneof(group.name) if group is not None else None
        if other:
            text = (
                f'Field "{word.text}" is specified along with field "{other}", '
                f'another member of oneof "{group.name}".'
            )
            raise self._fault(text, start=word.start, kind="two_of_one", word=word.text, other=other)

    def _value(self, message: Any, field: Any, path: str, start: int) -> None:
        """One value of a field, set in the message."""
        here = path
        if field.is_repeated:
            index = self._counts.get(path, 0)
            self._counts[path] = index + 1
            here = f"{path}[{index}]"
            self.places[here] = start
        self._path = here
        if field.cpp_type == _MESSAGE:
            self._message(message, field, here)
        elif field.is_repeated:
            getattr(message, field.name).append(self._scalar(field))
        else:
            setattr(message, field.name, self._scalar(field))

    def _message(self, message: Any, field: Any, here: str) -> None:
        inner = field.message_type
        is_map = inner.GetOptions().map_entry
        if is_map:
            target = getattr(message, field.name).GetEntryClass()()
        elif field.is_repeated:
            target = getattr(message, field.name).add()
        else:
            target = getattr(message, field.name)
            target.SetInParent()
        opened = self._now.start
        closing = ">"
        if not self._take("<"):
            closing = "}"
            self._need("{", value_of=field)
        self._open.append(opened)
        while self._now.text not in (">", "}") or self._now.kind is not Kind.SYMBOL:
            self._field(target, here)
            self._path = here
        self._need(closing)
        self._open.pop()
        if is_map:
            self._map_entry(message, field, target, here)

    def _map_entry(self, message: Any, field: Any, entry: Any, here: str) -> None:
        """A later entry with the same key replaces the earlier one."""
        values = getattr(message, field.name)
        if entry.DESCRIPTOR.fields_by_name["value"].message_type:
            values[entry.key].CopyFrom(entry.value)
        else:
            values[entry.key] = entry.value
        by_key = f"{here[: here.rindex('[')]}[{entry.key}]"
        for path, place in [p for p in self.places.items() if p[0].startswith(here)]:
            self.places[by_key + path[len(here) :]] = place

    def _scalar(self, field: Any) -> Any:
        kind = field.cpp_type
        if kind in _RANGES:
            return self._integer(field, *_RANGES[kind])
        if kind in _FLOATS:
            return self._float(field)
        if kind == _BOOL:
            return self._bool(field)
        if kind == _ENUM:
            return self._enum(field)
        return self._string(field)

    def _wrong_type(self, wanted: str, field: Any) -> Fault:
        text = f"Expected {wanted}, got: {self._now.text}"
        return self._fault(text, kind="wrong_type", word=self._now.text, value_of=field, wanted=wanted)

    def _integer(self, field: Any, least: int, most: int) -> int:
        negative = least < 0 and self._take("-")
        if self._now.kind is not Kind.INTEGER:
            raise self._wrong_type("integer", field)
        value = integer_value(self._now.text)
        if value > (-least if negative else most):
            text = f"Integer out of range ({self._now.text})"
            raise self._fault(text, kind="out_of_range", word=self._now.text, value_of=field)
        self._tokens.advance()
        return -value if negative else value

    def _float(self, field: Any) -> float:
        negative = self._take("-")
        token = self._now
        words = ("inf", "infinity", "nan")
        if token.kind in (Kind.INTEGER, Kind.FLOAT):
            value = float(token.text.rstrip("fF"))
        elif token.kind is Kind.IDENTIFIER and token.text.lower() in words:
            value = float(token.text)
        else:
            raise self._wrong_type("double", field)
        self._tokens.advance()
        return -value if negative else value

    def _bool(self, field: Any) -> bool:
        if self._now.kind is Kind.INTEGER:
            return bool(self._integer(field, 0, 1))
        if self._now.kind is not Kind.IDENTIFIER:
            raise self._wrong_type("identifier", field)
        word = self._tokens.advance()
        if word.text not in ("true", "True", "t", "false", "False", "f"):
            text = f'Invalid value for boolean field "{field.name}". Value: "{word.text}".'
            raise self._fault(text, start=word.start, kind="unknown_value", word=word.text, value_of=field)
        return word.text.lower().startswith("t")

    def _enum(self, field: Any) -> int:
        if self._now.kind is Kind.IDENTIFIER:
            word = self._tokens.advance()
            value = field.enum_type.values_by_name.get(word.text)
            if value is None:
                text = f'Unknown enumeration value of "{word.text}" for field "{field.name}".'
                about = {"kind": "unknown_value", "word": word.text, "value_of": field}
                raise self._fault(text, start=word.start, **about)
            return int(value.number)
        if self._now.kind is Kind.INTEGER or self._now.text == "-":
            return self._integer(field, *_RANGES[1])
        raise self._wrong_type("integer or identifier", field)

    def _string(self, field: Any) -> str:
        if self._now.kind is not Kind.STRING:
            raise self._wrong_type("string", field)
        parts = []
        while self._now.kind is Kind.STRING:
            parts.append(string_value(self._tokens.advance().text))
        return "".join(parts)
