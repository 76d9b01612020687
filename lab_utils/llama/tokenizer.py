"""A small tokenizer of the form that Llama 2 has: byte-pair encoding, "▁" for a space, byte fallback."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors, trainers

UNK, BOS, EOS = 0, 1, 2
SPECIAL = ("<unk>", "<s>", "</s>")


def train(texts: Iterable[str], vocab_size: int) -> Tokenizer:
    """Learn merges from texts.

    Letters outside ASCII get no token of their own: they are spelled with byte tokens, as rare letters
    are in Llama 2.

    Args:
        texts: What to learn from.
        vocab_size: Number of ids: 3 special ones, 256 bytes, letters, merges; the rest is never used.
    """
    texts = list(texts)
    letters = sorted({letter for text in texts for letter in text if letter.isascii()} - {" "} | {"▁"})
    special = [*SPECIAL, *(f"<0x{byte:02X}>" for byte in range(256))]
    learner = Tokenizer(models.BPE(unk_token=SPECIAL[UNK], byte_fallback=True))
    learner.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=special,
        initial_alphabet=letters,
        limit_alphabet=len(letters),
        show_progress=False,
    )
    learner.train_from_iterator((_ascii(text) for text in texts), trainer)
    learned = json.loads(learner.to_str())["model"]
    vocab, merges = learned["vocab"], [tuple(pair) for pair in learned["merges"]]
    words = Tokenizer(
        models.BPE(vocab=vocab, merges=merges, unk_token=SPECIAL[UNK], byte_fallback=True, fuse_unk=True)
    )
    words.pre_tokenizer = pre_tokenizers.Metaspace()
    words.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    # The bytes are ordinary tokens; only these three are special and are left out of decoded text.
    words.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIAL])
    words.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s> $B", special_tokens=[(SPECIAL[BOS], BOS)]
    )
    return words


def save(words: Tokenizer, folder: Path) -> None:
    """Write `tokenizer.json` and `tokenizer_config.json`, which `AutoTokenizer` reads."""
    words.save(str(folder / "tokenizer.json"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "unk_token": SPECIAL[UNK],
        "bos_token": SPECIAL[BOS],
        "eos_token": SPECIAL[EOS],
        "clean_up_tokenization_spaces": False,
        "model_input_names": ["input_ids", "attention_mask"],
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")


def _ascii(text: str) -> str:
    return "".join(letter for letter in text if letter.isascii())
