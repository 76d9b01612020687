"""The Llamas in docs/worked-examples.md: the lines run, and the table is what the server says."""

from __future__ import annotations

import re
from typing import Any

import pytest

pytest.importorskip("torch", reason="PyTorch is not installed: make test EXTRAS=torch")
pytest.importorskip("transformers", reason="transformers is not installed: make test EXTRAS=torch")

import httpx

from lab_utils.llama import facts
from lab_utils.paths import project_root
from lab_utils.repository.config import read_config
from lab_utils.server.base import Server
from tests.llama_designs.conftest import DESIGNS

PAGE = (project_root() / "docs" / "worked-examples.md").read_text()
REPOSITORY = project_root() / "model_repository"


@pytest.mark.live
@pytest.mark.timeout(400)
def test_the_lines_run(server: Server) -> None:
    (block,) = re.findall(r"```py\n(.*?)```", PAGE, re.DOTALL)
    names: dict[str, Any] = {"grpc": server.endpoints.grpc}
    exec(compile(block, "worked-examples.md", "exec"), names)
    names["client"].close()
    assert names["answer"] == names["streamed"] == " " + dict(facts())["What is dynamic batching?"]
    assert len(names["pieces"]) > 10


@pytest.mark.live
@pytest.mark.timeout(400)
def test_the_text_and_the_table_name_the_tensors(server: Server) -> None:
    for model in (*DESIGNS, "llama_logits"):
        (row,) = re.findall(rf"^\| `{model}` \|.*$", PAGE, re.MULTILINE)
        config = httpx.get(f"{server.endpoints.http_url}/v2/models/{model}/config").json()
        assert f"| {config['max_batch_size']}" in row
        for tensor in config["input"] + config["output"]:
            kind, dims = tensor["data_type"].removeprefix("TYPE_"), ", ".join(map(str, tensor["dims"]))
            assert f"`{tensor['name']}` {kind} [{dims}]" in (row if model == "llama_logits" else PAGE)


def test_every_design_has_the_same_tensors() -> None:
    first, *others = (read_config(REPOSITORY / model / "config.pbtxt") for model in (*DESIGNS, "llama"))
    for other in others:
        assert list(other.output) == list(first.output), other.name
        theirs = {entry.name: entry for entry in other.input}
        assert all(theirs[entry.name] == entry for entry in first.input), other.name
