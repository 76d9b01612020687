"""Where a Llama comes from: the small one, a folder, the hub; every refusal says the cause and what next."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="PyTorch is not installed: make test EXTRAS=torch")
pytest.importorskip("transformers", reason="transformers is not installed: make test EXTRAS=torch")

from huggingface_hub import constants

from lab_utils.llama import LlamaError, find_llama, load_llama
from tests.llama.hub import COMMIT, Hub, run_hub
from tests.llama.shapes import Trio

MODEL = "some-owner/some-llama"


@pytest.fixture
def hub(tmp_path: Path, trios: dict[str, Trio], monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub with one model, an empty download cache, and no token of the user's."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "LLAMA_MODEL"):
        monkeypatch.delenv(name, raising=False)
    with run_hub() as hub:
        folder = Path(shutil.copytree(trios["llama2"].folder, tmp_path / "remote"))
        (folder / "tokenizer.json").write_text("{}")
        (folder / "pytorch_model.bin").write_bytes(b"pickle")
        (folder / "modeling.py").write_text("raise SystemExit")
        (folder / "original").mkdir()
        (folder / "original" / "consolidated.00.pth").write_bytes(b"pickle")
        hub.models[MODEL] = folder
        monkeypatch.setattr(constants, "ENDPOINT", hub.url)
        template = hub.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        yield hub


def test_small_by_name_by_default_and_by_environment(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LLAMA_MODEL", raising=False)
    assert find_llama() == find_llama("small") == find_llama("") == small
    monkeypatch.setenv("LLAMA_MODEL", "small")
    assert find_llama() == small


def test_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my" / "llama").mkdir(parents=True)
    assert find_llama(str(tmp_path / "my" / "llama")) == tmp_path / "my" / "llama"
    monkeypatch.setenv("LLAMA_MODEL", str(tmp_path))
    assert find_llama() == tmp_path
    assert find_llama(str(tmp_path / "my")) == tmp_path / "my", "an argument counts more than the environment"
    monkeypatch.setenv("HOME", str(tmp_path))
    assert find_llama("~/my/llama") == tmp_path / "my" / "llama"
    # A relative folder looks like a hub id; the folder counts.
    monkeypatch.chdir(tmp_path)
    assert find_llama("my/llama") == tmp_path / "my" / "llama"


@pytest.mark.parametrize("name", ["/no/such/folder", "./no", "no-such-name", "a/b/c", "../x/y", "a b/c"])
def test_neither_folder_nor_hub_id(hub: Hub, name: str) -> None:
    with pytest.raises(LlamaError, match="There is no folder") as caught:
        find_llama(name)
    assert "small" in caught.value.fix
    assert hub.asked == []


def test_a_file(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(LlamaError, match="is a file, not the folder"):
        find_llama(str(tmp_path / "model.safetensors"))


def test_download_only_what_is_needed_and_only_once(hub: Hub) -> None:
    folder = find_llama(MODEL)
    assert folder.name == COMMIT
    assert load_llama(folder).config.vocab_size == 97
    wanted = {"config.json", "generation_config.json", "model.safetensors", "tokenizer.json"}
    assert hub.files_asked == wanted
    assert {path.name for path in folder.iterdir()} == wanted
    hub.asked.clear()
    assert find_llama(MODEL) == folder
    assert hub.asked == [], "what is here is not asked for again"


def test_an_incomplete_download_is_completed(hub: Hub) -> None:
    folder = find_llama(MODEL)
    (folder / "model.safetensors").unlink()
    assert find_llama(MODEL) == folder
    assert (folder / "model.safetensors").is_file()


@pytest.mark.parametrize("token", [None, "hf_of_somebody_who_was_not_let_in"])
def test_gated(
    hub: Hub, token: str | None, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    hub.gated.add(MODEL)
    if token:
        monkeypatch.setenv("HF_TOKEN", token)
    with pytest.raises(LlamaError) as caught:
        find_llama(MODEL)
    assert "accepted the licence" in caught.value.what
    assert f"https://huggingface.co/{MODEL}" in caught.value.fix
    assert "hf auth login" in caught.value.fix
    assert "LLAMA_MODEL=small" in caught.value.fix
    if token:
        printed = capfd.readouterr()
        assert token not in str(caught.value) + printed.out + printed.err


def test_the_users_token_opens_the_gate_and_is_not_kept(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    hub.gated.add(MODEL)
    monkeypatch.setenv("HF_TOKEN", hub.token)
    assert (find_llama(MODEL) / "config.json").is_file()
    assert f"Bearer {hub.token}" in hub.tokens
    printed = capfd.readouterr()
    assert hub.token not in printed.out + printed.err
    kept = [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    assert kept
    assert not any(hub.token.encode() in path.read_bytes() for path in kept)


def test_no_such_model(hub: Hub) -> None:
    with pytest.raises(LlamaError, match="no model some-owner/other on the hub that you may see") as caught:
        find_llama("some-owner/other")
    assert "misspelt" in caught.value.why


def test_nobody_at_the_other_end(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(LlamaError, match="the Hugging Face hub cannot be reached") as caught:
        find_llama(MODEL)
    assert "no way to the hub" in caught.value.why
    assert "LLAMA_MODEL=/path/to/it" in caught.value.fix


def test_offline_by_wish(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(LlamaError) as caught:
        find_llama(MODEL)
    assert caught.value.why == "HF_HUB_OFFLINE is set."
    assert caught.value.fix.startswith("Unset HF_HUB_OFFLINE")
    assert hub.asked == []


def test_what_was_downloaded_is_found_offline(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = find_llama(MODEL)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert find_llama(MODEL) == folder


def test_a_hub_that_is_down(hub: Hub) -> None:
    hub.broken = True
    with pytest.raises(LlamaError) as caught:
        find_llama(MODEL)
    assert MODEL in caught.value.what
    assert caught.value.fix


def test_a_model_without_safetensors(hub: Hub) -> None:
    (hub.models[MODEL] / "model.safetensors").unlink()
    with pytest.raises(LlamaError, match="has no safetensors on the hub") as caught:
        find_llama(MODEL)
    assert "pickles" in caught.value.why
    assert "pytorch_model.bin" not in hub.files_asked
