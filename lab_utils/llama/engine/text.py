"""From tokens to text, piece by piece: no half characters, no half stop texts, no lost spaces."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from lab_utils.llama.config import LlamaError
from lab_utils.llama.engine.errors import EngineError

_BYTE = re.compile(r"<0x([0-9A-F]{2})>")


def read_tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer in a Llama's folder; it neither cuts nor pads what it reads.

    Raises:
        LlamaError: There is no tokenizer.json, or it is none.
    """
    path = folder / "tokenizer.json"
    if not path.is_file():
        raise LlamaError(
            f"{path} does not exist.",
            why="The engine reads text with the tokenizer in the model's folder.",
            fix="Download tokenizer.json from where the weights are.",
        )
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # tokenizers raises plain Exception
        raise LlamaError(f"{path} is not a tokenizer: {error}", fix="Download the file again.") from error
    # What a training has left in the file would cut prompts short without a word, or pad them.
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


class TokenBytes:
    """The UTF-8 bytes that each token stands for.

    Two kinds of tokenizers are known. SentencePiece's (Llama 2) writes a space as `▁` and letters that it
    does not know as byte tokens `<0xE4>`. Byte-level ones (Llama 3) write every byte as a letter.

    `tokenizers.decoders.DecodeStream` does the same for both, but it raises when a run of byte tokens is
    no valid UTF-8, because it then decodes the whole run anew. A model at a high temperature writes such
    runs. Bytes can be joined without looking back.

    Args:
        tokenizer: A Llama's tokenizer.

    Raises:
        EngineError: The tokenizer has a decoder of another kind.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        state = json.loads(tokenizer.to_str())
        kinds = list(_decoders(state.get("decoder") or {}))
        names = {kind["type"] for kind in kinds}
        vocab = tokenizer.get_vocab(with_added_tokens=True)
        if "ByteLevel" in names:
            letters = _byte_letters()
            pieces = {number: _level(token, letters) for token, number in vocab.items()}
        elif names & {"ByteFallback", "Metaspace"}:
            pieces = {number: _fallback(token) for token, number in vocab.items()}
        else:
            raise EngineError(
                f"The tokenizer's decoder is {', '.join(sorted(names)) or 'missing'}.",
                why="Llama's tokenizers decode with ByteFallback (Llama 2) or ByteLevel (Llama 3).",
                fix="Take the tokenizer.json that belongs to this model.",
            )
        # Special tokens are marks for the model, not text.
        pieces.update({token["id"]: b"" for token in state["added_tokens"] if token["special"]})
        # Such a decoder takes away the space that the tokenizer has put before the first word.
        self.strips_first_space = "Metaspace" in names or any(
            kind["type"] == "Strip" and kind.get("content") == " " and kind.get("start", 0) > 0
            for kind in kinds
        )
        self.longest = max((len(token) for token in vocab), default=1)
        self._pieces = [pieces.get(number, b"") for number in range(max(pieces, default=-1) + 1)]

    def __getitem__(self, token: int) -> bytes:
        """The bytes of one token. Ids that the tokenizer does not know are no text."""
        return self._pieces[token] if token < len(self._pieces) else b""


class TextStream:
    """The text of one answer while its tokens arrive.

    Args:
        pieces: The bytes of every token.
        stops: Texts that end the answer.
        starts_text: Whether no text stands before the answer: the prompt is empty but for special tokens.
    """

    def __init__(self, pieces: TokenBytes, stops: Sequence[str] = (), starts_text: bool = False) -> None:
        self._pieces = pieces
        self._characters = codecs.getincrementaldecoder("utf-8")("replace")
        self._stops = StopFinder(stops) if stops else None
        self._drop_space = starts_text and pieces.strips_first_space

    @property
    def stopped(self) -> bool:
        """Whether a stop text was found: the answer is complete."""
        return self._stops is not None and self._stops.found

    def push(self, token: int) -> str:
        """Add a token; returns the text that can be shown now, often empty."""
        return self._show(self._characters.decode(self._pieces[token]))

    def finish(self) -> str:
        """The rest: what was held back because it might have become a stop text.

        A character of which bytes are missing becomes U+FFFD, as `bytes.decode("utf-8", "replace")` does.
        """
        rest = self._show(self._characters.decode(b"", final=True))
        return rest + (self._stops.rest() if self._stops else "")

    def _show(self, text: str) -> str:
        if self._drop_space and text:
            self._drop_space = False
            text = text.removeprefix(" ")
        return self._stops.push(text) if self._stops else text


class StopFinder:
    """Cuts a stream of text before the first of some texts.

    The first is the one that is complete first, and if two are, the one that began first. So the cut does
    not depend on how the text was divided into pieces.

    Args:
        stops: The texts, none empty.
    """

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = tuple(stops)
        self._longest = max(map(len, self._stops))
        self._held = ""
        self.found = False

    def push(self, piece: str) -> str:
        """Add text; returns what certainly stands before any stop text."""
        if self.found:
            return ""
        text = self._held + piece
        hits = [(at + len(stop), at) for stop in self._stops if (at := text.find(stop)) >= 0]
        if hits:
            self.found = True
            self._held = ""
            return text[: min(hits)[1]]
        keep = next(
            (
                size
                for size in range(min(self._longest - 1, len(text)), 0, -1)
                if any(stop.startswith(text[-size:]) for stop in self._stops)
            ),
            0,
        )
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep]

    def rest(self) -> str:
        """What is still held back, when no more text comes."""
        held, self._held = self._held, ""
        return held


def _decoders(decoder: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A decoder, or those that a sequence is made of."""
    if decoder.get("type") == "Sequence":
        for one in decoder["decoders"]:
            yield from _decoders(one)
    elif decoder:
        yield decoder


def _fallback(token: str) -> bytes:
    byte = _BYTE.fullmatch(token)
    return bytes([int(byte[1], 16)]) if byte else token.replace("▁", " ").encode()


def _level(token: str, letters: dict[str, int]) -> bytes:
    # Added tokens stand in the vocabulary as they are.
    return bytes(letters[c] for c in token) if all(c in letters for c in token) else token.encode()


def _byte_letters() -> dict[str, int]:
    """The letter for each byte, as GPT-2's `bytes_to_unicode` has it and byte-level tokenizers since.

    Printable Latin-1 bytes are their own letter; the other 68 get the letters from U+0100 on, in order.
    """
    own = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in own]
    return {chr(byte): byte for byte in own} | {chr(0x100 + i): byte for i, byte in enumerate(others)}
