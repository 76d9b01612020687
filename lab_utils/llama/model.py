"""A Llama that a person can read in one sitting, and that `torch.jit.script` can compile whole.

RMSNorm, rotary positions (RoPE) with Llama 3's scaling, grouped-query attention, SwiGLU. The four entry
points differ only in what attention looks at:

- `forward`: whole sequences, no cache. What a stateless model serves.
- `prefill`: whole prompts into slots of the cache; logits of each last token.
- `extend`: one more piece of one long prompt.
- `decode`: one token for each of the first slots. The step that repeats.

Sizes: B rows, T tokens, H query heads, K key/value heads, D width of a head. The arithmetic is that of
Llama 2 (arXiv:2307.09288) and of `transformers`; the tests hold the two equal.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lab_utils.llama.config import LlamaConfig


def inverse_frequencies(config: LlamaConfig) -> Tensor:
    """Rotary frequencies in radians per token, float32 `[D / 2]`.

    Llama 3.1 divides the frequencies of long wavelengths by `factor`, keeps the others, and goes smoothly
    from one to the other (`apply_scaling` of Meta's llama-models; `rope_type: llama3` in transformers).
    """
    # Float32 and this order, as in transformers: at position 100,000 a frequency's last bit shows.
    steps = torch.arange(0, config.head_dim, 2, dtype=torch.float32, device="cpu") / config.head_dim
    frequencies = 1.0 / (config.rope_theta**steps)
    scaling = config.rope_scaling
    if scaling is None:
        return frequencies
    wavelengths = 2 * math.pi / frequencies
    low, high = scaling.low_freq_factor, scaling.high_freq_factor
    smooth = ((scaling.original_max_positions / wavelengths - low) / (high - low)).clamp(0, 1)
    return (1 - smooth) * frequencies / scaling.factor + smooth * frequencies


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn each pair (x[i], x[i + D/2]) of `[..., D]` by its angle. The first half of `sin` is negative."""
    return torch.addcmul(x * cos, x.roll(x.size(-1) // 2, -1), sin)


def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """Divide x `[..., hidden]` by its root mean square (arXiv:1910.07467), then scale each channel.

    CUDA has one kernel for it. On the CPU `torch.rms_norm` is a chain of more steps than this one.
    """
    if x.is_cuda:
        return torch.rms_norm(x, weight.size(), weight, eps)
    length = torch.linalg.vector_norm(x, 2.0, [-1], True, dtype=torch.float32)
    return weight * (x * torch.rsqrt(length * length / x.size(-1) + eps)).to(x.dtype)


class Layer(nn.Module):
    """One decoder layer. Query, key and value are one matrix product; so are gate and up."""

    def __init__(self, config: LlamaConfig, dtype: torch.dtype, device: torch.device | str) -> None:
        super().__init__()
        self.heads, self.kv_heads, self.head_dim = config.heads, config.kv_heads, config.head_dim
        self.inner, self.eps = config.intermediate_size, config.rms_norm_eps
        hidden, width = config.hidden_size, config.heads * config.head_dim
        self.attention_norm = nn.Parameter(torch.empty(hidden, dtype=dtype, device=device))
        self.qkv = _linear(hidden, width + 2 * config.kv_heads * config.head_dim, dtype, device)
        self.out = _linear(width, hidden, dtype, device)
        self.mlp_norm = nn.Parameter(torch.empty(hidden, dtype=dtype, device=device))
        self.gate_up = _linear(hidden, 2 * self.inner, dtype, device)
        self.down = _linear(self.inner, hidden, dtype, device)

    def project(self, x: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Hidden states `[..., hidden]` to q `[..., H, D]`, k and v `[..., K, D]`; q and k are rotated."""
        qkv = self.qkv(rms_norm(x, self.attention_norm, self.eps)).unflatten(-1, [-1, self.head_dim])
        turned = rotate(qkv.narrow(-2, 0, self.heads + self.kv_heads), cos, sin)
        q, k = turned.split([self.heads, self.kv_heads], dim=-2)
        return q, k, qkv.narrow(-2, self.heads + self.kv_heads, self.kv_heads)

    def finish(self, x: Tensor, attended: Tensor) -> Tensor:
        """Add attention's part `[..., H * D]` and the feed-forward part (SwiGLU) to x `[..., hidden]`."""
        x = x + self.out(attended)
        gate, up = self.gate_up(rms_norm(x, self.mlp_norm, self.eps)).split([self.inner, self.inner], dim=-1)
        return x + self.down(F.silu(gate) * up)


class Llama(nn.Module):
    """The whole model. Its weights are not initialised: `load_llama` fills them.

    Args:
        config: The shape.
        dtype: Of weights and arithmetic: float32, bfloat16 or float16. Logits are always float32.
        device: Where the weights live.
    """

    def __init__(
        self, config: LlamaConfig, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu"
    ) -> None:
        super().__init__()
        self.config = config
        self.kv_heads, self.head_dim, self.eps = config.kv_heads, config.head_dim, config.rms_norm_eps
        self.group = config.heads // config.kv_heads
        self.embed = nn.Embedding.from_pretrained(
            torch.empty(config.vocab_size, config.hidden_size, dtype=dtype, device=device), freeze=False
        )
        self.layers = nn.ModuleList([Layer(config, dtype, device) for _ in range(config.layers)])
        self.norm = nn.Parameter(torch.empty(config.hidden_size, dtype=dtype, device=device))
        self.head = _linear(config.hidden_size, config.vocab_size, dtype, device)
        if config.tie_embeddings:
            self.head.weight = self.embed.weight
        angles = torch.outer(torch.arange(config.max_positions).float(), inverse_frequencies(config))
        cos, sin = angles.cos(), angles.sin()
        self.register_buffer("cos", torch.cat((cos, cos), -1).to(device, dtype), persistent=False)
        self.register_buffer("sin", torch.cat((-sin, sin), -1).to(device, dtype), persistent=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits after every token, without a cache.

        Rows may be padded on the right: attention is causal, so no real token sees the padding.

        Args:
            tokens: int64 `[B, T]`.

        Returns:
            float32 `[B, T, vocab]`.
        """
        x = self.embed(tokens)
        cos, sin = self._angles(0, tokens.size(1))
        for layer in self.layers:
            q, k, v = layer.project(x, cos, sin)
            x = layer.finish(x, _causal(q, k, v))
        return self._logits(x)

    @torch.jit.export
    def prefill(self, tokens: Tensor, last: Tensor, slots: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """Read whole prompts; write their keys and values into slots of the cache.

        Args:
            tokens: int64 `[B, T]`, padded on the right. `decode` writes over what the padding leaves.
            last: int64 `[B]`, index of each row's last real token.
            slots: int64 `[B]`, the slot of each row; all different.
            keys: `[layers, slots, K, length, D]` with length >= T. Changed in place.
            values: Likewise.

        Returns:
            float32 `[B, vocab]`: logits after each row's last real token.
        """
        length = tokens.size(1)
        x = self.embed(tokens)
        cos, sin = self._angles(0, length)
        for i, layer in enumerate(self.layers):
            q, k, v = layer.project(x, cos, sin)
            keys[i].narrow(2, 0, length).index_copy_(0, slots, k.transpose(1, 2))
            values[i].narrow(2, 0, length).index_copy_(0, slots, v.transpose(1, 2))
            x = layer.finish(x, _causal(q, k, v))
        return self._logits(x[torch.arange(tokens.size(0), device=tokens.device), last])

    @torch.jit.export
    def extend(self, tokens: Tensor, slot: int, start: int, keys: Tensor, values: Tensor) -> Tensor:
        """Read one more piece of a long prompt whose first `start` tokens are in the slot already.

        Args:
            tokens: int64 `[T]`, the tokens at positions `start` to `start + T - 1`. No padding.
            slot: The slot of this prompt.
            start: Number of tokens that the slot holds.
            keys: `[layers, slots, K, length, D]` with length >= start + T. Changed in place.
            values: Likewise.

        Returns:
            float32 `[vocab]`: logits after the last of these tokens.
        """
        length = tokens.size(0)
        span = start + length
        x = self.embed(tokens)
        cos, sin = self._angles(start, length)
        # Token t of the piece sees the span up to its own position start + t.
        sees = torch.ones(length, span, dtype=torch.bool, device=tokens.device).tril(start)
        for i, layer in enumerate(self.layers):
            q, k, v = layer.project(x, cos, sin)
            past_k, past_v = keys[i, slot].narrow(1, 0, span), values[i, slot].narrow(1, 0, span)
            past_k.narrow(1, start, length).copy_(k.transpose(0, 1))
            past_v.narrow(1, start, length).copy_(v.transpose(0, 1))
            attended = F.scaled_dot_product_attention(
                q.transpose(0, 1)[None],
                past_k.unsqueeze(1).expand(-1, self.group, -1, -1).flatten(0, 1)[None],
                past_v.unsqueeze(1).expand(-1, self.group, -1, -1).flatten(0, 1)[None],
                attn_mask=sees,
            )
            x = layer.finish(x, attended[0].transpose(0, 1).flatten(1))
        return self._logits(x[length - 1])

    @torch.jit.export
    def decode(self, tokens: Tensor, positions: Tensor, span: int, keys: Tensor, values: Tensor) -> Tensor:
        """One step: one token for each of the first B slots, at its own position.

        Nothing here waits for the device, and every shape follows from B and `span`: the step can be
        captured in a CUDA graph and replayed with other tokens and positions.

        Args:
            tokens: int64 `[B]`; row b belongs to slot b.
            positions: int64 `[B]`, where each token goes; the slot holds that many tokens before it.
            span: Number of cached tokens looked at: at least `max(positions) + 1`.
            keys: `[layers, slots, K, length, D]` with slots >= B and length >= span. Changed in place.
            values: Likewise.

        Returns:
            float32 `[B, vocab]`: logits after each token.
        """
        rows = tokens.size(0)
        x = self.embed(tokens)
        cos, sin = self.cos[positions].unsqueeze(1), self.sin[positions].unsqueeze(1)
        hidden = torch.arange(span, device=tokens.device) > positions.unsqueeze(1)
        mask = torch.zeros(rows, 1, 1, span, dtype=x.dtype, device=x.device)
        mask = mask.masked_fill(hidden[:, None, None], -float("inf"))
        where = positions.view(rows, 1, 1, 1).expand(rows, self.kv_heads, 1, self.head_dim)
        # Views of the dense prefix of the slots: no row is gathered or copied.
        past_k = keys.narrow(1, 0, rows).narrow(3, 0, span).unbind(0)
        past_v = values.narrow(1, 0, rows).narrow(3, 0, span).unbind(0)
        for i, layer in enumerate(self.layers):
            q, k, v = layer.project(x, cos, sin)
            past_k[i].scatter_(2, where, k.unsqueeze(2))
            past_v[i].scatter_(2, where, v.unsqueeze(2))
            # The query heads that share a key/value head go in as its queries: nothing is repeated.
            grouped = q.view(rows, self.kv_heads, self.group, self.head_dim)
            attended = F.scaled_dot_product_attention(grouped, past_k[i], past_v[i], attn_mask=mask)
            x = layer.finish(x, attended.flatten(1))
        return self._logits(x)

    def _angles(self, start: int, length: int) -> tuple[Tensor, Tensor]:
        """The cosines and sines of `length` positions, `[T, 1, D]`."""
        cos, sin = self.cos.narrow(0, start, length), self.sin.narrow(0, start, length)
        return cos.unsqueeze(1), sin.unsqueeze(1)

    def _logits(self, x: Tensor) -> Tensor:
        return self.head(rms_norm(x, self.norm, self.eps)).float()


def _causal(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Causal attention of q `[B, T, H, D]` over k and v `[B, T, K, D]`; returns `[B, T, H * D]`."""
    grouped = q.size(2) != k.size(2)
    q, k, v = q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)
    attended = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=grouped)
    return attended.transpose(1, 2).flatten(2)


def _linear(inputs: int, outputs: int, dtype: torch.dtype, device: torch.device | str) -> nn.Linear:
    """No bias, and weights that are not set: filling in 7 B random numbers would take minutes."""
    return nn.utils.skip_init(nn.Linear, inputs, outputs, bias=False, dtype=dtype, device=device)
