"""Small models of known behaviour for these tests: one file, told by parameters what to do."""

from __future__ import annotations

from pathlib import Path

CODE = """
import json
import time

import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def initialize(self, args):
        config = json.loads(args["model_config"])
        self.set = {k: float(v["string_value"]) for k, v in config.get("parameters", {}).items()}
        self.outputs = [o["name"] for o in config["output"]]
        self.inputs = [i["name"] for i in config["input"]]
        self.count = 0

    def answer(self, request):
        self.count += 1
        if self.set.get("fail_every") and self.count % self.set["fail_every"] == 0:
            return pb_utils.InferenceResponse(error=pb_utils.TritonError("this model fails now and then"))
        drift = 1.0 if self.set.get("lie_after") and self.count > self.set["lie_after"] else 0.0
        tensors = []
        for name, out in zip(self.inputs, self.outputs):
            value = pb_utils.get_input_tensor_by_name(request, name).as_numpy()
            tensors.append(pb_utils.Tensor(out, value + np.float32(drift) if drift else value))
        return pb_utils.InferenceResponse(tensors)

    def execute(self, requests):
        if self.set.get("responses"):
            for request in requests:
                sender = request.get_response_sender()
                time.sleep(self.set["first_ms"] / 1000)
                for number in range(int(self.set["responses"])):
                    if number:
                        time.sleep(self.set["between_ms"] / 1000)
                    sender.send(self.answer(request))
                sender.send(flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
            return None
        time.sleep(self.set.get("execution_ms", 0) / 1000)
        return [self.answer(request) for request in requests]
"""
TYPES = ["BOOL", "FP16", "FP32", "FP64", "STRING"] + [
    f"{s}INT{n}" for s in ("U", "") for n in (8, 16, 32, 64)
]


def add(
    repository: Path, name: str, extra: str = "", *, count: int = 1, batch: int = 8, **settings: float
) -> None:
    """A python model that hands its input `x` FP32 [4] back as `y`; `settings` are its parameters."""
    tensors = 'input [ { name: "x" data_type: TYPE_FP32 dims: [ 4 ] } ]\n'
    tensors += 'output [ { name: "y" data_type: TYPE_FP32 dims: [ 4 ] } ]\n'
    write(repository, name, tensors + extra, count=count, batch=batch, **settings)


def write(
    repository: Path, name: str, rest: str, *, count: int = 1, batch: int = 8, **settings: float
) -> None:
    """A model folder with the code above."""
    folder = repository / name / "1"
    folder.mkdir(parents=True)
    (folder / "model.py").write_text(CODE)
    lines = [f'name: "{name}"', 'backend: "python"', f"max_batch_size: {batch}"]
    lines.append(f"instance_group [ {{ kind: KIND_CPU count: {count} }} ]")
    for key, value in settings.items():
        lines.append(f'parameters {{ key: "{key}" value {{ string_value: "{value}" }} }}')
    (repository / name / "config.pbtxt").write_text("\n".join([*lines, rest]))


def add_typed(repository: Path, name: str) -> None:
    """One input and output of every data type, with a variable dimension, without batching."""
    entries = [f'{{ name: "%s_{t}" data_type: TYPE_{t} dims: [ -1, 3 ] }}' for t in TYPES]
    inputs = ", ".join(e % "in" for e in entries)
    outputs = ", ".join(e % "out" for e in entries)
    write(repository, name, f"input [ {inputs} ]\noutput [ {outputs} ]", batch=0)


def build(repository: Path) -> None:
    """All models of these tests."""
    add(repository, "sleepy", execution_ms=20)
    add(repository, "steady", execution_ms=8, count=2)
    add(repository, "batching", "dynamic_batching { max_queue_delay_microseconds: 2000 }", execution_ms=5)
    add(repository, "cached", "response_cache { enable: true }")
    # Two instances: with one, a queue policy makes this release of Triton stall.
    policy = "dynamic_batching { default_queue_policy { %s } }"
    add(repository, "narrow", policy % "max_queue_size: 2", count=2, batch=1, execution_ms=30)
    hasty = policy % "default_timeout_microseconds: 20000 timeout_action: REJECT"
    add(repository, "hasty", hasty, count=2, batch=1, execution_ms=30)
    add(repository, "failing", fail_every=4)
    add(repository, "lying", lie_after=40)
    decoupled = "model_transaction_policy { decoupled: true }"
    add(repository, "chatty", decoupled, responses=5, first_ms=30, between_ms=10)
    add_typed(repository, "typed")
