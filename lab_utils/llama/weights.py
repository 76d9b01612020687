"""Fill a Llama from the safetensors files of a Hugging Face folder, or write such a folder."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from lab_utils.llama.config import LlamaConfig, LlamaError, read_config
from lab_utils.llama.model import Llama

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
_NUMBERS = ("F64", "F32", "F16", "BF16")
_DTYPES = (torch.float32, torch.bfloat16, torch.float16)
_LFS = b"version https://git-lfs.github.com/spec/"
# Buffers that old checkpoints carry; they are computed here.
_COMPUTED = "rotary_emb.inv_freq"


def load_llama(
    folder: Path | str, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu"
) -> Llama:
    """Load a Llama from a Hugging Face folder: `config.json` and safetensors, one file or shards.

    Weights are converted one tensor at a time: the peak is the model plus its largest tensor.

    Args:
        folder: The folder.
        dtype: float32, bfloat16 or float16.
        device: `cpu`, `cuda` or `cuda:N`.

    Returns:
        The model in evaluation mode; no gradients.

    Raises:
        LlamaError: The folder holds no Llama that can be read; the message names the file and field.
    """
    folder = Path(folder)
    config = read_config(folder)
    weight_files(folder)  # says what is missing before any memory is taken
    llama = _empty(config, dtype, device)
    places = hf_tensors(llama)
    seen: set[str] = set()
    unexpected: list[str] = []
    for file, name, stored in _stored(folder):
        if name.endswith(_COMPUTED) or (config.tie_embeddings and name == "lm_head.weight"):
            continue
        target = places.get(name)
        if target is None:
            unexpected.append(name)
            continue
        shape = tuple(stored.get_shape())
        if shape != tuple(target.shape):
            raise LlamaError(
                f"{file}: tensor {name} has shape {list(shape)}; config.json asks for {list(target.shape)}.",
                fix="config.json and the weights belong to different models: download both again.",
            )
        if stored.get_dtype() not in _NUMBERS:
            raise LlamaError(
                f"{file}: tensor {name} is stored as {stored.get_dtype()}.",
                why="These weights are quantized; without their scales the numbers mean nothing.",
                fix=f"Choose the model with weights in one of: {', '.join(_NUMBERS)}.",
            )
        target.copy_(stored[:])
        seen.add(name)
    missing = [name for name in places if name not in seen]
    if missing or unexpected:
        lines = [f"missing: {name}" for name in missing] + [f"not expected: {name}" for name in unexpected]
        raise LlamaError(
            f"The tensors in {folder} are not those of the Llama in its config.json: "
            f"{len(missing)} missing, {len(unexpected)} not expected.",
            fix="Download the folder again, with all its shards.",
            details="\n".join(lines[:10] + ([f"and {len(lines) - 10} more"] if len(lines) > 10 else [])),
        )
    return llama


def _empty(config: LlamaConfig, dtype: torch.dtype, device: torch.device | str) -> Llama:
    """The model before its weights are there."""
    if dtype not in _DTYPES:
        raise LlamaError(f"A Llama cannot compute in {dtype}.", fix="Use float32, bfloat16 or float16.")
    if torch.device(device).type == "cuda" and not torch.cuda.is_available():
        raise LlamaError(
            f"There is no device {device} for PyTorch on this machine.",
            why="No NVIDIA GPU, no driver, or a PyTorch that was built for the CPU only.",
            fix="Use device cpu, or look at `triton-lab doctor`.",
        )
    try:
        return Llama(config, dtype, device).requires_grad_(False).eval()
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise LlamaError(
            f"The weights do not fit into the memory of {device}.",
            why=str(error).splitlines()[0] if str(error) else "",
            fix="Use bfloat16 or float16, which take half of float32, or a smaller model.",
        ) from error


def hf_tensors(llama: Llama) -> dict[str, Tensor]:
    """The weights under the names that Hugging Face gives them, as views of the fused matrices.

    Returns:
        Views: writing into one fills its part of the model. `lm_head.weight` is absent when tied.
    """
    config = llama.config
    q, kv = config.heads * config.head_dim, config.kv_heads * config.head_dim
    found: dict[str, Tensor] = {"model.embed_tokens.weight": llama.embed.weight}
    for number, layer in enumerate(llama.layers):
        at = f"model.layers.{number}"
        found[f"{at}.input_layernorm.weight"] = layer.attention_norm
        parts = layer.qkv.weight.split([q, kv, kv])
        for name, part in zip(("q_proj", "k_proj", "v_proj"), parts, strict=True):
            found[f"{at}.self_attn.{name}.weight"] = part
        found[f"{at}.self_attn.o_proj.weight"] = layer.out.weight
        found[f"{at}.post_attention_layernorm.weight"] = layer.mlp_norm
        parts = layer.gate_up.weight.split(config.intermediate_size)
        for name, part in zip(("gate_proj", "up_proj"), parts, strict=True):
            found[f"{at}.mlp.{name}.weight"] = part
        found[f"{at}.mlp.down_proj.weight"] = layer.down.weight
    found["model.norm.weight"] = llama.norm
    if not config.tie_embeddings:
        found["lm_head.weight"] = llama.head.weight
    return found


def save_llama(llama: Llama, folder: Path) -> None:
    """Write `config.json`, `generation_config.json` and `model.safetensors` in Hugging Face's layout.

    Args:
        llama: The model.
        folder: An existing folder. The tokenizer is not written.
    """
    dtype = str(llama.norm.dtype).removeprefix("torch.")
    config = {**hf_config(llama.config), "dtype": dtype, "torch_dtype": dtype}
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    ids = {"bos_token_id": llama.config.bos, "eos_token_id": config["eos_token_id"]}
    generation = {**ids, "do_sample": False, "_from_model_config": True}
    (folder / "generation_config.json").write_text(json.dumps(generation, indent=2) + "\n", encoding="utf-8")
    tensors = {name: tensor.detach().contiguous() for name, tensor in hf_tensors(llama).items()}
    save_file(tensors, folder / SINGLE, metadata={"format": "pt"})


def hf_config(config: LlamaConfig) -> dict[str, Any]:
    """The shape as `config.json` has it, in the form that transformers 4 and 5 both read."""
    scaling = config.rope_scaling
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": config.vocab_size,
        "hidden_size": config.hidden_size,
        "intermediate_size": config.intermediate_size,
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.heads,
        "num_key_value_heads": config.kv_heads,
        "head_dim": config.head_dim,
        "hidden_act": "silu",
        "attention_bias": False,
        "mlp_bias": False,
        "rms_norm_eps": config.rms_norm_eps,
        "rope_theta": config.rope_theta,
        "rope_scaling": None
        if scaling is None
        else {
            "rope_type": "llama3",
            "factor": scaling.factor,
            "low_freq_factor": scaling.low_freq_factor,
            "high_freq_factor": scaling.high_freq_factor,
            "original_max_position_embeddings": scaling.original_max_positions,
        },
        "tie_word_embeddings": config.tie_embeddings,
        "max_position_embeddings": config.max_positions,
        "bos_token_id": config.bos,
        "eos_token_id": config.eos[0] if len(config.eos) == 1 else list(config.eos) or None,
        "use_cache": True,
    }


def _stored(folder: Path) -> Iterator[tuple[Path, str, Any]]:
    """Each stored tensor, not read yet: its file, its name, and a slice that is read by `[:]`."""
    for path in weight_files(folder):
        try:
            with safe_open(path, framework="pt") as file:
                for name in file.keys():  # noqa: SIM118 - safe_open is no mapping
                    yield path, name, file.get_slice(name)
        except (SafetensorError, OSError) as error:
            raise _unreadable(path, error) from error


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of a folder: the one file, or the shards that the index names.

    Raises:
        LlamaError: There are none, a shard is missing, or there are only pickles.
    """
    if (folder / INDEX).exists():
        try:
            index: Mapping[str, Any] = json.loads((folder / INDEX).read_text(encoding="utf-8"))
            names = sorted({str(name) for name in index["weight_map"].values()})
        except (ValueError, KeyError, AttributeError, TypeError) as error:
            raise LlamaError(
                f"{folder / INDEX} is not an index of shards: it needs `weight_map`.",
                why=f"{type(error).__name__}: {error}",
                fix="Download the file again.",
            ) from error
        lost = [name for name in names if not (folder / name).is_file()]
        if lost:
            raise LlamaError(
                f"{len(lost)} of {len(names)} shards are not in {folder}: {', '.join(lost[:5])}.",
                fix="Download the missing files into the same folder.",
            )
        return [folder / name for name in names]
    if (folder / SINGLE).exists():
        return [folder / SINGLE]
    pickles = sorted(p.name for p in [*folder.glob("*.bin"), *folder.glob("*.pt"), *folder.glob("*.pth")])
    if pickles:
        raise LlamaError(
            f"{folder} holds its weights only as {pickles[0]}.",
            why="That is a pickle: loading it runs whatever code its author put inside.",
            fix="Use the safetensors files of the same model, or convert the weights to safetensors.",
        )
    raise LlamaError(f"{folder} holds no {SINGLE} and no {INDEX}.", fix="Download the weights, too.")


def _unreadable(path: Path, error: Exception) -> LlamaError:
    try:
        with path.open("rb") as file:
            start = file.read(len(_LFS))
    except OSError as reason:
        return LlamaError(f"{path} cannot be read.", why=f"{type(reason).__name__}: {reason.strerror}")
    if start == _LFS:
        return LlamaError(
            f"{path} is a Git LFS pointer, not the weights.",
            why="The repository was cloned without Git LFS: only the address of the file came.",
            fix="Run `git lfs pull` in that folder, or download the file.",
        )
    return LlamaError(
        f"{path} cannot be read as safetensors ({path.stat().st_size:,} bytes).",
        why=f"The file is cut off or damaged. {error}",
        fix="Download it again and compare its size with the one on the hub.",
    )
