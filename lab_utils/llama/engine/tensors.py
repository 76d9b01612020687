"""The tensors of a Triton request, read as a `GenerationRequest`."""

from __future__ import annotations

import difflib
import json
from typing import Any

from lab_utils.llama.engine.errors import RequestRefused
from lab_utils.llama.engine.request import GenerationRequest

_NUMBERS = ("max_tokens", "temperature", "top_k", "top_p", "seed")
_INPUTS = ("text_input", *_NUMBERS, "stop", "ignore_eos", "stream")


def read_request(request: Any) -> tuple[GenerationRequest, bool]:
    """What a client asks for, and whether it wants a stream.

    Args:
        request: Triton's `InferenceRequest`.

    Raises:
        RequestRefused: A text is no UTF-8, a tensor has more than one element, or the request has a parameter
            with (nearly) the name of an input.
    """
    _refuse_parameters(request.parameters())
    found = {tensor.name(): tensor.as_numpy().reshape(-1) for tensor in request.inputs()}
    for name, values in found.items():
        if name != "stop" and values.size != 1:
            raise RequestRefused(
                f"{name} must have 1 element, not {values.size}.",
                "invalid",
                why="A request is one prompt.",
                fix="Send several prompts as several requests: the engine answers them together.",
            )
    numbers = {name: found[name][0].item() for name in _NUMBERS if name in found}
    return GenerationRequest(
        prompt=_text("text_input", found["text_input"][0]),
        stop=tuple(_text("stop", value) for value in found["stop"]) if "stop" in found else (),
        ignore_eos=bool(found["ignore_eos"][0]) if "ignore_eos" in found else False,
        **numbers,
    ), bool(found["stream"][0]) if "stream" in found else True


def _text(name: str, value: bytes | str) -> str:
    if isinstance(value, str):
        return value
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError as error:
        raise RequestRefused(
            f"{name} is no UTF-8: {error.reason} at byte {error.start}.",
            "invalid",
            fix="Encode the text as UTF-8.",
        ) from None


def _refuse_parameters(text: str) -> None:
    """/generate turns every JSON field that is no input into a parameter, so a slip would pass unseen."""
    for name in json.loads(text or "{}"):
        near = difflib.get_close_matches(name, _INPUTS, n=1, cutoff=0.8)
        if near:
            raise RequestRefused(
                f"{name} is a parameter of the request; this model reads no such parameter.",
                "invalid",
                why=f"It has an input {near[0]}.",
                fix=f"Send the input tensor {near[0]} (in /generate: the JSON field of that name).",
            )
