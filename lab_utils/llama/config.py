"""The shape of a Llama, read from the `config.json` of a Hugging Face folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab_utils.errors import LabError


class LlamaError(LabError):
    """A folder that holds no Llama which this course can serve, or a Llama used wrongly."""


@dataclass(frozen=True)
class RopeScaling:
    """How Llama 3.1 and later stretch their rotary frequencies (`rope_type: llama3`).

    Attributes:
        factor: By how much low frequencies are divided.
        low_freq_factor: Wavelengths above `original_max_positions / low_freq_factor` are stretched.
        high_freq_factor: Wavelengths below `original_max_positions / high_freq_factor` are kept.
        original_max_positions: Context length before the stretching, in tokens.
    """

    factor: float
    low_freq_factor: float
    high_freq_factor: float
    original_max_positions: int


@dataclass(frozen=True)
class LlamaConfig:
    """Everything that fixes the shape and the arithmetic of a Llama.

    Attributes:
        vocab_size: Number of token ids.
        hidden_size: Width of the residual stream.
        intermediate_size: Width inside the SwiGLU feed-forward part.
        layers: Number of decoder layers.
        heads: Number of query heads.
        kv_heads: Number of key/value heads; fewer than `heads` is grouped-query attention.
        head_dim: Width of one head.
        rms_norm_eps: The epsilon of RMSNorm.
        rope_theta: Base of the rotary frequencies.
        rope_scaling: Llama 3's stretching, or None.
        tie_embeddings: Whether the output projection is the embedding matrix.
        max_positions: Longest sequence the model was made for, in tokens.
        bos: Id of the begin-of-sequence token, or None.
        eos: Ids of all tokens that end an answer (Llama 3 has several).
    """

    vocab_size: int
    hidden_size: int
    intermediate_size: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    rms_norm_eps: float = 1e-5
    rope_theta: float = 10000.0
    rope_scaling: RopeScaling | None = None
    tie_embeddings: bool = False
    max_positions: int = 2048
    bos: int | None = 1
    eos: tuple[int, ...] = (2,)


# Fields that change the arithmetic, and the values that mean "as in Llama". An absent field means the
# first value. Anything else would load and answer nonsense, so it is refused by name.
_MUST_BE: dict[str, tuple[Any, ...]] = {
    "hidden_act": ("silu", "swish"),
    "attention_bias": (False, None),
    "mlp_bias": (False, None),
    "quantization_config": (None,),
    "sliding_window": (None,),
    "partial_rotary_factor": (None, 1, 1.0),
    "is_encoder_decoder": (False, None),
}
_SHAPE = ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")
_READABLE = "Llama 2, Llama 3 and TinyLlama folders are read: model_type llama, weights not quantized."


def read_config(folder: Path) -> LlamaConfig:
    """Read the shape of the Llama in a folder.

    The folders that transformers 4 and transformers 5 write are both read. The ids that end an answer
    come from `config.json` and, where there is one, `generation_config.json`.

    Args:
        folder: A Hugging Face model folder.

    Raises:
        LlamaError: No `config.json`, no JSON, a missing field, or a model that is not a plain Llama.
    """
    folder = Path(folder)
    path = folder / "config.json"
    found = _read_json(path)
    if found is None:
        raise LlamaError(
            f"{path} does not exist.",
            why="A Hugging Face model folder holds config.json beside the weights.",
            fix="Name the folder that holds config.json, or `small` for the small Llama of this course.",
        )
    return _config(path, found, _read_json(folder / "generation_config.json") or {})


def _read_json(path: Path) -> dict[str, Any] | None:
    """The object in a JSON file; None when there is no such file."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise LlamaError(
            f"{path} cannot be read as JSON.",
            why=f"{type(error).__name__}: {error}",
            fix="Download the file again: it is damaged or it is not the real file.",
        ) from error
    if not isinstance(found, dict):
        raise LlamaError(
            f"{path} holds {type(found).__name__}, not an object.", fix="Download the file again."
        )
    return found


def _config(path: Path, found: Mapping[str, Any], generation: Mapping[str, Any]) -> LlamaConfig:
    if found.get("model_type") != "llama":
        raise _refused(path, "model_type", found.get("model_type"), "llama")
    for field, allowed in _MUST_BE.items():
        value = found.get(field, allowed[0])
        # 0 == False in Python: compare the types, too.
        if not any(value == one and isinstance(value, bool) == isinstance(one, bool) for one in allowed):
            raise _refused(path, field, value, allowed[0])
    missing = [field for field in _SHAPE if found.get(field) is None]
    if missing:
        raise LlamaError(f"{path} lacks {', '.join(missing)}.", fix="Download the file again.")
    whole = {field: _positive(path, field, found[field]) for field in _SHAPE}
    heads = whole["num_attention_heads"]
    kv_heads = _positive(path, "num_key_value_heads", found.get("num_key_value_heads") or heads)
    hidden = whole["hidden_size"]
    head_dim = _positive(path, "head_dim", found.get("head_dim") or hidden // heads)
    if heads % kv_heads:
        raise _refused(path, "num_key_value_heads", kv_heads, f"a divisor of num_attention_heads ({heads})")
    if head_dim % 2:
        raise _refused(path, "head_dim", head_dim, "an even number (RoPE turns pairs)")
    theta, scaling = _rope(path, found)
    ends = _ids(path, "eos_token_id", found.get("eos_token_id", 2))
    more = _ids(path.with_name("generation_config.json"), "eos_token_id", generation.get("eos_token_id"))
    begins = _ids(path, "bos_token_id", found.get("bos_token_id", 1))
    return LlamaConfig(
        vocab_size=whole["vocab_size"],
        hidden_size=hidden,
        intermediate_size=whole["intermediate_size"],
        layers=whole["num_hidden_layers"],
        heads=heads,
        kv_heads=kv_heads,
        head_dim=head_dim,
        rms_norm_eps=_number(path, "rms_norm_eps", found.get("rms_norm_eps", 1e-6)),
        rope_theta=theta,
        rope_scaling=scaling,
        tie_embeddings=bool(found.get("tie_word_embeddings", False)),
        max_positions=_positive(
            path, "max_position_embeddings", found.get("max_position_embeddings") or 2048
        ),
        bos=begins[0] if begins else None,
        eos=tuple(dict.fromkeys(ends + more)),
    )


def _rope(path: Path, found: Mapping[str, Any]) -> tuple[float, RopeScaling | None]:
    """Base and scaling: `rope_theta` and `rope_scaling` (transformers 4) or `rope_parameters` (5)."""
    field = "rope_parameters" if found.get("rope_parameters") else "rope_scaling"
    rope = found.get(field) or {}
    if not isinstance(rope, dict):
        raise _refused(path, field, rope, "an object")
    theta = _number(path, "rope_theta", rope.get("rope_theta", found.get("rope_theta", 10000.0)))
    if rope.get("partial_rotary_factor", 1.0) != 1.0:
        raise _refused(path, f"{field}.partial_rotary_factor", rope["partial_rotary_factor"], "1.0")
    kind = rope.get("rope_type", rope.get("type", "default"))
    if kind == "default":
        return theta, None
    if kind != "llama3":
        raise _refused(path, f"{field}.rope_type", kind, "default or llama3")
    names = ("factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings")
    missing = [name for name in names if name not in rope]
    if missing:
        raise LlamaError(f"{path}: {field} lacks {', '.join(missing)}.", fix="Download the file again.")
    factor, low, high, original = (_number(path, f"{field}.{name}", rope[name]) for name in names)
    return theta, RopeScaling(factor, low, high, int(original))


def _ids(path: Path, field: str, value: Any) -> tuple[int, ...]:
    """One id, a list of ids or null, as a tuple."""
    values = value if isinstance(value, list) else [] if value is None else [value]
    if any(not isinstance(one, int) or isinstance(one, bool) for one in values):
        raise _refused(path, field, value, "an integer or a list of integers")
    return tuple(values)


def _positive(path: Path, field: str, value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise _refused(path, field, value, "a whole number above 0")
    return value


def _number(path: Path, field: str, value: Any) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or value <= 0:
        raise _refused(path, field, value, "a number above 0")
    return float(value)


def _refused(path: Path, field: str, value: Any, wanted: Any) -> LlamaError:
    shown = json.dumps(value)
    return LlamaError(
        f"{path}: {field} is {shown if len(shown) <= 80 else shown[:77] + '...'}; this Llama needs "
        f"{wanted if isinstance(wanted, str) else json.dumps(wanted)}.",
        why=_READABLE,
        fix="Choose another model, or `small`.",
    )
