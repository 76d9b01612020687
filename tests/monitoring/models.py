"""The models of these tests: `timed` from the course in several settings, and one that fails on demand."""

from __future__ import annotations

import shutil
from pathlib import Path

from lab_utils.paths import project_root

FUSSY = """
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        rows = [pb_utils.get_input_tensor_by_name(r, "data").as_numpy() for r in requests]
        if any(row.min() < -1 for row in rows):
            raise ValueError("this input ends the execution")
        return [self.answer(row) for row in rows]

    def answer(self, row):
        if row.min() < 0:
            return pb_utils.InferenceResponse(error=pb_utils.TritonError("this input gets an error response"))
        return pb_utils.InferenceResponse([pb_utils.Tensor("echo", row)])
"""
"""-2 in the input: execute() raises. -1: it returns an error response. Else: the input comes back."""


def timed(
    repository: Path, name: str, execution_ms: float, extra: str = "", *, batch: int = 8, count: int = 1
) -> None:
    """The course's model `timed`: one execution takes `execution_ms`, whatever its rows."""
    source = project_root() / "model_repository" / "timed"
    folder = repository / name
    shutil.copytree(source, folder, ignore=shutil.ignore_patterns("__pycache__"))
    config = (source / "config.pbtxt").read_text()
    changes = {
        'name: "timed"': f'name: "{name}"',
        "max_batch_size: 8": f"max_batch_size: {batch}",
        "count: 1": f"count: {count}",
        'string_value: "1"': 'string_value: "0"',
        'string_value: "10"': f'string_value: "{execution_ms}"',
    }
    for old, new in changes.items():
        assert config.count(old) == 1, old
        config = config.replace(old, new)
    (folder / "config.pbtxt").write_text(f"{config}\n{extra}\n")


def build(repository: Path) -> None:
    """All models of these tests."""
    timed(repository, "quick", 2)
    timed(repository, "slow", 50)
    wait = "dynamic_batching { preferred_batch_size: [ 4 ] max_queue_delay_microseconds: 2000000 }"
    timed(repository, "fours", 20, wait, batch=4)
    timed(repository, "cached", 1, "response_cache { enable: true }")
    # Two instances: with one, a queue policy makes this release of Triton stall.
    limits = "max_queue_size: 2 default_timeout_microseconds: 30000 timeout_action: REJECT"
    policy = f"dynamic_batching {{ default_queue_policy {{ {limits} }} }}"
    timed(repository, "strict", 200, policy, batch=1, count=2)
    timed(repository, "fussy", 0)
    (repository / "fussy" / "1" / "model.py").write_text(FUSSY)
