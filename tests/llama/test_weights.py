"""Weights: one file or shards, fused on the way in; every damage is named, and nothing is unpickled."""

from __future__ import annotations

import json
import pickle
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="PyTorch is not installed: make test EXTRAS=torch")
pytest.importorskip("transformers", reason="transformers is not installed: make test EXTRAS=torch")

import torch
from safetensors.torch import load_file, save_file

from lab_utils.llama import Llama, LlamaError, load_llama, random_llama
from lab_utils.llama.small import initialise
from lab_utils.llama.weights import hf_tensors, save_llama, weight_files
from tests.llama.shapes import TOLERANCE, Trio, error, random_tokens

pytestmark = pytest.mark.usefixtures("inference")


@pytest.fixture
def folder(trios: dict[str, Trio], tmp_path: Path) -> Path:
    """A copy of a good model to damage."""
    return Path(shutil.copytree(trios["llama2"].folder, tmp_path / "model"))


def change(folder: Path, **changes: torch.Tensor | None) -> None:
    """Replace, add or (None) drop tensors; `__` stands for a dot."""
    tensors = load_file(folder / "model.safetensors")
    for name, tensor in changes.items():
        if tensor is None:
            del tensors[name.replace("__", ".")]
        else:
            tensors[name.replace("__", ".")] = tensor
    save_file(tensors, folder / "model.safetensors")


def test_shards_are_the_same_model(trio: Trio, tmp_path: Path) -> None:
    trio.reference.save_pretrained(tmp_path, max_shard_size="40KB")
    assert len(weight_files(tmp_path)) > 2
    assert not (tmp_path / "model.safetensors").exists()
    tokens = random_tokens(2, 9)
    assert torch.equal(load_llama(tmp_path)(tokens), trio.llama(tokens))


def test_stored_in_another_dtype(trio: Trio, tmp_path: Path) -> None:
    type(trio.reference).from_pretrained(trio.folder, dtype=torch.bfloat16).save_pretrained(tmp_path)
    llama = load_llama(tmp_path)
    assert llama.norm.dtype == torch.float32
    tokens = random_tokens(2, 9)
    wide = type(trio.reference).from_pretrained(tmp_path, dtype=torch.float32)
    assert error(llama(tokens), wide(tokens).logits) <= TOLERANCE


def test_our_own_folder_is_read_by_transformers(trio: Trio, tmp_path: Path) -> None:
    save_llama(trio.llama, tmp_path)
    again = type(trio.reference).from_pretrained(tmp_path, local_files_only=True)
    assert again.generation_config.eos_token_id == trio.reference.config.eos_token_id
    tokens = random_tokens(3, 20)
    assert error(again(tokens).logits, trio.logits(tokens)) <= TOLERANCE
    assert load_llama(tmp_path).config == replace(trio.llama.config)


def test_loaded_for_serving(trio: Trio) -> None:
    llama = load_llama(str(trio.folder))
    assert not llama.training
    assert not any(parameter.requires_grad for parameter in llama.parameters())
    assert set(hf_tensors(llama)) == set(load_file(trio.folder / "model.safetensors"))


def test_computed_tensors_of_old_checkpoints_are_ignored(folder: Path, trios: dict[str, Trio]) -> None:
    change(folder, model__layers__0__self_attn__rotary_emb__inv_freq=torch.zeros(4))
    tokens = random_tokens(1, 5)
    assert torch.equal(load_llama(folder)(tokens), trios["llama2"].llama(tokens))


def test_a_tied_model_with_a_second_copy(trios: dict[str, Trio], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(trios["llama3"].folder, tmp_path / "model"))
    change(folder, lm_head__weight=torch.zeros(3, 3))
    tokens = random_tokens(1, 5)
    assert torch.equal(load_llama(folder)(tokens), trios["llama3"].llama(tokens))


def test_missing_and_unexpected_tensors_are_named(folder: Path) -> None:
    change(
        folder,
        model__layers__1__mlp__up_proj__weight=None,
        lm_head__weight=None,
        model__layers__1__mlp__up_proj__qweight=torch.zeros(3),
    )
    with pytest.raises(LlamaError) as caught:
        load_llama(folder)
    assert "2 missing, 1 not expected" in caught.value.what
    assert "missing: model.layers.1.mlp.up_proj.weight" in caught.value.details
    assert "missing: lm_head.weight" in caught.value.details
    assert "not expected: model.layers.1.mlp.up_proj.qweight" in caught.value.details


def test_many_missing_tensors_are_counted(folder: Path) -> None:
    save_file({"model.norm.weight": torch.ones(64)}, folder / "model.safetensors")
    with pytest.raises(LlamaError, match=r"and \d+ more"):
        load_llama(folder)


def test_a_misshapen_tensor_is_named(folder: Path) -> None:
    change(folder, model__layers__0__self_attn__k_proj__weight=torch.zeros(32, 64))
    with pytest.raises(
        LlamaError, match=r"k_proj\.weight has shape \[32, 64\]; config\.json asks for \[64, 64\]"
    ):
        load_llama(folder)


def test_quantized_numbers_are_refused(folder: Path) -> None:
    change(folder, model__norm__weight=torch.ones(64, dtype=torch.int8))
    with pytest.raises(LlamaError, match=r"model\.norm\.weight is stored as I8"):
        load_llama(folder)


@pytest.mark.parametrize("keep", [0.99, 0.5, 0.0])
def test_a_file_that_is_cut_off(folder: Path, keep: float) -> None:
    path = folder / "model.safetensors"
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * keep)])
    with pytest.raises(LlamaError) as caught:
        load_llama(folder)
    assert "cannot be read as safetensors" in caught.value.what
    assert "cut off" in caught.value.why


def test_a_git_lfs_pointer(folder: Path) -> None:
    (folder / "model.safetensors").write_text(
        "version https://git-lfs.github.com/spec/v1\noid sha256:0123\nsize 123\n"
    )
    with pytest.raises(LlamaError) as caught:
        load_llama(folder)
    assert "Git LFS pointer" in caught.value.what
    assert "git lfs pull" in caught.value.fix


def test_a_folder_with_the_name_of_the_file(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors").mkdir()
    with pytest.raises(LlamaError, match="cannot be read"):
        load_llama(folder)


class Bomb:
    """What a pickle can do."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return Path.touch, (Path("exploded"),)  # type: ignore[return-value]


def test_only_a_pickle_and_it_is_not_opened(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(LlamaError) as caught:
        load_llama(folder)
    assert "only as pytorch_model.bin" in caught.value.what
    assert "convert the weights to safetensors" in caught.value.fix
    assert not Path("exploded").exists()
    pickle.loads(pickle.dumps(Bomb()))
    assert Path("exploded").exists(), "the bomb of this test does not work"


def test_no_weights_at_all(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    with pytest.raises(
        LlamaError, match=r"holds no model\.safetensors and no model\.safetensors\.index\.json"
    ):
        load_llama(folder)


def test_a_missing_shard_is_named(trio: Trio, tmp_path: Path) -> None:
    trio.reference.save_pretrained(tmp_path, max_shard_size="40KB")
    lost = weight_files(tmp_path)[1]
    lost.unlink()
    with pytest.raises(LlamaError, match=rf"1 of \d+ shards are not in .*: {lost.name}"):
        load_llama(tmp_path)


@pytest.mark.parametrize("index", ["", "[]", "{}", '{"weight_map": 3}', '{"weight_map": {"a": 3}}'])
def test_a_broken_index(folder: Path, index: str) -> None:
    (folder / "model.safetensors.index.json").write_text(index)
    with pytest.raises(LlamaError, match=r"is not an index of shards|shards are not in"):
        load_llama(folder)


def test_a_device_that_is_not_there(trios: dict[str, Trio]) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(LlamaError, match="no device cuda"):
        load_llama(trios["llama2"].folder, device="cuda")


def test_a_dtype_that_is_none(trios: dict[str, Trio]) -> None:
    with pytest.raises(LlamaError, match=r"cannot compute in torch\.int8"):
        load_llama(trios["llama2"].folder, torch.int8)


def test_random_llama(trios: dict[str, Trio], tmp_path: Path) -> None:
    """A folder of any shape that transformers reads, too; the seed fixes its weights."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    config = replace(trios["llama3"].llama.config, vocab_size=1200)
    folder = random_llama(tmp_path / "a" / "b", config, seed=3)
    llama = load_llama(folder)
    assert llama.config == config
    tokens = random_tokens(2, 9)
    reference = AutoModelForCausalLM.from_pretrained(folder, local_files_only=True)
    assert (llama(tokens) - reference(tokens).logits).abs().max() <= TOLERANCE
    assert (
        AutoTokenizer.from_pretrained(folder, local_files_only=True)("What is a backend?").input_ids[0] == 1
    )
    same, other = Llama(config), Llama(config)
    initialise(same, 3)
    initialise(other, 4)
    assert torch.equal(same(tokens), llama(tokens))
    assert not torch.equal(other(tokens), llama(tokens))
    half = load_llama(random_llama(tmp_path / "half", config, dtype=torch.bfloat16))
    assert json.loads((tmp_path / "half" / "config.json").read_text())["dtype"] == "bfloat16"
    assert half(tokens).isfinite().all()


def test_a_random_llama_must_know_the_tokens(trios: dict[str, Trio], tmp_path: Path) -> None:
    with pytest.raises(LlamaError, match="at least 1024 token ids, not 97"):
        random_llama(tmp_path, trios["llama3"].llama.config)
