"""The small Llama, what transformers says it answers, and ways to look into the engine.

PyTorch is imported in the fixtures: without it each test module is skipped with the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lab_utils import server as triton
from lab_utils.progress.repository import copy_models
from lab_utils.server.base import Server
from tests.llama.training import trained

if TYPE_CHECKING:
    from lab_utils.llama.engine import Engine


@pytest.fixture(scope="session")
def folder() -> Path:
    import torch

    torch.set_num_threads(1)
    return trained()


@pytest.fixture(scope="session")
def questions() -> list[str]:
    from lab_utils.llama import facts

    return [question for question, _ in facts()]


@pytest.fixture(scope="package")
def reference(folder: Path) -> Callable[[str], list[int]]:
    """Greedy tokens of a prompt by `transformers`, 40 of them whatever ends an answer."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(folder, local_files_only=True).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    model.generation_config.eos_token_id = None
    known: dict[str, list[int]] = {}

    def greedy(prompt: str) -> list[int]:
        if prompt not in known:
            ids = tokenizer(prompt, return_tensors="pt")
            with torch.inference_mode():
                out = model.generate(**ids, max_new_tokens=40, do_sample=False, pad_token_id=0)
            known[prompt] = out[0, ids.input_ids.shape[1] :].tolist()
        return known[prompt]

    return greedy


@pytest.fixture(scope="package")
def engine(folder: Path) -> Iterator[Engine]:
    """One engine for the tests that leave it whole."""
    from lab_utils.llama.engine import Engine

    engine = Engine(folder, slots=8, max_length=256, max_queue=300, prefill_tokens=64)
    yield engine
    engine.close()


@pytest.fixture
def make(folder: Path) -> Iterator[Callable[..., Engine]]:
    """Engines of a test's own."""
    from lab_utils.llama.engine import Engine

    made: list[Engine] = []

    def start(**settings: object) -> Engine:
        defaults = {"slots": 4, "max_length": 128, "max_queue": 8, "prefill_tokens": 64}
        made.append(Engine(folder, **{**defaults, **settings}))  # type: ignore[arg-type]
        return made[-1]

    yield start
    for one in made:
        one.close()


@pytest.fixture(scope="package")
def server(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The model as a lab copies it; auto-complete off, so that its config must be complete."""
    repository = tmp_path_factory.mktemp("engine") / "models"
    copy_models(["llama"], repository)
    server = triton.start(
        repository,
        name="llama-engine",
        lifetime="kernel",
        options=["--model-control-mode=explicit", "--load-model=*", "--disable-auto-complete-config"],
        wait_for=["llama"],
        timeout=120,
    )
    yield server
    server.stop()
