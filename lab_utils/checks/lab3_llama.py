"""Checkpoint 3.8: the same logits as transformers, at each prompt's last token of a padded batch."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lab_utils.checks.lab3_memory import NO_TORCH, has_torch, one_thread
from lab_utils.progress.context import LabContext, Refusal, refuse
from lab_utils.progress.registry import Verdict, checkpoint, passed

if TYPE_CHECKING:
    from torch import Tensor

_VOCABULARY = 11
_LIMIT = 2.0**-10
"""Exact in float32, as all values here are: a difference of just the limit is no matter of rounding."""

_REAL_LIMIT = 1e-4

Prompts = list[list[int]]


class Probe:
    """A model with logits on record: they depend on the tokens up to their position, as a Llama's do.

    Args:
        table: float32 `[rows, vocabulary]`.
        change: Gets tokens and logits of a batch, and may change the logits.
    """

    def __init__(self, table: Tensor, change: Callable[[Tensor, Tensor], None] | None = None) -> None:
        self.table, self.change = table, change
        self.calls: list[Tensor] = []

    def __call__(self, tokens: Any) -> Tensor:
        """Logits float32 `[B, T, vocabulary]` for tokens `[B, T]`."""
        import torch

        if not isinstance(tokens, torch.Tensor):
            refuse(
                expected="the model gets a tensor of tokens",
                found=f"it got {type(tokens).__name__}",
                next_step="Make a tensor of the padded prompts: int64 `[prompts, longest]`.",
            )
        self.calls.append(tokens)
        if tokens.dtype not in (torch.int64, torch.int32) or tokens.dim() != 2:
            refuse(
                expected="the model gets whole numbers `[prompts, longest]`",
                found=f"it got {tokens.dtype} of shape {tuple(tokens.shape)}",
                next_step="Tokens are int64; a single prompt is a batch of one row.",
            )
        logits = self.table[(tokens + 1).cumsum(1) % len(self.table)].clone()
        if self.change is not None:
            self.change(tokens, logits)
        return logits


def _prompts(ctx: LabContext) -> Prompts:
    """Ragged prompts; neither the first nor the last is the longest, and one is a single token."""
    lengths = [int(n) for n in ctx.rng.choice(range(3, 9), 3, replace=False)]
    sizes = [lengths[0], max(lengths) + 4, 1, *lengths[1:]]
    return [[int(t) for t in ctx.rng.integers(3, 900, size)] for size in sizes]


def _table(ctx: LabContext) -> Tensor:
    import torch

    values = ctx.rng.integers(-800, 800, (53, _VOCABULARY)) / 256
    table = torch.from_numpy(values).float()
    table[:, 4] = 512.0  # the largest: where a relative tolerance, or half precision, sees nothing
    return table


def _judge_last(ctx: LabContext, function: Any, prompts: Prompts) -> None:
    import torch

    probe = Probe(_table(ctx))
    longest = max(map(len, prompts))
    try:
        found = ctx.call(function, probe, prompts)
    except Refusal:
        # An index out of range is no news when the tokens were of another shape.
        if len(probe.calls) == 1 and tuple(probe.calls[0].shape) != (len(prompts), longest):
            _refuse_shape(probe.calls[0], prompts)
        raise
    if not probe.calls:
        refuse(
            expected="`last_logits` asks the model",
            found="it did not call `model`",
            next_step="`model(tokens)` gives logits of shape `[prompts, longest, vocabulary]`.",
        )
    if len(probe.calls) != 1:
        refuse(
            expected="one call with all prompts: ragged batches are what is to be tested",
            found=f"{len(probe.calls)} calls",
            next_step="Pad the prompts to one length and call the model once.",
        )
    tokens = probe.calls[0]
    if tuple(tokens.shape) != (len(prompts), longest):
        _refuse_shape(tokens, prompts)
    for row, prompt in zip(tokens.tolist(), prompts, strict=True):
        if row[: len(prompt)] != prompt:
            left = row[len(row) - len(prompt) :] == prompt
            refuse(
                expected=f"the tokens of a prompt begin its row: {prompt}, then padding",
                found=f"the row is {row}",
                next_step="Pad on the right. Padding on the left shifts the positions of all tokens, and "
                "needs a mask."
                if left
                else "Keep the tokens and their order; add padding behind them.",
            )
    logits = Probe(probe.table)(tokens)
    last = torch.tensor([len(prompt) - 1 for prompt in prompts])
    wanted = logits[torch.arange(len(prompts)), last]
    _judge_rows(found, wanted, logits, last)


def _refuse_shape(tokens: Tensor, prompts: Prompts) -> None:
    longest, shortest = max(map(len, prompts)), min(map(len, prompts))
    shape = tuple(tokens.shape)
    step = "One row per prompt, as long as the longest one."
    if shape == (longest, len(prompts)):
        step = "That is turned: `pad_sequence` needs `batch_first=True`."
    elif shape[1] == shortest:
        step = "Do not cut the prompts to the shortest: pad them to the longest."
    refuse(
        expected=f"tokens of shape ({len(prompts)}, {longest})",
        found=f"the model got shape {shape}",
        next_step=step,
    )


def _judge_rows(found: Any, wanted: Tensor, logits: Tensor, last: Tensor) -> None:
    import torch

    if not isinstance(found, torch.Tensor) or found.shape != wanted.shape:
        shape = tuple(found.shape) if isinstance(found, torch.Tensor) else type(found).__name__
        refuse(
            expected=f"one row of logits per prompt: a tensor of shape {tuple(wanted.shape)}",
            found=f"`last_logits` returned {shape}",
            next_step="Choose one position in each row: `logits[rows, last]` with two tensors of indices.",
        )
    if torch.equal(found.float(), wanted):
        return
    rows = torch.arange(len(last))
    step = "Row i, position `len(prompts[i]) - 1`."
    if torch.equal(found.float(), logits[:, -1]):
        step = (
            "`logits[:, -1]` is the last *position*: for short prompts that is padding. Take the last token."
        )
    elif torch.equal(found.float(), logits[rows, (last + 1).clamp(max=logits.shape[1] - 1)]):
        step = "That is one position too far: n tokens have the positions 0 to n - 1."
    elif torch.equal(found.float(), logits[:, 0]):
        step = "That is the first token of each prompt."
    different = int((found.float() != wanted).any(1).sum())
    refuse(
        expected="the logits at each prompt's last token",
        found=f"{different} of {len(last)} rows are logits of another position",
        next_step=step,
    )


def _at(row: int, prompts: Prompts, column: int, value: float) -> Callable[[Tensor, Tensor], None]:
    """Adds to one logit at a prompt's last token."""

    def change(tokens: Tensor, logits: Tensor) -> None:
        logits[row, len(prompts[row]) - 1, column] += value

    return change


def _padding(prompts: Prompts) -> Callable[[Tensor, Tensor], None]:
    def change(tokens: Tensor, logits: Tensor) -> None:
        for row, prompt in enumerate(prompts):
            logits[row, len(prompt) :] += 5.0

    return change


def _tie(tokens: Tensor, logits: Tensor) -> None:
    logits[..., 4] = 9.0
    logits[..., 5] = 9.0 + _LIMIT / 4


def _nearly(tokens: Tensor, logits: Tensor) -> None:
    logits[..., 4] = 9.0 + _LIMIT / 4
    logits[..., 5] = 9.0


def _judge_agree(ctx: LabContext, function: Any, prompts: Prompts) -> None:
    """Pairs of models whose difference is known exactly, and what a wrong judgement of each means."""
    table, nan = _table(ctx), float("nan")
    last = len(prompts) - 1
    pairs = [
        ("the same model twice", None, None, True, "Return a truth: True when no difference is too large."),
        ("models that differ in the padding alone", None, _padding(prompts), True,
         "What a model says about padding is of no use to anybody. Compare the last tokens alone."),
        ("one number is 1.5 limits larger", None, _at(2, prompts, 7, 1.5 * _LIMIT), False,
         "One number in one row is too far off. Judge the largest difference, not the mean or the argmax."),
        ("one number is 1.5 limits smaller", _at(3, prompts, 6, 1.5 * _LIMIT), None, False,
         "A difference may be negative: take its absolute value first."),
        ("the last row differs", _at(last, prompts, 2, 3 * _LIMIT), None, False, "Judge every row."),
        ("a logit of 512 is 1.5 limits larger", None, _at(1, prompts, 4, 1.5 * _LIMIT), False,
         "512 hides it: `allclose` adds a relative tolerance (`rtol`), and half precision rounds. Use the "
         "absolute difference in float32."),
        ("a difference of just the limit", _at(0, prompts, 3, _LIMIT), None, True,
         "At most: the limit itself is allowed."),
        ("two best tokens that change places by half a limit", _tie, _nearly, True,
         "The best token changed, and no logit by more than the limit: a tie. Compare logits, not tokens."),
        ("a logit is NaN", None, _at(1, prompts, 8, nan), False,
         "NaN is neither above nor below a limit. Ask whether the difference is within: `<=`, not `not >`."),
        ("a logit is NaN in both", _at(1, prompts, 8, nan), _at(1, prompts, 8, nan), False,
         "Two NaN agree in nothing: NaN minus NaN is NaN."),
    ]  # fmt: skip
    for label, ours, theirs, wanted, step in pairs:
        found = ctx.call(function, Probe(table, ours), Probe(table, theirs), prompts, _LIMIT)
        if not isinstance(found, bool) and getattr(found, "shape", None) != ():
            refuse(
                expected="`agree` returns True or False",
                found=f"it returned {type(found).__name__}",
                next_step="Compare the largest difference with the limit, and return the truth.",
            )
        if bool(found) != wanted:
            refuse(
                expected=f"{label}, limit {_LIMIT}: {wanted}",
                found=f"`agree` returned {bool(found)}",
                next_step=step,
            )


@functools.lru_cache(maxsize=1)
def small_pair() -> tuple[Any, Any]:
    """The small Llama by this course and by transformers; each takes tokens and gives logits."""
    import torch
    from transformers import AutoModelForCausalLM
    from transformers.utils.logging import disable_progress_bar

    from lab_utils.llama import load_llama, small_llama

    disable_progress_bar()
    folder = small_llama()
    theirs = AutoModelForCausalLM.from_pretrained(folder, local_files_only=True, dtype=torch.float32)

    def reference(tokens: Tensor) -> Tensor:
        with torch.no_grad():
            logits: Tensor = theirs.eval()(tokens).logits
        return logits

    return load_llama(folder), reference


def _judge_real(ctx: LabContext, function: Any, prompts: Sequence[list[int]]) -> None:
    """The real pair agrees; a Llama with one wrong weight does not."""
    import torch

    ours, theirs = small_pair()
    if not bool(ctx.call(function, ours, theirs, prompts, _REAL_LIMIT, timeout=60)):
        refuse(
            expected="the small Llama agrees with transformers",
            found="`agree` returned False for it",
            next_step="Both get the same padded tokens, and give float32 logits.",
        )

    def damaged(tokens: Tensor) -> Tensor:
        layer = ours.layers[0]
        saved = layer.attention_norm.clone()
        with torch.no_grad():
            layer.attention_norm[0] *= 1.5
            try:
                logits: Tensor = ours(tokens)
            finally:
                layer.attention_norm.copy_(saved)
        return logits

    if bool(ctx.call(function, damaged, theirs, prompts, _REAL_LIMIT, timeout=60)):
        refuse(
            expected="a Llama with one wrong weight does not agree with transformers",
            found="`agree` returned True for it",
            next_step="See that the largest difference is compared with the limit.",
        )


@checkpoint(
    "3.8", title="Prove that two Llamas are one", points=4, minutes=8, difficulty=2,
    answers=("last_logits", "agree"), needs_server=False,
)  # fmt: skip
def check_equivalence(ctx: LabContext, answers: Mapping[str, Any]) -> Verdict:
    """Models with known differences first, then the small Llama against transformers."""
    if not has_torch():
        return NO_TORCH
    prompts = _prompts(ctx)
    with one_thread():
        _judge_last(ctx, answers["last_logits"], prompts)
        _judge_agree(ctx, answers["agree"], prompts)
        _judge_real(ctx, answers["agree"], prompts)
    return passed(
        f"your test tells equal from nearly equal, and the small Llama agrees with transformers within "
        f"{_REAL_LIMIT}",
        prompts=[len(prompt) for prompt in prompts],
    )
