"""The commands `tree` and `config`."""

from __future__ import annotations

import json
from pathlib import Path

from typer.testing import CliRunner

from lab_utils.cli import app
from tests.repository.cases.kit import python_model


def test_tree_and_diff_of_two_configs(tmp_path: Path) -> None:
    runner = CliRunner()
    first, second = python_model(tmp_path, "first"), python_model(tmp_path, "second")
    file = second / "config.pbtxt"
    file.write_text(file.read_text().replace("max_batch_size: 8", "max_batch_size: 4"))
    drawn = runner.invoke(app, ["tree", str(tmp_path)])
    assert drawn.exit_code == 0, drawn.output
    assert "first/  # python, batches up to 8" in drawn.output
    whole = runner.invoke(app, ["config", str(second)])
    assert "max_batch_size: 4" in whole.output
    answer = runner.invoke(app, ["config", str(second), "--diff", str(first), "--json"])
    assert json.loads(answer.output) == [{"field": "max_batch_size", "before": "8", "after": "4"}]


def test_a_broken_config_is_a_message_and_exit_code_1(tmp_path: Path) -> None:
    answer = CliRunner().invoke(app, ["config", str(python_model(tmp_path, "m", "max_batchsize: 8\n"))])
    assert answer.exit_code == 1
    assert "line 1, column 1" in answer.output
    assert "Traceback" not in answer.output
