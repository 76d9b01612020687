"""A decoupled model that does what its prompt says: pieces, pauses and errors at foreseeable moments."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

CONFIG = """name: "{name}"
backend: "python"
max_batch_size: 0
model_transaction_policy {{ decoupled: true }}
input [
  {{ name: "text_input" data_type: TYPE_STRING dims: [ 1 ] }},
  {{ name: "max_tokens" data_type: TYPE_INT32 dims: [ 1 ] optional: true }}
]
output [
  {{ name: "text_output" data_type: TYPE_STRING dims: [ 1 ] }},
  {{ name: "token_ids" data_type: TYPE_INT32 dims: [ -1 ] }},
  {{ name: "finish_reason" data_type: TYPE_STRING dims: [ 1 ] }}
]
instance_group [ {{ kind: KIND_CPU count: 1 }} ]
"""

MODEL = '''"""Says what its prompt asks it to say: a JSON list of steps."""

import json
import threading
import time

import numpy as np
import triton_python_backend_utils as pb_utils

FINAL = pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL


class TritonPythonModel:
    def initialize(self, args):
        self.arrived, self.changed = {}, threading.Condition()

    def execute(self, requests):
        for request in requests:
            steps = json.loads(pb_utils.get_input_tensor_by_name(request, "text_input").as_numpy()[0])
            limit = pb_utils.get_input_tensor_by_name(request, "max_tokens")
            limit = -1 if limit is None else int(limit.as_numpy()[0])
            sender = request.get_response_sender()
            threading.Thread(target=self.speak, args=(sender, steps, limit), daemon=True).start()

    def speak(self, sender, steps, limit):
        for step in steps:
            if "wait" in step:
                time.sleep(step["wait"])
            if "group" in step and not self.together(step["group"], step["size"]):
                sender.send(failure("alone: %d of %d requests came" % (self.arrived[step["group"]], step["size"])), FINAL)
                return
            if "limit" in step and limit != step["limit"]:
                sender.send(failure("max_tokens was %d" % limit), FINAL)
                return
            if "error" in step:
                sender.send(failure(step["error"]), FINAL)
                return
            if "text" in step:
                sender.send(piece(step), FINAL if step.get("final") else 0)
                if step.get("final"):
                    return
        sender.send(flags=FINAL)

    def together(self, group, size):
        """True when all requests of a group are there; waits a second for them."""
        with self.changed:
            self.arrived[group] = self.arrived.get(group, 0) + 1
            self.changed.notify_all()
            return self.changed.wait_for(lambda: self.arrived[group] >= size, timeout=1.0)


def failure(text):
    return pb_utils.InferenceResponse(error=pb_utils.TritonError(text))


def piece(step):
    values = [
        pb_utils.Tensor("text_output", np.array([step["text"].encode()], dtype=np.object_)),
        pb_utils.Tensor("token_ids", np.arange(step["tokens"], dtype=np.int32)),
        pb_utils.Tensor("finish_reason", np.array([step.get("finish", "").encode()], dtype=np.object_)),
    ]
    return pb_utils.InferenceResponse(values)
'''  # noqa: E501


def place_spoken(repository: Path, name: str) -> None:
    """Put the model into a repository under a name."""
    version = repository / name / "1"
    version.mkdir(parents=True)
    (version / "model.py").write_text(MODEL)
    (repository / name / "config.pbtxt").write_text(CONFIG.format(name=name))


def script(*steps: dict[str, Any]) -> str:
    """A prompt that makes the model take these steps.

    A step may hold `wait` (seconds), `group` and `size` (wait until so many requests of the group came, or
    fail), `limit` (fail unless it is the request's max_tokens), `error` (fail with this text), and
    `text` with `tokens`, `finish` and `final` (send a response; `final` true ends the request with it).
    Without a last word an empty final response ends the request.
    """
    return json.dumps(steps)


def pieces(texts: Sequence[str], counts: Sequence[int], *, wait: float = 0.0) -> list[dict[str, Any]]:
    """Steps that send these texts with so many tokens each, with a pause before each."""
    return [{"text": text, "tokens": n, "wait": wait} for text, n in zip(texts, counts, strict=True)]
