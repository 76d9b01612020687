"""Text in pieces is the text in one piece: characters, spaces, stop texts."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch", reason="PyTorch is not installed: make test EXTRAS=torch")
pytest.importorskip("transformers", reason="transformers is not installed: make test EXTRAS=torch")

from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from lab_utils.llama.engine import EngineError
from lab_utils.llama.engine.text import StopFinder, TextStream, TokenBytes, read_tokenizer

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


@pytest.fixture(scope="module")
def llama2(folder: Path) -> Tokenizer:
    return Tokenizer.from_file(str(folder / "tokenizer.json"))


@pytest.fixture(scope="module")
def llama3() -> Tokenizer:
    """A byte-level tokenizer as Llama 3 has one, with an added token that is text."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<|begin|>", "<|end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(["Was kostet ein Gerät? 你好, Welt. naïve café"] * 4, trainer)
    tokenizer.add_tokens(["<tool> ü"])
    return tokenizer


def streamed(tokenizer: Tokenizer, ids: list[int], stops: tuple[str, ...] = ()) -> list[str]:
    stream = TextStream(TokenBytes(tokenizer), stops)
    pieces = []
    for token in ids:
        pieces.append(stream.push(token))
        if stream.stopped:
            return pieces
    return [*pieces, stream.finish()]


@settings(max_examples=150, deadline=None)
@given(text=TEXTS)
def test_pieces_joined_are_what_the_library_decodes(llama2: Tokenizer, llama3: Tokenizer, text: str) -> None:
    for tokenizer in (llama2, llama3):
        before = tokenizer.encode("word", add_special_tokens=False).ids
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        whole = tokenizer.decode(before + ids)[len(tokenizer.decode(before)) :]
        assert "".join(streamed(tokenizer, ids)) == whole


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_any_tokens_give_text_and_no_half_characters(
    llama2: Tokenizer, llama3: Tokenizer, data: st.DataObject
) -> None:
    for tokenizer in (llama2, llama3):
        size = tokenizer.get_vocab_size() + 5  # ids that the tokenizer does not know, too
        ids = data.draw(st.lists(st.integers(0, size - 1), max_size=30))
        table = TokenBytes(tokenizer)
        pieces = streamed(tokenizer, ids)
        assert "".join(pieces) == b"".join(table[i] for i in ids).decode("utf-8", "replace")


def test_a_character_of_many_tokens_comes_whole(llama2: Tokenizer, llama3: Tokenizer) -> None:
    for tokenizer in (llama2, llama3):
        ids = tokenizer.encode("x🦙y", add_special_tokens=False).ids
        pieces = streamed(tokenizer, ids)
        assert "🦙" in "".join(pieces)
        assert [p for p in pieces if "\ufffd" in p] == []
        assert pieces.count("") >= 3


def test_an_unfinished_character_becomes_one_mark_at_the_end(llama2: Tokenizer) -> None:
    ids = [llama2.token_to_id(f"<0x{byte:02X}>") for byte in "🦙".encode()[:3]]
    assert streamed(llama2, ids) == ["", "", "", "\ufffd"]


def test_bytes_that_are_no_text_do_not_raise_as_the_library_does(llama2: Tokenizer) -> None:
    from tokenizers.decoders import DecodeStream

    ids = [llama2.token_to_id(t) for t in ("<0x61>", "<0xE4>", "▁the")]
    assert "".join(streamed(llama2, ids)) == "a\ufffd the"
    library = DecodeStream(skip_special_tokens=True)
    with pytest.raises(Exception, match="Invalid prefix"):
        [library.step(llama2, token) for token in ids]


def test_spaces_stay_and_special_tokens_are_no_text(llama2: Tokenizer) -> None:
    ids = llama2.encode("the server of the model", add_special_tokens=False).ids
    assert "".join(streamed(llama2, [*ids, 1, 2])) == " the server of the model"
    stream = TextStream(TokenBytes(llama2), starts_text=True)
    assert "".join([stream.push(i) for i in ids]) == "the server of the model"


def test_what_a_training_left_in_the_file_cuts_no_prompt(llama2: Tokenizer, tmp_path: Path) -> None:
    left = Tokenizer.from_str(llama2.to_str())
    left.enable_truncation(4)
    left.enable_padding(length=50)
    left.save(str(tmp_path / "tokenizer.json"))
    text = "Triton holds a request back. " * 3
    assert len(left.encode(text).ids) == 50
    assert read_tokenizer(tmp_path).encode(text).ids == llama2.encode(text).ids


def test_a_decoder_of_another_kind_is_refused() -> None:
    tokenizer = Tokenizer(models.WordPiece({"[UNK]": 0, "a": 1}, unk_token="[UNK]"))
    with pytest.raises(EngineError, match="decoder is missing"):
        TokenBytes(tokenizer)
    tokenizer.decoder = decoders.WordPiece()
    with pytest.raises(EngineError, match="decoder is WordPiece"):
        TokenBytes(tokenizer)


LETTERS = st.text("ab.", min_size=1, max_size=4)


@settings(max_examples=500, deadline=None)
@given(
    pieces=st.lists(st.text("ab.", max_size=4), max_size=10), stops=st.lists(LETTERS, min_size=1, max_size=4)
)
def test_a_stop_text_cuts_the_same_place_however_the_text_arrives(
    pieces: list[str], stops: list[str]
) -> None:
    text = "".join(pieces)
    finder = StopFinder(stops)
    got = ""
    for piece in pieces:
        got += finder.push(piece)
        # Nothing that was shown has to be taken back, and nothing is held without need.
        assert text.startswith(got)
        assert not any(stop in got for stop in stops)
    found = finder.found
    got += finder.rest()
    ends = [
        (end, start)
        for end in range(1, len(text) + 1)
        for stop in stops
        if (start := end - len(stop)) >= 0 and text[start:end] == stop
    ]
    assert found == bool(ends)
    assert got == (text[: min(ends)[1]] if ends else text)


def test_text_that_begins_like_a_stop_is_held_until_it_is_clear() -> None:
    finder = StopFinder(["\n\nUser:", "END"])
    assert finder.push("Hello E") == "Hello "
    assert finder.push("N") == ""
    assert finder.push("T. \n") == "ENT. "
    assert finder.push("\nUs") == ""
    assert finder.push("er: no") == ""
    assert finder.found
    assert finder.push("more") == ""


def test_a_stop_text_is_found_across_tokens(llama2: Tokenizer) -> None:
    ids = llama2.encode("hold a request back", add_special_tokens=False).ids
    assert len(ids) >= 4
    for stop, kept in (("d a", " hol"), ("a req", " hold "), (" back", " hold a request")):
        assert "".join(streamed(llama2, ids, stops=(stop,))) == kept
    assert len(streamed(llama2, ids, stops=("d a",))) == 2, "nothing more is made"
