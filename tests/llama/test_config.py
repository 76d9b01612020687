"""config.json of real models is read; whatever is not a plain Llama is refused by the field that differs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="PyTorch is not installed: make test EXTRAS=torch")
pytest.importorskip("transformers", reason="transformers is not installed: make test EXTRAS=torch")

from lab_utils.errors import LabError
from lab_utils.llama import LlamaError, RopeScaling, read_config
from lab_utils.llama.weights import hf_config

LLAMA2_7B = {
    "architectures": ["LlamaForCausalLM"],
    "bos_token_id": 1,
    "eos_token_id": 2,
    "hidden_act": "silu",
    "hidden_size": 4096,
    "initializer_range": 0.02,
    "intermediate_size": 11008,
    "max_position_embeddings": 4096,
    "model_type": "llama",
    "num_attention_heads": 32,
    "num_hidden_layers": 32,
    "num_key_value_heads": 32,
    "pretraining_tp": 1,
    "rms_norm_eps": 1e-05,
    "rope_scaling": None,
    "tie_word_embeddings": False,
    "torch_dtype": "float16",
    "transformers_version": "4.31.0.dev0",
    "use_cache": True,
    "vocab_size": 32000,
}
LLAMA31_8B = {
    **LLAMA2_7B,
    "attention_bias": False,
    "attention_dropout": 0.0,
    "bos_token_id": 128000,
    "eos_token_id": [128001, 128008, 128009],
    "intermediate_size": 14336,
    "max_position_embeddings": 131072,
    "mlp_bias": False,
    "num_key_value_heads": 8,
    "rope_scaling": {
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
        "rope_type": "llama3",
    },
    "rope_theta": 500000.0,
    "torch_dtype": "bfloat16",
    "vocab_size": 128256,
}
TINY_LLAMA = {
    **LLAMA2_7B,
    "hidden_size": 2048,
    "intermediate_size": 5632,
    "max_position_embeddings": 2048,
    "num_hidden_layers": 22,
    "num_key_value_heads": 4,
    "rope_theta": 10000.0,
}
# The first Llama had no grouped-query attention, and its config does not speak of it.
LLAMA1 = {
    key: value for key, value in LLAMA2_7B.items() if key not in ("num_key_value_heads", "rope_scaling")
}


def write(folder: Path, config: Any, name: str = "config.json") -> Path:
    (folder / name).write_text(config if isinstance(config, str) else json.dumps(config))
    return folder


def test_llama2(tmp_path: Path) -> None:
    config = read_config(write(tmp_path, LLAMA2_7B))
    assert (config.vocab_size, config.hidden_size, config.intermediate_size) == (32000, 4096, 11008)
    assert (config.layers, config.heads, config.kv_heads, config.head_dim) == (32, 32, 32, 128)
    assert (config.rms_norm_eps, config.rope_theta, config.rope_scaling) == (1e-5, 10000.0, None)
    assert (config.tie_embeddings, config.max_positions) == (False, 4096)
    assert (config.bos, config.eos) == (1, (2,))


def test_llama3(tmp_path: Path) -> None:
    config = read_config(write(tmp_path, LLAMA31_8B))
    assert (config.kv_heads, config.head_dim, config.rope_theta) == (8, 128, 500000.0)
    assert config.rope_scaling == RopeScaling(8.0, 1.0, 4.0, 8192)
    assert (config.bos, config.eos) == (128000, (128001, 128008, 128009))


def test_tiny_llama_and_the_first_llama(tmp_path: Path) -> None:
    assert read_config(write(tmp_path, TINY_LLAMA)).kv_heads == 4
    assert read_config(write(tmp_path, TINY_LLAMA)).head_dim == 64
    assert read_config(write(tmp_path, LLAMA1)).kv_heads == 32


@pytest.mark.parametrize("source", [LLAMA2_7B, LLAMA31_8B, TINY_LLAMA], ids=["llama2", "llama3", "tiny"])
def test_the_form_of_transformers_5_says_the_same(tmp_path: Path, source: dict[str, Any]) -> None:
    from transformers import LlamaConfig

    before = read_config(write(tmp_path, source))
    known = {
        key: value for key, value in source.items() if key not in ("architectures", "transformers_version")
    }
    LlamaConfig(**known).save_pretrained(tmp_path)
    written = json.loads((tmp_path / "config.json").read_text())
    assert "rope_parameters" in written, "transformers no longer writes the form that this test is about"
    assert "rope_scaling" not in written
    assert read_config(tmp_path) == before
    # And what we write is read back, by us and by transformers.
    assert read_config(write(tmp_path, hf_config(before))) == before
    theirs = LlamaConfig.from_pretrained(tmp_path)
    assert theirs.rope_parameters["rope_theta"] == before.rope_theta
    assert theirs.rope_parameters["rope_type"] == ("llama3" if before.rope_scaling else "default")


def test_ends_of_generation_config_count_too(tmp_path: Path) -> None:
    write(tmp_path, {**LLAMA31_8B, "eos_token_id": 128001})
    write(tmp_path, {"eos_token_id": [128001, 128008, 128009]}, "generation_config.json")
    assert read_config(tmp_path).eos == (128001, 128008, 128009)
    write(tmp_path, {"eos_token_id": 7}, "generation_config.json")
    assert read_config(tmp_path).eos == (128001, 7)


def test_no_begin_and_no_end(tmp_path: Path) -> None:
    config = read_config(write(tmp_path, {**LLAMA2_7B, "bos_token_id": None, "eos_token_id": None}))
    assert (config.bos, config.eos) == (None, ())


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("model_type", "mistral"),
        ("model_type", None),
        ("hidden_act", "gelu"),
        ("attention_bias", True),
        ("mlp_bias", True),
        ("quantization_config", {"quant_method": "gptq", "bits": 4}),
        ("sliding_window", 4096),
        ("partial_rotary_factor", 0.5),
        ("num_key_value_heads", 5),
        ("head_dim", 127),
        ("hidden_size", "4096"),
        ("num_hidden_layers", 0),
        ("vocab_size", True),
        ("rms_norm_eps", "small"),
        ("rope_theta", -1),
        ("eos_token_id", "</s>"),
        ("eos_token_id", [1, None]),
        ("rope_scaling", "linear"),
    ],
)
def test_refused_by_the_field_that_differs(tmp_path: Path, field: str, value: Any) -> None:
    with pytest.raises(LlamaError) as caught:
        read_config(write(tmp_path, {**LLAMA2_7B, field: value}))
    shown = json.dumps(value)
    assert f"{field} is {shown}" in caught.value.what
    assert str(tmp_path / "config.json") in caught.value.what
    assert caught.value.fix
    assert isinstance(caught.value, LabError)


@pytest.mark.parametrize("kind", ["linear", "dynamic", "yarn", "longrope"])
@pytest.mark.parametrize("key", ["type", "rope_type"])
@pytest.mark.parametrize("form", ["rope_scaling", "rope_parameters"])
def test_other_rope_types_are_refused(tmp_path: Path, kind: str, key: str, form: str) -> None:
    with pytest.raises(LlamaError, match=f"{form}.rope_type is .{kind}.; this Llama needs default or llama3"):
        read_config(write(tmp_path, {**LLAMA2_7B, form: {key: kind, "factor": 2.0}}))


def test_a_long_value_is_shortened(tmp_path: Path) -> None:
    with pytest.raises(LlamaError) as caught:
        read_config(write(tmp_path, {**LLAMA2_7B, "quantization_config": {"blob": "x" * 5000}}))
    assert len(caught.value.what) < 400


@pytest.mark.parametrize("field", ["vocab_size", "hidden_size", "num_attention_heads"])
def test_a_missing_field_is_named(tmp_path: Path, field: str) -> None:
    with pytest.raises(LlamaError, match=f"lacks {field}"):
        read_config(write(tmp_path, {k: v for k, v in LLAMA2_7B.items() if k != field}))


def test_a_rope_that_lacks_a_number(tmp_path: Path) -> None:
    rope = {"rope_type": "llama3", "factor": 8.0}
    with pytest.raises(LlamaError, match="rope_scaling lacks low_freq_factor, high_freq_factor"):
        read_config(write(tmp_path, {**LLAMA2_7B, "rope_scaling": rope}))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "cannot be read as JSON"),
        ('{"model_type": "llama",', "cannot be read as JSON"),
        ("version https://git-lfs.github.com/spec/v1", "cannot be read as JSON"),
        ("[1, 2]", "holds list, not an object"),
    ],
)
def test_no_json(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(LlamaError, match=message):
        read_config(write(tmp_path, text))
    write(tmp_path, LLAMA2_7B)
    with pytest.raises(LlamaError, match=message):
        read_config(write(tmp_path, text, "generation_config.json"))


def test_no_config_at_all(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "missing", Path(__file__)):
        with pytest.raises(LlamaError, match=r"config\.json does not exist"):
            read_config(folder)


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(LlamaError, match="cannot be read as JSON"):
        read_config(tmp_path)
