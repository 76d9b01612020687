"""Models that "generate" tokens at known moments, for the tests of the figures of tokens."""

from __future__ import annotations

from pathlib import Path

CODE = '''
import json
import threading
import time

import numpy as np
import triton_python_backend_utils as pb_utils


def value(request, name, default):
    tensor = pb_utils.get_input_tensor_by_name(request, name)
    return default if tensor is None else tensor.as_numpy().reshape(-1)[0]


class TritonPythonModel:
    """Token i of a prompt is 100 x (its length) + i, from 1 on; the seventh ends an answer unless ignored."""

    def initialize(self, args):
        config = json.loads(args["model_config"])
        self.set = {k: float(v["string_value"]) for k, v in config.get("parameters", {}).items()}
        self.lead = (1,) if config["max_batch_size"] else ()
        self.count = 0

    def response(self, ids, last):
        shaped = np.array(ids, dtype=np.int32).reshape(self.lead + (len(ids),))
        texts = [" ".join(map(str, ids)), "length" if last else ""]
        outputs = [pb_utils.Tensor("token_ids", shaped)]
        for name, text in zip(("text_output", "finish_reason"), texts):
            array = np.array([text.encode()], dtype=np.object_).reshape(self.lead + (1,))
            outputs.append(pb_utils.Tensor(name, array))
        return pb_utils.InferenceResponse(outputs)

    def ids(self, request):
        self.count += 1
        size = len(value(request, "text_input", b""))
        count = int(value(request, "max_tokens", 16))
        if not value(request, "ignore_eos", False):
            count = min(count, 7)
        ids = [100 * size + i for i in range(1, count + 1)]
        if self.set.get("lie_every") and self.count % self.set["lie_every"] == 0:
            ids[-1] += 1
        return ids

    def speak(self, sender, ids):
        at_once = int(self.set.get("at_once", 1))
        time.sleep(self.set["first_ms"] / 1000)
        for start in range(0, len(ids), at_once):
            if start:
                time.sleep(self.set["between_ms"] / 1000)
            sender.send(self.response(ids[start : start + at_once], start + at_once >= len(ids)))
        if self.set.get("empty_last"):
            sender.send(self.response([], True))
        sender.send(flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)

    def execute(self, requests):
        if not self.set.get("stream"):
            time.sleep(self.set["first_ms"] / 1000)
            return [self.response(self.ids(request), True) for request in requests]
        for request in requests:
            arguments = (request.get_response_sender(), self.ids(request))
            threading.Thread(target=self.speak, args=arguments).start()
        return None
'''
_TENSORS = """
input [
  { name: "text_input" data_type: TYPE_STRING dims: [ 1 ] },
  { name: "max_tokens" data_type: TYPE_INT32 dims: [ 1 ] optional: true },
  { name: "ignore_eos" data_type: TYPE_BOOL dims: [ 1 ] optional: true }
]
output [
  { name: "text_output" data_type: TYPE_STRING dims: [ 1 ] },
  { name: "token_ids" data_type: TYPE_INT32 dims: [ -1 ] },
  { name: "finish_reason" data_type: TYPE_STRING dims: [ 1 ] }
]
instance_group [ { kind: KIND_CPU count: 1 } ]
"""


def add(repository: Path, name: str, *, batch: int = 0, **settings: float) -> None:
    """A model of the code above; `settings` are its parameters."""
    folder = repository / name / "1"
    folder.mkdir(parents=True)
    (folder / "model.py").write_text(CODE)
    lines = [f'name: "{name}"', 'backend: "python"', f"max_batch_size: {batch}", _TENSORS]
    if settings.get("stream"):
        lines.append("model_transaction_policy { decoupled: true }")
    for key, number in settings.items():
        lines.append(f'parameters {{ key: "{key}" value {{ string_value: "{number}" }} }}')
    (repository / name / "config.pbtxt").write_text("\n".join(lines))


def build(repository: Path) -> None:
    """All of them: 40 ms to the first token, 10 ms to the next."""
    times = {"first_ms": 40.0, "between_ms": 10.0}
    add(repository, "speaker", stream=1, **times)
    add(repository, "stammerer", stream=1, at_once=3, empty_last=1, **times)
    add(repository, "liar", stream=1, lie_every=3, **times)
    add(repository, "writer", first_ms=40.0)
    add(repository, "writers", batch=8, first_ms=40.0)


def tokens(prompt: str, count: int) -> list[int]:
    """What these models answer."""
    return [100 * len(prompt) + i for i in range(1, count + 1)]
