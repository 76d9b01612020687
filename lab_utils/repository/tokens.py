r"""The tokens of a config.pbtxt, cut as Triton's own protobuf library cuts them.

Python's `text_format` reads a slightly different language: it refuses `- 1`, takes `+1`, `\q` and a
no-break space, and counts other columns (docs/model-repository.md lists what was seen on the server).
A file that is judged here must be judged as the server does, so the rules are those of protobuf's C++
`io::Tokenizer`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

_SPACE = re.compile(r"(?:[ \t\r\n\v\f]|#[^\n]*)*")
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_DIGITS, _OCTAL, _HEX = (re.compile(f"[{digits}]*") for digits in ("0-9", "0-7", "0-9a-fA-F"))
_SIMPLE_ESCAPES = dict(zip("abfnrtv\\?'\"", b"\a\b\f\n\r\t\v\\?'\"", strict=True))


class Kind(Enum):
    """What a token is."""

    IDENTIFIER = "identifier"
    INTEGER = "integer"
    FLOAT = "float"
    STRING = "string"
    SYMBOL = "symbol"
    END = "end"


@dataclass(frozen=True)
class Token:
    """One token: its kind, its text as written, and where it starts (offset in characters)."""

    kind: Kind
    text: str
    start: int


class TokenError(Exception):
    """The text cannot be cut into tokens here.

    Args:
        message: As protobuf's C++ library words it.
        at: Offset in characters where that library reports the error.
        start: Offset where the bad token starts.
    """

    def __init__(self, message: str, at: int, start: int) -> None:
        super().__init__(message)
        self.message = message
        self.at = at
        self.start = start


def _run(text: str, start: int, digits: re.Pattern[str]) -> int:
    """The offset behind the digits that begin here."""
    found = digits.match(text, start)
    return found.end() if found else start


class Tokenizer:
    """Reads one token after the other; `current` is the one that is looked at."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.position = 0
        self.previous: Token | None = None
        self.current = self._cut()

    def advance(self) -> Token:
        """Take the current token and look at the next one. Raises `TokenError`."""
        self.previous = self.current
        self.current = self._cut()
        return self.previous

    def _cut(self) -> Token:
        start = self._skip_space()
        if start >= len(self.text):
            return Token(Kind.END, "", start)
        first = self.text[start]
        if found := _IDENTIFIER.match(self.text, start):
            return self._token(Kind.IDENTIFIER, start, found.end())
        if first.isascii() and (first.isdigit() or (first == "." and self._digit(start + 1))):
            return self._number(start)
        if first in "\"'":
            return self._string(start)
        if not first.isascii():
            raise TokenError(f"Interpreting non ascii codepoint {first.encode()[0]}.", start, start)
        return self._token(Kind.SYMBOL, start, start + 1)

    def _token(self, kind: Kind, start: int, end: int) -> Token:
        self.position = end
        return Token(kind, self.text[start:end], start)

    def _digit(self, at: int) -> bool:
        return self.text[at : at + 1] in tuple("0123456789")

    def _skip_space(self) -> int:
        found = _SPACE.match(self.text, self.position)
        start = found.end() if found else self.position
        skipped = self.text.find("\0", self.position, start)  # in a comment
        at = skipped if skipped >= 0 else start
        if at < len(self.text) and (ord(self.text[at]) < 32):
            raise TokenError("Invalid control characters encountered in text.", at, at)
        return start

    def _number(self, start: int) -> Token:
        text = self.text
        # Here `previous` is the token right before this one.
        before = self.previous
        glued = before is not None and before.start + len(before.text) == start
        if text[start] == "." and glued and before is not None and before.kind is Kind.IDENTIFIER:
            raise TokenError("Need space between identifier and decimal point.", start, start)
        kind = Kind.INTEGER
        if text[start : start + 2].lower() == "0x":
            end = _run(text, start + 2, _HEX)
            if end == start + 2:
                raise TokenError('"0x" must be followed by hex digits.', end, start)
        elif text[start] == "0" and self._digit(start + 1):
            end = _run(text, start, _OCTAL)
            if self._digit(end):
                raise TokenError("Numbers starting with leading zero must be in octal.", end, start)
        else:
            end, kind = self._decimal(start)
        after = text[end : end + 1]
        if _IDENTIFIER.match(after):
            raise TokenError("Need space between number and identifier.", end, start)
        if after == ".":
            twice = "Already saw decimal point or exponent; can't have another one."
            words = twice if kind is Kind.FLOAT else "Hex and octal numbers must be integers."
            raise TokenError(words, end, start)
        return self._token(kind, start, end)

    def _decimal(self, start: int) -> tuple[int, Kind]:
        """End and kind of a decimal number: digits, point, exponent, and an `f` as in C."""
        text = self.text
        end = _run(text, start, _DIGITS)
        if text[end : end + 1] == ".":
            end = _run(text, end + 1, _DIGITS)
        if text[end : end + 1] in ("e", "E"):
            exponent = end + 2 if text[end + 1 : end + 2] in ("+", "-") else end + 1
            end = _run(text, exponent, _DIGITS)
            if end == exponent:
                raise TokenError('"e" must be followed by exponent.', end, start)
        if text[end : end + 1] in ("f", "F"):
            end += 1
        whole = text[start:end].isdigit()
        return end, Kind.INTEGER if whole else Kind.FLOAT

    def _string(self, start: int) -> Token:
        quote, at = self.text[start], start + 1
        while True:
            letter = self.text[at : at + 1]
            if letter in ("", "\0"):
                raise TokenError("Unexpected end of string.", at, start)
            if letter == "\n":
                raise TokenError("String literals cannot cross line boundaries.", at, start)
            if letter == quote:
                return self._token(Kind.STRING, start, at + 1)
            at = self._escape_end(at, start) if letter == "\\" else at + 1

    def _escape_end(self, at: int, start: int) -> int:
        """The offset behind the escape that begins at this backslash."""
        letter = self.text[at + 1 : at + 2]
        if letter and letter in _SIMPLE_ESCAPES:
            return at + 2
        if letter and letter in "01234567":
            end = at + 2
            while end < at + 4 and self.text[end : end + 1] in tuple("01234567"):
                end += 1
            return end
        for name, least, most, words in (
            ("xX", 1, 2, "Expected hex digits for escape sequence."),
            ("u", 4, 4, "Expected four hex digits for \\u escape sequence."),
            ("U", 8, 8, "Expected eight hex digits up to 10ffff for \\U escape sequence"),
        ):
            if letter and letter in name:
                found = re.compile(rf"[0-9a-fA-F]{{0,{most}}}").match(self.text, at + 2)
                end = found.end() if found else at + 2
                if end - at - 2 < least:
                    raise TokenError(words, end, start)
                return end
        raise TokenError("Invalid escape sequence in string literal.", at + 1, start)


def string_value(literal: str) -> str:
    r"""The text that a string token stands for: `"a\n"` is a and a line break.

    The literal must be one that `Tokenizer` accepted. Bytes that are not UTF-8 become U+FFFD.
    """

    def replace(found: re.Match[bytes]) -> bytes:
        body = found.group()[1:]
        first = chr(body[0])
        if first in "01234567":
            return bytes([int(body, 8) & 255])
        if first in "xX":
            return bytes([int(body[1:], 16)])
        if first in "uU":
            return chr(min(int(body[1:], 16), 0x10FFFF)).encode("utf-8", "replace")
        return bytes([_SIMPLE_ESCAPES[first]])

    pattern = rb"\\(?:[0-7]{1,3}|[xX][0-9a-fA-F]{1,2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|.)"
    return re.sub(pattern, replace, literal[1:-1].encode(), flags=re.DOTALL).decode("utf-8", "replace")


def integer_value(text: str) -> int:
    """The number that an integer token stands for: decimal, `0x1f`, or octal with a leading zero."""
    if text[:2].lower() == "0x":
        return int(text, 16)
    return int(text, 8) if len(text) > 1 and text[0] == "0" else int(text)
