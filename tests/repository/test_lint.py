"""The lint as a function and as a command: findings, places, JSON, facts about the server."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lab_utils import paths
from lab_utils.cli.main import app
from lab_utils.repository import RepositoryError
from lab_utils.repository.lint import RULES, LintFinding, ServerFacts, lint_repository, render_findings
from lab_utils.repository.lint.document import document
from tests.repository.cases.kit import PYTHON_CONFIG, PYTHON_MODEL, onnx_model, python_model, write_model
from tests.repository.test_cases import CASES

# A case would end the shared server (a failed warm-up is a race in this release), depends on the machine, or
# cannot be asked for over HTTP; these are tested below or in test_lint_silence.py.
WITHOUT_CASE = {"warmup-batch", "too-many-instances", "name-odd", "name-shell", "torch-strings"}
TWO_FAULTS = """\
backend: "python"
max_batchsize: 8
input [ { name: "x" data_type: FP32 dims: [ 4 ] } ]
output [ { name: "y" data_type: TYPE_FP32 dims: [ 4 ] } ]
instance_group [
  { kind: KIND_GPU }
]
"""


def rules(findings: list[LintFinding]) -> list[str]:
    return [finding.rule for finding in findings]


def test_every_rule_has_a_case_that_the_server_judged() -> None:
    assert set(RULES) - {case.rule for case in CASES} - WITHOUT_CASE == set()


def test_there_are_enough_broken_repositories() -> None:
    assert len({case.name for case in CASES if case.server != "accept"}) >= 80


def test_the_page_of_rules_is_the_table() -> None:
    page = paths.project_root() / "docs" / "lint-rules.md"
    assert page.read_text(encoding="utf-8") == document(), "run: python -m lab_utils.repository.lint"


def test_all_faults_of_a_text_are_told_at_once_with_their_lines(tmp_path: Path) -> None:
    python_model(tmp_path, "m", TWO_FAULTS)
    found = lint_repository(tmp_path)
    assert [(f.rule, f.line) for f in found] == [
        ("config-unknown-field", 2),
        ("config-unknown-value", 3),
        ("gpu-missing", 6),
    ]
    assert "max_batch_size" in found[0].fix
    assert "TYPE_FP32" in found[1].fix


def test_a_fault_does_not_bring_others_that_only_follow_from_it(tmp_path: Path) -> None:
    """Without `max_batch_size` the preferred sizes would be too large, and the input would have no type."""
    text = PYTHON_CONFIG.replace("max_batch_size: 8", "max_batchsize: 8").replace("data_type", "datatype", 1)
    python_model(tmp_path, "m", text + "dynamic_batching { preferred_batch_size: 4 }\n")
    assert rules(lint_repository(tmp_path)) == ["config-unknown-field", "config-unknown-field"]


def test_a_template_is_told_from_a_config(tmp_path: Path) -> None:
    text = PYTHON_CONFIG.replace("max_batch_size: 8", "max_batch_size: ${max_batch_size}")
    python_model(tmp_path, "m", text.replace("count: 1", "count: ${count}"))
    found = lint_repository(tmp_path)
    assert [(f.rule, f.line) for f in found] == [("config-wrong-type", 2), ("config-wrong-type", 5)]
    assert all("template" in f.fix for f in found)


def test_a_model_folder_alone_gives_the_same_as_its_repository(tmp_path: Path) -> None:
    python_model(tmp_path, "m", PYTHON_CONFIG.replace("dims: [ 4 ]", "dims: [ 0 ]", 1))
    (one,) = lint_repository(tmp_path / "m")
    (other,) = lint_repository(tmp_path)
    assert (one.model, one.rule, one.file, one.line) == ("m", "bad-dim", "config.pbtxt", 3)
    assert other.file == "m/config.pbtxt"


@pytest.mark.parametrize("version", ["1", "v1", "01"])
def test_a_model_without_config_is_known_as_one(tmp_path: Path, version: str) -> None:
    folder = onnx_model(tmp_path, "m", None, version=version)
    found = lint_repository(folder)
    assert rules(found) == ([] if version == "1" else ["no-version", "no-backend"][: len(found)])
    assert {f.model for f in found} <= {"m"}


def test_an_empty_repository_has_no_findings(tmp_path: Path) -> None:
    assert lint_repository(tmp_path) == []
    assert "Nothing to say" in render_findings([])


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RepositoryError, match="There is no folder"):
        lint_repository(tmp_path / "nowhere")


def test_one_model_of_a_repository_may_be_wholly_broken(tmp_path: Path) -> None:
    """Bytes that are no text, folders in place of files: lint says so and goes on to the next model."""
    write_model(tmp_path, "binary", bytes(range(256)), {"1/model.py": PYTHON_MODEL})
    write_model(tmp_path, "folders", PYTHON_CONFIG, {"1/model.py": None})
    write_model(tmp_path, "cut", PYTHON_CONFIG[:70], {"1/model.py": PYTHON_MODEL})
    found = {f.model: f.rule for f in lint_repository(tmp_path)}
    assert set(found) == {"binary", "folders", "cut"}
    assert found["folders"] == "model-file-missing"


def test_the_server_decides(tmp_path: Path) -> None:
    """GPU, cache, limiter, backends and instances are judged by what the server has."""
    text = PYTHON_CONFIG.replace("KIND_CPU count: 1", "KIND_GPU gpus: [ 1 ]").replace(
        '"python"', '"tensorrt"'
    )
    write_model(tmp_path, "gpu", text + "response_cache { enable: true }\n", {"1/model.plan": b"x"})
    assert rules(lint_repository(tmp_path)) == ["unknown-backend", "gpu-missing", "cache-off"]
    container = ServerFacts(gpus=2, backends=frozenset({"tensorrt"}), local=False)
    cached = container.with_options(["--cache-config=local,size=1000"])
    assert rules(lint_repository(tmp_path, facts=container)) == ["cache-off"]
    assert lint_repository(tmp_path, facts=cached) == []


def test_instances_are_weighed_against_cores_and_memory(tmp_path: Path) -> None:
    python_model(tmp_path, "many", PYTHON_CONFIG.replace("count: 1", "count: 40"))
    small = ServerFacts(cores=2, memory=64_000_000_000)
    assert rules(lint_repository(tmp_path, facts=small)) == ["too-many-instances"]
    assert lint_repository(tmp_path, facts=ServerFacts(cores=64, memory=64_000_000_000)) == []
    (found,) = lint_repository(tmp_path, facts=ServerFacts(cores=64, memory=1_000_000_000))
    assert "GB" in found.message


def test_a_warmup_batch_above_the_limit_is_an_error(tmp_path: Path) -> None:
    sample = 'key: "x" value { data_type: TYPE_FP32 dims: [ 4 ] zero_data: true }'
    text = PYTHON_CONFIG + f'model_warmup {{ name: "w" batch_size: 9 inputs {{ {sample} }} }}\n'
    python_model(tmp_path, "m", text)
    assert rules(lint_repository(tmp_path)) == ["warmup-batch"]


def test_nothing_of_a_model_is_executed(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    code = f"import pathlib\npathlib.Path({str(mark)!r}).write_text('run')\n{PYTHON_MODEL}"
    write_model(tmp_path / "models", "m", PYTHON_CONFIG, {"1/model.py": code})
    assert lint_repository(tmp_path / "models") == []
    assert not mark.exists()


def test_command_prints_json_and_tells_by_its_exit_code(tmp_path: Path) -> None:
    python_model(tmp_path, "bad", PYTHON_CONFIG.replace("max_batch_size: 8", "max_batch_size: -1"))
    python_model(tmp_path, "odd", PYTHON_CONFIG + "response_cache { enable: true }\n")
    answer = CliRunner().invoke(app, ["lint", str(tmp_path), "--json"])
    found = json.loads(answer.stdout)
    assert answer.exit_code == 1
    assert [list(f) for f in found] == [["model", "severity", "rule", "file", "line", "message", "fix"]] * 2
    assert (found[0]["model"], found[0]["severity"], found[0]["line"]) == ("bad", "error", 2)
    assert (found[1]["model"], found[1]["severity"], found[1]["rule"]) == ("odd", "warning", "cache-off")
    only_warnings = CliRunner().invoke(app, ["lint", str(tmp_path / "odd")])
    assert only_warnings.exit_code == 0
    assert "warning: The server has no cache" in only_warnings.stdout
    assert "config.pbtxt:6" in only_warnings.stdout
    nowhere = CliRunner().invoke(app, ["lint", str(tmp_path / "nowhere")])
    assert nowhere.exit_code == 1
    assert "There is no folder" in nowhere.output
