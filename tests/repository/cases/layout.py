"""Folders and files: versions, names, model files, labels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tests.repository.cases.kit import (
    PYTHON_CONFIG,
    PYTHON_MODEL,
    Case,
    Loaded,
    Outcome,
    onnx_bytes,
    write_model,
)

ONNX_CONFIG = """\
platform: "onnxruntime_onnx"
max_batch_size: 8
input [ { name: "x" data_type: TYPE_FP32 dims: [ 4 ] } ]
output [ { name: "y" data_type: TYPE_FP32 dims: [ 4 ] } ]
instance_group [ { kind: KIND_CPU count: 1 } ]
"""
PY, ONNX = {"1/model.py": PYTHON_MODEL}, {"1/model.onnx": onnx_bytes()}


def folder(
    name: str,
    config: str | bytes | None,
    files: Mapping[str, str | bytes | None],
    rule: str | None,
    *explain: str,
    server: Outcome = "refuse",
    **more: Any,
) -> Case:
    """A case of one model folder with these files."""

    def build(repository: Path) -> None:
        write_model(repository, name, config, files)

    return Case(name, build, server, rule, explain, **more)


def says(path: str, check: Callable[[Any], bool]) -> Callable[[Loaded], None]:
    """A look at the loaded model: what the HTTP API answers at `path` satisfies `check`."""

    def shown(loaded: Loaded) -> None:
        answer = loaded.get(path)
        assert check(answer), answer

    return shown


def one_version(answer: dict) -> bool:
    """Only version 1 is served."""
    return [m["version"] for m in answer["model_stats"]] == ["1"]


def without_config(answer: dict) -> bool:
    """The served config is not the one that was written (it has no batching)."""
    return answer["max_batch_size"] == 0


POLICY = "version_policy {{ {} }}\n"
LABEL = PYTHON_CONFIG.replace('name: "y"', 'name: "y" label_filename: "labels.txt"')
CASES = [
    folder("layout_no_version", PYTHON_CONFIG, {}, "no-version", "version"),
    folder("layout_file_beside_config", PYTHON_CONFIG, {"model.py": PYTHON_MODEL}, "no-version", "version"),
    folder("layout_leading_zero", ONNX_CONFIG, {"01/model.onnx": onnx_bytes()}, "no-version", "01"),
    folder("layout_letter_v", ONNX_CONFIG, {"v1/model.onnx": onnx_bytes()}, "no-version", "v1"),
    folder("layout_version_is_file", PYTHON_CONFIG, {"1": "model"}, "no-version", "version"),
    folder(
        "layout_second_version_ignored",
        ONNX_CONFIG,
        ONNX | {"02/model.onnx": onnx_bytes()},
        "version-ignored",
        server="silent",
        shown=says("stats", one_version),
    ),
    folder("layout_version_1a", ONNX_CONFIG, {"1a/model.onnx": onnx_bytes()}, "version-misread", "1"),
    folder(
        "layout_version_too_large",
        ONNX_CONFIG,
        {"9" * 20 + "/model.onnx": onnx_bytes()},
        "version-crash",
        server="crash",
    ),
    folder("layout_name_differs", 'name: "other"\n' + PYTHON_CONFIG, PY, "name-differs", "other"),
    folder(
        "layout_policy_names_absent",
        ONNX_CONFIG + POLICY.format("specific { versions: [ 1, 7 ] }"),
        ONNX,
        "policy-absent",
        server="silent",
        shown=says("stats", one_version),
    ),
    folder(
        "layout_policy_names_none",
        PYTHON_CONFIG + POLICY.format("specific { versions: [ 7 ] }"),
        PY,
        "policy-empty",
        "version",
    ),
    folder(
        "layout_policy_latest_0",
        PYTHON_CONFIG + POLICY.format("latest { num_versions: 0 }"),
        PY,
        "policy-empty",
        "version",
    ),
    folder(
        "layout_policy_all",
        ONNX_CONFIG + POLICY.format("all { }"),
        ONNX | {"3/model.onnx": onnx_bytes()},
        None,
        server="accept",
    ),
    folder("layout_python_file_missing", PYTHON_CONFIG, {"1": None}, "model-file-missing", server="hang"),
    folder("layout_onnx_file_missing", ONNX_CONFIG, {"1": None}, "model-file-missing", "model.onnx"),
    folder(
        "layout_onnx_other_name",
        ONNX_CONFIG,
        {"1/net.onnx": onnx_bytes()},
        "model-file-missing",
        "model.onnx",
    ),
    folder(
        "layout_onnx_capital", ONNX_CONFIG, {"1/Model.onnx": onnx_bytes()}, "model-file-missing", "model.onnx"
    ),
    folder(
        "layout_default_file_missing",
        ONNX_CONFIG + 'default_model_filename: "net.onnx"\n',
        ONNX,
        "model-file-missing",
        "net.onnx",
    ),
    folder(
        "layout_default_file",
        ONNX_CONFIG + 'default_model_filename: "net.onnx"\n',
        {"1/net.onnx": onnx_bytes()},
        None,
        server="accept",
    ),
    folder(
        "layout_newest_version_empty", ONNX_CONFIG, ONNX | {"2": None}, "model-file-missing", "model.onnx"
    ),
    folder("layout_file_empty", ONNX_CONFIG, {"1/model.onnx": b""}, "model-file-empty", "empty"),
    folder(
        "layout_file_is_lfs_pointer",
        ONNX_CONFIG,
        {"1/model.onnx": "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"},
        "model-file-empty",
        "LFS",
    ),
    folder(
        "layout_file_is_web_page",
        ONNX_CONFIG,
        {"1/model.onnx": "<!DOCTYPE html><html></html>"},
        "model-file-empty",
        "web page",
    ),
    folder("layout_label_missing", LABEL, PY, "label-file-missing", "labels.txt"),
    folder(
        "layout_label_in_version", LABEL, PY | {"1/labels.txt": "a\n"}, "label-file-missing", "labels.txt"
    ),
    folder("layout_label", LABEL, PY | {"labels.txt": "a\nb\n"}, None, server="accept"),
    folder(
        "layout_config_in_version",
        None,
        PY | {"1/config.pbtxt": PYTHON_CONFIG},
        "config-not-read",
        server="silent",
        auto=True,
        shown=says("config", without_config),
    ),
    folder(
        "layout_config_capital",
        None,
        PY | {"Config.pbtxt": PYTHON_CONFIG},
        "config-not-read",
        server="silent",
        auto=True,
        shown=says("config", without_config),
    ),
    folder(
        "layout_config_txt",
        None,
        PY | {"config.pbtxt.txt": PYTHON_CONFIG},
        "config-not-read",
        server="silent",
        auto=True,
        shown=says("config", without_config),
    ),
    folder(
        "layout_config_under_configs",
        None,
        PY | {"configs/big.pbtxt": PYTHON_CONFIG},
        "config-not-read",
        server="silent",
        auto=True,
        shown=says("config", without_config),
    ),
    folder("layout_config_is_folder", None, PY | {"config.pbtxt": None}, "config-unreadable", server="crash"),
    folder(
        "layout_config_is_lfs_pointer",
        "version https://git-lfs.github.com/spec/v1\n",
        PY,
        "not-a-config",
        "version",
    ),
    folder("layout_no_config_strict", None, ONNX, "no-backend", "config.pbtxt"),
    folder("layout_no_config", None, ONNX, None, server="accept", auto=True),
    folder(
        "layout_no_config_nothing_known",
        None,
        {"1/net.onnx": onnx_bytes()},
        "no-backend",
        "backend",
        auto=True,
    ),
    folder(
        ".ipynb_checkpoints",
        None,
        {"config-checkpoint.pbtxt": PYTHON_CONFIG},
        "phantom-model",
        "version",
        auto=True,
    ),
    folder(
        "layout_other_folders",
        ONNX_CONFIG,
        ONNX | {"docs/notes.txt": "words", "README.md": "words"},
        None,
        server="accept",
    ),
]
