"""docs/worked-examples.md: its lines are run as they stand, and its table says what the server says."""

from __future__ import annotations

import json
import os
import re
import subprocess
from typing import Any

import httpx
import numpy as np
import pytest

from lab_utils.paths import project_root
from lab_utils.server.base import Server
from tests.models.worked import MODELS

pytestmark = pytest.mark.live
PAGE = (project_root() / "docs" / "worked-examples.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def test_the_python_lines_run_one_after_the_other(server: Server) -> None:
    names: dict[str, Any] = {"grpc": server.endpoints.grpc}
    for block in blocks("python"):
        exec(compile(block, "worked-examples.md", "exec"), names)
    names["client"].close()
    assert names["tensor"].shape == (4, 1, 28, 28)
    assert names["scores"].shape == (4, 10)
    assert names["scores"].tobytes() == names["same"].tobytes() == names["direct"].tobytes()
    assert names["scores"].argmax(axis=1).tolist() == names["digits"].test_labels[:4].tolist()
    np.testing.assert_allclose(names["vote"], names["scores"].sum(axis=0, keepdims=True), rtol=1e-5)
    assert names["frames"].tolist() == [[4]]


def test_the_curl_line_runs(server: Server) -> None:
    (line,) = blocks("bash")
    environment = {**os.environ, "http": server.endpoints.http, "no_proxy": "127.0.0.1"}
    done = subprocess.run(
        ["bash", "-c", line], env=environment, capture_output=True, text=True, timeout=30, check=True
    )
    assert json.loads(done.stdout)["outputs"][0]["data"] == [1, 2, 3, 4]


def test_the_table_names_every_model_with_its_tensors(server: Server) -> None:
    for model in MODELS:
        (row,) = re.findall(rf"^\| `{model}` \|.*$", PAGE, re.MULTILINE)
        config = httpx.get(f"{server.endpoints.http_url}/v2/models/{model}/config").json()
        for tensor in config["input"] + config["output"]:
            kind, dims = tensor["data_type"].removeprefix("TYPE_"), ", ".join(map(str, tensor["dims"]))
            assert f"`{tensor['name']}` {kind} [{dims}]" in row
        assert f"| {config['max_batch_size']}" in row
