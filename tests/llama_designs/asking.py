"""Ask a text-generation model with tritonclient alone, over a stream: it works for every design."""

from __future__ import annotations

import queue
from dataclasses import dataclass
from typing import Any

import numpy as np
import tritonclient.grpc as grpcclient


@dataclass(frozen=True)
class Answer:
    """All responses to one request."""

    texts: list[str]
    token_ids: list[list[int]]
    reasons: list[str]

    @property
    def text(self) -> str:
        return "".join(self.texts)

    @property
    def ids(self) -> list[int]:
        return [token for ids in self.token_ids for token in ids]


def inputs(batched: bool, **values: Any) -> list[Any]:
    """Tensors of one element each."""
    types = {"text_input": (np.object_, "BYTES"), "max_tokens": (np.int32, "INT32"),
             "ignore_eos": (np.bool_, "BOOL")}  # fmt: skip
    tensors = []
    for name, value in values.items():
        kind, datatype = types[name]
        array = np.array([value.encode() if isinstance(value, str) else value], dtype=kind)
        array = array[None] if batched else array
        tensors.append(grpcclient.InferInput(name, list(array.shape), datatype).set_data_from_numpy(array))
    return tensors


def ask(client: Any, model: str, text_input: str | bytes, **values: Any) -> Answer:
    """One request. Raises `InferenceServerException` when it is refused."""
    found: queue.Queue[Any] = queue.Queue()
    client.start_stream(callback=lambda result, error: found.put(error or result))
    try:
        tensors = inputs(model == "llama_hf_batched", text_input=text_input, **values)
        client.async_stream_infer(model, tensors, enable_empty_final_response=True)
        texts, ids, reasons = [], [], []
        while True:
            result = found.get(timeout=60)
            if isinstance(result, Exception):
                raise result
            response = result.get_response()
            if response.outputs:
                texts.append(result.as_numpy("text_output").reshape(-1)[0].decode())
                ids.append(result.as_numpy("token_ids").reshape(-1).tolist())
                reasons.append(result.as_numpy("finish_reason").reshape(-1)[0].decode())
            if response.parameters["triton_final_response"].bool_param:
                return Answer(texts, ids, reasons)
    finally:
        client.stop_stream()
