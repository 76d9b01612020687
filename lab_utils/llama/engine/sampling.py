"""From logits to tokens: greedy, temperature, top-k, top-p; every request with its own dice."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from lab_utils.llama.engine.request import GenerationRequest


@dataclass
class Sampler:
    """How one request chooses its tokens.

    The random numbers come from a generator of the request's own, one number per token, so an answer
    does not depend on who else is in the batch.

    Attributes:
        temperature: 0 for greedy.
        top_k: 0 for no limit.
        top_p: 1 for no limit.
        dice: Python's Mersenne Twister: the same numbers from a seed on every machine and device.
    """

    temperature: float
    top_k: int
    top_p: float
    dice: random.Random = field(repr=False)

    @classmethod
    def of(cls, request: GenerationRequest) -> Sampler:
        """The sampler of a checked request."""
        return cls(request.temperature, request.top_k, request.top_p, random.Random(request.seed))

    @property
    def greedy(self) -> bool:
        """Whether no random number is needed."""
        return self.temperature == 0 or self.top_k == 1

    @property
    def limited(self) -> bool:
        """Whether only the most probable tokens may be drawn."""
        return self.top_k > 0 or self.top_p < 1


def choose(logits: Tensor, samplers: Sequence[Sampler]) -> list[int | None]:
    """The next token of every row.

    Args:
        logits: float32 `[B, vocab]`.
        samplers: One per row.

    Returns:
        B token ids; None for a row whose logits are not finite numbers, which no token can answer.
    """
    largest, ids = logits.max(dim=-1)
    # Rows with limits are drawn from sorted probabilities, the others from unsorted ones: were they mixed, a
    # request's answer would depend on its neighbours.
    for limited in (False, True):
        drawn = [i for i, s in enumerate(samplers) if not s.greedy and s.limited == limited]
        if drawn:
            rows = logits if len(drawn) == len(samplers) else logits[drawn]
            ids[drawn] = draw(rows, [samplers[i] for i in drawn])
    # One transfer from the device for both; float64 holds every token id exactly.
    values, tokens = torch.stack((largest.double(), ids.double())).tolist()
    # NaN wins every max(), so one look at the largest logit speaks for the row.
    return [
        int(token) if -torch.inf < value < torch.inf else None
        for value, token in zip(values, tokens, strict=True)
    ]


def draw(logits: Tensor, samplers: Sequence[Sampler]) -> Tensor:
    """Draw one token per row.

    Top-k first, then top-p on what is left, as in `transformers`; the token that crosses `top_p` stays.

    Args:
        logits: float32 `[B, vocab]`.
        samplers: One per row, none greedy; all limited or none.

    Returns:
        int64 `[B]`.
    """
    vocab = logits.size(1)
    # 53-bit numbers in [0, 1): float64 on the device, too.
    dice = torch.tensor([s.dice.random() for s in samplers], dtype=torch.float64).to(logits.device)
    heat = logits.new_tensor([s.temperature for s in samplers])
    # Subtracting the maximum first keeps a tiny temperature from overflowing.
    scaled = (logits - logits.max(dim=-1, keepdim=True).values) / heat[:, None]
    order: Tensor | None = None
    if samplers[0].limited:
        scaled, order = scaled.sort(dim=-1, descending=True, stable=True)
        limits = torch.tensor([s.top_k or vocab for s in samplers], device=logits.device).clamp(max=vocab)
        scaled = scaled.masked_fill(torch.arange(vocab, device=logits.device) >= limits[:, None], -torch.inf)
    shares = scaled.double().softmax(dim=-1)
    reached = shares.cumsum(dim=-1)
    if order is not None:
        bound = torch.tensor([s.top_p for s in samplers], dtype=torch.float64, device=logits.device)[:, None]
        # A token stays when the ones before it have not reached top_p.
        kept = (reached - shares < bound) | (bound >= 1)
        kept[:, 0] = True
        shares = shares * kept
        reached = shares.cumsum(dim=-1)
    chosen = (reached <= dice[:, None] * reached[:, -1:]).sum(dim=-1)
    # Rounding may carry the last number past the end: stay on the last token that has a share.
    last = vocab - 1 - (shares > 0).flip(-1).int().argmax(dim=-1)
    chosen = torch.minimum(chosen, last)
    return chosen if order is None else order.gather(1, chosen[:, None])[:, 0]
