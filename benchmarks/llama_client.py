"""Short ways to ask the model `llama` of a real server: gRPC streams, /generate, its own metrics."""

from __future__ import annotations

import queue
from dataclasses import dataclass, field
from typing import Any

import httpx
import numpy as np
import tritonclient.grpc as grpcclient
from prometheus_client.parser import text_string_to_metric_families

from lab_utils.server import Server

TYPES: dict[str, tuple[str, Any]] = {
    "text_input": ("BYTES", np.object_),
    "max_tokens": ("INT32", np.int32),
    "temperature": ("FP32", np.float32),
    "top_k": ("INT32", np.int32),
    "top_p": ("FP32", np.float32),
    "seed": ("UINT64", np.uint64),
    "stop": ("BYTES", np.object_),
    "ignore_eos": ("BOOL", np.bool_),
    "stream": ("BOOL", np.bool_),
}


def tensors(**values: Any) -> list[grpcclient.InferInput]:
    """Input tensors by name; a list becomes a tensor of several elements."""
    found = []
    for name, value in values.items():
        kind, dtype = TYPES[name]
        items = value if isinstance(value, list) else [value]
        array = np.array([v.encode() if isinstance(v, str) else v for v in items], dtype=dtype)
        found.append(grpcclient.InferInput(name, [len(items)], kind).set_data_from_numpy(array))
    return found


@dataclass
class Answer:
    """All responses to one request."""

    texts: list[str] = field(default_factory=list)
    token_ids: list[int] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    error: str = ""

    @property
    def text(self) -> str:
        """The whole answer."""
        return "".join(self.texts)


class Stream:
    """One gRPC stream, one request at a time."""

    def __init__(self, server: Server, model: str = "llama") -> None:
        self.client = grpcclient.InferenceServerClient(server.endpoints.grpc)
        self.model = model
        self.came: queue.Queue[tuple[Any, Any]] = queue.Queue()
        self.client.start_stream(callback=lambda result, error: self.came.put((result, error)))

    def send(self, **values: Any) -> None:
        """Send a request; its responses are read with `read`."""
        self.client.async_stream_infer(self.model, tensors(**values), enable_empty_final_response=True)

    def read(self, answer: Answer) -> bool:
        """Add one response; whether it was the last."""
        result, error = self.came.get(timeout=60)
        if error is not None:
            answer.error = error.message()
            return True
        text = result.as_numpy("text_output")
        if text is not None:
            answer.texts.append(text[0].decode())
            answer.token_ids += result.as_numpy("token_ids").tolist()
            answer.reasons.append(result.as_numpy("finish_reason")[0].decode())
        return bool(result.get_response().parameters["triton_final_response"].bool_param)

    def ask(self, **values: Any) -> Answer:
        """Send a request and read all its responses."""
        self.send(**values)
        answer = Answer()
        while not self.read(answer):
            pass
        return answer

    def close(self, cancel: bool = False) -> None:
        """End the stream; with `cancel` what is on its way is cancelled."""
        self.client.stop_stream(cancel_requests=cancel)
        self.client.close()


def post(server: Server, endpoint: str, model: str = "llama", **fields: Any) -> httpx.Response:
    """Ask `generate` or `generate_stream` over HTTP."""
    url = f"{server.endpoints.http_url}/v2/models/{model}/{endpoint}"
    return httpx.post(url, json=fields, timeout=60)


def metrics(server: Server, model: str = "llama") -> dict[str, float]:
    """The model's own metrics: name, or name and the value of `outcome` or `le`, to number."""
    page = httpx.get(server.endpoints.metrics_url).text
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            if sample.name.startswith("llama_") and sample.labels.get("model") == model:
                ending = sample.labels.get("outcome") or sample.labels.get("le")
                found[f"{sample.name}/{ending}" if ending else sample.name] = sample.value
    return found
