"""The folders of a repository: what we say about names is what the server does."""

from __future__ import annotations

import shutil
from pathlib import Path

import httpx
import pytest

from lab_utils import server as triton
from lab_utils.repository import Repository, RepositoryError, draw_tree, version_number
from lab_utils.repository.layout import ModelFolder
from tests.repository.cases.kit import PYTHON_CONFIG, PYTHON_MODEL, python_model, write_model

ALL = "version_policy { all { } }\n"
LATEST_TWO = "version_policy { latest { num_versions: 2 } }\n"
SPECIFIC = "version_policy { specific { versions: [ 1, 7 ] } }\n"


# An ensemble of one step needs no process and no file, and its versions obey the same rules.
ENSEMBLE = PYTHON_CONFIG.split("instance_group")[0].replace('backend: "python"', 'platform: "ensemble"') + (
    'ensemble_scheduling { step { model_name: "base" model_version: -1 '
    'input_map { key: "x" value: "x" } output_map { key: "y" value: "y" } } }\n'
)


def _versions(repository: Path, name: str, folders: list[str], policy: str = ALL) -> ModelFolder:
    return ModelFolder(write_model(repository, name, ENSEMBLE + policy, dict.fromkeys(folders)))


MODELS = {
    "plain": (["1", "2"], ALL),
    "date": (["20240101"], ALL),
    "zero": (["0", "1"], ALL),
    "leading_zero": (["01", "1"], ALL),
    "word": (["v1", "1"], ALL),
    "hidden": ([".2", "1"], ALL),
    "suffix_beside": (["1_old", "1"], ALL),
    "newest": (["1", "2", "10"], ""),
    "two_newest": (["1", "2", "10"], LATEST_TWO),
    "chosen": (["1", "2"], SPECIFIC),
    "only_leading_zero": (["01"], ALL),
    "only_word": (["v1"], ALL),
    "none": ([], ALL),
    "not_there": (["2"], SPECIFIC),
}


@pytest.mark.live
def test_served_versions_are_those_of_the_server(tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    models = {name: _versions(repository, name, *layout) for name, layout in MODELS.items()}
    models["base"] = ModelFolder(python_model(repository, "base"))
    (repository / "plain" / "3").symlink_to("1")
    (repository / "plain" / "4").write_text("a file is no version")
    (repository / "linked").symlink_to("plain")
    models["linked"] = ModelFolder(repository / "linked")
    options = ["--model-control-mode=explicit", "--disable-auto-complete-config", "--exit-timeout-secs=1"]
    server = triton.start(repository, name="layout", options=options)
    seen: dict[str, tuple[int, ...]] = {}
    try:
        with httpx.Client(base_url=server.endpoints.http_url, timeout=20) as client:
            for name in models:
                client.post(f"/v2/repository/models/{name}/load")
            for entry in client.post("/v2/repository/index").json():
                if entry.get("state") == "READY":
                    found = (*seen.get(entry["name"], ()), int(entry["version"]))
                    seen[entry["name"]] = tuple(sorted(found))
    finally:
        server.stop()
    ours = {name: model.served_versions for name, model in models.items()}
    assert ours == {name: seen.get(name, ()) for name in models}
    assert ours["plain"] == (1, 2, 3)
    assert ours["newest"] == (10,)
    assert ours["only_word"] == ()


@pytest.mark.parametrize(
    ("folder", "number", "word"),
    [
        ("1", 1, ""),
        ("0", 0, ""),
        ("9223372036854775807", 2**63 - 1, ""),
        ("007", None, "leading zeros"),
        ("99999999999999999999", None, "64 bits"),
        ("v1", None, "no number"),
        (".ipynb_checkpoints", None, "no number"),
        ("1.bak", 1, "`1/`"),
        ("+3", 3, "`3/`"),
        ("-1", -1, "`18446744073709551615/`"),
    ],
)
def test_version_number(folder: str, number: int | None, word: str) -> None:
    found, reason = version_number(folder)
    assert found == number
    assert word in reason
    assert bool(reason) == bool(word)


def test_odd_entries_of_a_model(tmp_path: Path) -> None:
    model = ModelFolder(python_model(tmp_path, "m"))
    assert model.odd == ()
    for name in ("v2", "2_new", ".ipynb_checkpoints"):
        (model.path / name).mkdir()
    for name in ("3", "config.pbtxt.txt", "model.onnx", "labels.txt"):
        (model.path / name).write_text("x")
    odd = {entry.path.name: entry for entry in ModelFolder(model.path).odd}
    assert sorted(odd) == [".ipynb_checkpoints", "2_new", "3", "config.pbtxt.txt", "model.onnx", "v2"]
    assert [name for name, entry in odd.items() if entry.harm] == ["2_new"]


def test_phantoms_and_files_beside_the_models(tmp_path: Path) -> None:
    python_model(tmp_path, "m")
    (tmp_path / ".ipynb_checkpoints").mkdir()
    (tmp_path / "README.md").write_text("x")
    repository = Repository(tmp_path)
    assert [m.name for m in repository.models] == [".ipynb_checkpoints", "m"]
    assert [m.name for m in repository.phantoms] == [".ipynb_checkpoints"]
    assert [entry.path.name for entry in repository.odd] == ["README.md"]
    assert repository.model("m").versions == (1,)
    with pytest.raises(RepositoryError, match="no model `x`"):
        repository.model("x")
    with pytest.raises(RepositoryError, match="not a folder"):
        Repository(tmp_path / "nowhere")


def test_model_files_by_backend(tmp_path: Path) -> None:
    for name, config, file in (
        ("onnx", 'platform: "onnxruntime_onnx"', "model.onnx"),
        ("torch", 'backend: "pytorch"', "model.pt"),
        ("own", 'backend: "python" default_model_filename: "run.py"', "run.py"),
        ("graph", 'platform: "tensorflow_graphdef"', "model.graphdef"),
        ("steps", 'platform: "ensemble"', None),
        ("unknown", 'backend: "mine"', None),
    ):
        model = ModelFolder(write_model(tmp_path, name, config, {"1": None}))
        expected = {1: model.path / "1" / file} if file else {}
        assert model.model_files == expected


def test_tree(tmp_path: Path) -> None:
    repository = tmp_path / "models"
    files = {f"{version}/model.py": PYTHON_MODEL for version in ("1", "2", "v3")}
    write_model(repository, "digits", PYTHON_CONFIG, files)
    write_model(repository, "broken", "foo: 1", {"1": None})
    (repository / "digits" / "2" / "model.py").unlink()
    (repository / "digits" / "2" / "weights.bin").write_bytes(bytes(3 * 1024 * 1024))
    (repository / "notes.txt").write_text("hello")
    assert draw_tree(repository) == "\n".join(
        [
            "models/",
            "├── broken/  # config.pbtxt cannot be read",
            "│   ├── config.pbtxt  6 B",
            "│   └── 1/  # served",
            "├── digits/  # python, batches up to 8",
            f"│   ├── config.pbtxt  {len(PYTHON_CONFIG)} B",
            "│   ├── 1/  # not served: the version policy leaves it out",
            f"│   │   └── model.py  {len(PYTHON_MODEL)} B",
            "│   ├── 2/  # served",
            "│   │   ├── weights.bin  3.0 MiB",
            "│   │   └── model.py  # missing",
            f"│   └── v3/  {len(PYTHON_MODEL)} B  # ignored: the name is no number; versions are 1, 2, 3 ...",
            "└── notes.txt  5 B  # ignored: a model is a folder",
        ]
    )
    shutil.rmtree(repository)
