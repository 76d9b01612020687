"""Our logits are those of transformers: all shapes, batch sizes, lengths and paddings; four entry points."""

from __future__ import annotations

import io

import pytest

pytest.importorskip("torch", reason="PyTorch is not installed: make test EXTRAS=torch")
pytest.importorskip("transformers", reason="transformers is not installed: make test EXTRAS=torch")

import torch

from lab_utils.llama import KVCache, Llama, load_llama, scripted
from lab_utils.llama.model import inverse_frequencies
from tests.llama.shapes import TOLERANCE, Trio, error, make_hugging_face, random_tokens

pytestmark = pytest.mark.usefixtures("inference")
BATCHES = (1, 2, 3, 7, 16)
LENGTHS = (1, 2, 5, 31, 64, 150)


@pytest.mark.parametrize("batch", BATCHES)
def test_forward_equals_transformers(trio: Trio, batch: int) -> None:
    for length in LENGTHS:
        tokens = random_tokens(batch, length, seed=length)
        wanted = trio.logits(tokens)
        assert error(trio.llama(tokens), wanted) <= TOLERANCE
        assert error(trio.scripted(tokens), wanted) <= TOLERANCE


@pytest.mark.parametrize("lengths", [(1, 9), (5, 5, 5), (40, 3, 17, 1), (2, 64, 33, 8, 64, 1, 20)])
def test_right_padding_changes_nothing(trio: Trio, lengths: tuple[int, ...]) -> None:
    tokens = random_tokens(len(lengths), max(lengths))
    mask = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    padded = trio.logits(tokens, mask.long())
    ours = trio.llama(tokens)
    assert error(ours[mask], padded[mask]) <= TOLERANCE
    for row, length in enumerate(lengths):
        alone = trio.logits(tokens[row : row + 1, :length])
        assert error(ours[row, :length], alone[0]) <= TOLERANCE


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "scripted"])
def test_prefill_and_decode_equal_the_whole_sequence(trio: Trio, compiled: bool) -> None:
    """Teacher forcing: ragged prompts in mixed slots, then 40 steps, every row at its own position."""
    model = trio.scripted if compiled else trio.llama
    lengths = torch.tensor([9, 1, 30, 17])
    steps = 40
    tokens = random_tokens(4, int(lengths.max()) + steps)
    wanted = trio.logits(tokens)
    cache = trio.cache(slots=4)
    order = torch.tensor([2, 0, 3, 1])  # row of the prefill -> slot
    prompts = tokens[:, : int(lengths.max())]
    logits = model.prefill(prompts, lengths - 1, order, cache.keys, cache.values)
    assert error(logits, wanted[torch.arange(4), lengths - 1]) <= TOLERANCE
    rows = order.argsort()  # slot -> row
    for step in range(steps):
        positions = (lengths + step)[rows]
        span = int(positions.max()) + 1
        logits = model.decode(tokens[rows, positions], positions, span, cache.keys, cache.values)
        assert error(logits, wanted[rows, positions]) <= TOLERANCE


@pytest.mark.parametrize("pieces", [(1, 1, 1), (16, 16, 5), (7, 64, 1, 30), (100,)])
def test_extend_equals_the_whole_prompt(trio: Trio, pieces: tuple[int, ...]) -> None:
    tokens = random_tokens(sum(pieces) + 1)
    wanted = trio.logits(tokens[None])[0]
    for model in (trio.llama, trio.scripted):
        cache, start = trio.cache(slots=3), 0
        others = cache.keys[:, [0, 2]].clone()
        for piece in pieces:
            logits = model.extend(tokens[start : start + piece], 1, start, cache.keys, cache.values)
            start += piece
            assert error(logits, wanted[start - 1]) <= TOLERANCE
        assert torch.equal(cache.keys[:, [0, 2]], others)
        cache.move(1, 0, start)
        logits = model.decode(tokens[start:], torch.tensor([start]), start + 1, cache.keys, cache.values)
        assert error(logits[0], wanted[start]) <= TOLERANCE


def test_extend_continues_a_prefill(trio: Trio) -> None:
    tokens = random_tokens(50)
    cache = trio.cache(slots=2)
    trio.llama.prefill(tokens[None, :20], torch.tensor([19]), torch.tensor([1]), cache.keys, cache.values)
    logits = trio.llama.extend(tokens[20:], 1, 20, cache.keys, cache.values)
    assert error(logits, trio.last(tokens.tolist())) <= TOLERANCE


def test_a_longer_span_changes_nothing(trio: Trio) -> None:
    """A captured step has a fixed span: what lies behind each row's position is not seen."""
    tokens, positions = random_tokens(2, 12), torch.tensor([11, 4])
    results = []
    for span in (12, 13, 64, 256):
        cache = trio.cache(slots=3)
        slots = torch.arange(2)
        trio.llama.prefill(tokens[:, :11], positions - 1, slots, cache.keys, cache.values)
        inputs = tokens[slots, positions]
        results.append(trio.llama.decode(inputs, positions, span, cache.keys, cache.values))
    for result in results[1:]:
        assert error(result, results[0]) <= TOLERANCE / 10


@pytest.mark.parametrize("name", ["llama2", "llama3"])
def test_rotary_tables_equal_transformers_far_out(trios: dict[str, Trio], name: str) -> None:
    """Also far behind the trained context, where a frequency's last bit shows."""
    rotary = trios[name].reference.model.rotary_emb
    ours = inverse_frequencies(trios[name].llama.config)
    assert torch.equal(ours, rotary.inv_freq)
    positions = torch.tensor([[0, 1, 77, 5000, 131071]])
    cos, sin = rotary(torch.zeros(1), positions)
    angles = positions[0, :, None].float() * ours
    assert torch.equal(angles.cos(), cos[0, :, : len(ours)])
    assert torch.equal(angles.sin(), sin[0, :, : len(ours)])


def test_llama3_scaling_matters(trios: dict[str, Trio]) -> None:
    """The test above could pass with a scaling that does nothing."""
    from dataclasses import replace

    config = trios["llama3"].llama.config
    plain = inverse_frequencies(replace(config, rope_scaling=None))
    ratio = plain / inverse_frequencies(config)
    assert ratio[0] == 1
    assert ratio[-1] == pytest.approx(8.0)
    assert ((ratio > 1.01) & (ratio < 7.9)).any()


@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")
def test_scripted_is_saved_and_loaded(trios: dict[str, Trio]) -> None:
    trio, content = trios["llama3"], io.BytesIO()
    torch.jit.save(trio.scripted, content)
    content.seek(0)
    again = torch.jit.load(content)
    tokens = random_tokens(3, 20)
    assert torch.equal(again(tokens), trio.scripted(tokens))
    cache = trio.cache(slots=3)
    logits = again.prefill(tokens, torch.full((3,), 19), torch.arange(3), cache.keys, cache.values)
    assert error(logits, trio.logits(tokens)[:, -1]) <= TOLERANCE
    assert torch.equal(scripted(trio.llama, freeze=False)(tokens), trio.scripted(tokens))


def test_tied_embeddings_are_one_tensor(trios: dict[str, Trio]) -> None:
    assert trios["llama3"].llama.head.weight is trios["llama3"].llama.embed.weight
    assert trios["llama2"].llama.head.weight is not trios["llama2"].llama.embed.weight


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=["bfloat16", "float16"])
def test_half_precision_is_as_near_as_that_of_transformers(trio: Trio, dtype: torch.dtype) -> None:
    """Rounding differs, so each is held against float32; ours must not be worse by more than a little."""
    tokens = random_tokens(4, 40)
    exact = trio.logits(tokens)
    reference = type(trio.reference).from_pretrained(trio.folder, dtype=dtype, local_files_only=True)
    theirs = (reference.eval()(tokens).logits.float() - exact).square().mean().sqrt()
    llama = load_llama(trio.folder, dtype)
    ours = (llama(tokens) - exact).square().mean().sqrt()
    assert ours <= 1.3 * theirs
    cache = KVCache.empty(llama.config, 4, 64, dtype)
    compiled = scripted(llama)
    logits = compiled.prefill(tokens, torch.full((4,), 39), torch.arange(4), cache.keys, cache.values)
    assert logits.dtype == torch.float32
    assert (logits - llama(tokens)[:, -1]).abs().max() <= 0.1 * exact.abs().max()


def test_decode_asks_the_device_for_nothing(trios: dict[str, Trio]) -> None:
    """On the meta device there are shapes and no values: whatever waits for a value raises here.

    That is what the capture in a CUDA graph asks for.
    """
    config = trios["grouped"].llama.config
    llama = Llama(config, torch.bfloat16, "meta")
    cache = KVCache.empty(config, 8, 64, torch.bfloat16, "meta")
    numbers = torch.zeros(4, dtype=torch.int64, device="meta")
    logits = llama.decode(numbers, numbers, 64, cache.keys, cache.values)
    assert (logits.shape, logits.dtype) == ((4, config.vocab_size), torch.float32)
    with pytest.raises(RuntimeError, match="meta"):
        numbers.max().item()


def test_another_seed_is_another_model(trios: dict[str, Trio]) -> None:
    """The comparison can fail."""
    tokens = random_tokens(1, 8)
    other = make_hugging_face("llama2", seed=1)(tokens).logits
    assert error(trios["llama2"].llama(tokens), other) > 1
