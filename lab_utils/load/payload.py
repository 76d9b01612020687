"""Requests for any model, from its metadata: random data or the caller's, packed once by tritonclient."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lab_utils.load.crew import LoadError
from lab_utils.load.view import ServerView

Array = NDArray[Any]
_INTEGERS = {"INT8", "INT16", "INT32", "INT64", "UINT16", "UINT32", "UINT64"}
_FLOATS = {"FP16": np.float16, "FP32": np.float32, "FP64": np.float64, "BF16": np.float32}
POOL = 8
"""Different random requests; they are sent in turn."""


@dataclass(frozen=True)
class Payload:
    """Prepared requests.

    Attributes:
        target: HTTP path or full gRPC method name.
        messages: Complete requests as bytes.
        rows: Rows (inferences) in each request.
        decoupled: Whether the model may send any number of responses to a request.
        inputs: The arrays of each request.
        datatypes: Triton's data type of each input.
    """

    target: str
    messages: list[bytes]
    rows: list[int]
    decoupled: bool
    inputs: list[Mapping[str, Array]]
    datatypes: dict[str, str]


def random_array(datatype: str, shape: Sequence[int], random: np.random.Generator) -> Array:
    """Random data of a Triton data type.

    FP: uniform in [0, 1). UINT8: 0 to 255 (images). Other integers: 0 to 9, since they are often
    indices (token ids, classes), and a large one would be out of range. BOOL: both. BYTES: 8 letters.
    """
    if datatype in _FLOATS:
        return random.random(shape, dtype=np.float32).astype(_FLOATS[datatype])
    if datatype == "UINT8":
        return random.integers(0, 256, shape, dtype=np.uint8)
    if datatype in _INTEGERS:
        return random.integers(0, 10, shape).astype(datatype.lower())
    if datatype == "BOOL":
        return random.integers(0, 2, shape).astype(np.bool_)
    if datatype == "BYTES":
        words = random.integers(97, 123, (int(np.prod(shape)), 8), dtype=np.uint8)
        return np.array([word.tobytes() for word in words], dtype=np.object_).reshape(shape)
    raise LoadError(f"There is no random data of the data type {datatype}.", fix="Give `inputs` of your own.")


def build_payload(
    view: ServerView,
    *,
    batch: int = 1,
    inputs: Mapping[str, Array] | Sequence[Mapping[str, Array]] | None = None,
    shapes: Mapping[str, Sequence[int]] | None = None,
    parameters: Mapping[str, Any] | None = None,
    seed: int = 0,
) -> Payload:
    """Prepare requests for a model.

    Args:
        view: The server and the model.
        batch: Rows per random request, for a model with `max_batch_size` above 0.
        inputs: The arrays of one request by input name, with the batch dimension; or a sequence of
            such requests, sent in turn. None: random data.
        shapes: For random data: the shape of an input without the batch dimension. Needed only where
            a variable dimension (-1) should not be 1.
        parameters: Request parameters. `priority` and `timeout` (microseconds) are Triton's own,
            `request_id`, `sequence_id`, `sequence_start` and `sequence_end` too.
        seed: Of the random data.

    Raises:
        LoadError: Inputs that are no inputs of the model, or a batch for a model that takes none.
    """
    metadata, config = view.metadata(), view.config()
    known = {entry["name"]: entry for entry in metadata.get("inputs", [])}
    batched = int(config.get("max_batch_size", 0)) > 0
    optional = {entry["name"] for entry in config.get("input", []) if entry.get("optional")}
    decoupled = bool(config.get("model_transaction_policy", {}).get("decoupled", False))
    if inputs is not None:
        pool = [inputs] if isinstance(inputs, Mapping) else list(inputs)
        _check_inputs(view.model, pool, known)
    else:
        _check_batch(view.model, batch, int(config.get("max_batch_size", 0)))
        random = np.random.default_rng(seed)
        wanted = {name: entry for name, entry in known.items() if name not in optional}
        pool = [
            {
                name: random_array(entry["datatype"], _shape(entry, batched, batch, shapes), random)
                for name, entry in wanted.items()
            }
            for _ in range(POOL)
        ]
    pack = _pack_http if view.protocol == "http" else _pack_grpc
    packed = [pack(view, request, known, dict(parameters or {})) for request in pool]
    rows = [len(next(iter(request.values()), ())) if batched else 1 for request in pool]
    target = f"/v2/models/{view.model}" + (f"/versions/{view.version}" if view.version else "") + "/infer"
    if view.protocol != "http":
        method = "ModelStreamInfer" if view.protocol == "stream" else "ModelInfer"
        target = f"/inference.GRPCInferenceService/{method}"
    if decoupled and view.protocol != "stream":
        raise LoadError(
            f"The model `{view.model}` is decoupled: it may send many responses to a request.",
            why="HTTP and unary gRPC have room for one response only; Triton refuses such requests.",
            fix='Use protocol="stream" (on the command line: --protocol stream).',
        )
    datatypes = {name: entry["datatype"] for name, entry in known.items()}
    return Payload(target, packed, rows, decoupled, list(pool), datatypes)


def _check_inputs(model: str, pool: Sequence[Mapping[str, Array]], known: Mapping[str, Any]) -> None:
    if not pool:
        raise LoadError("The pool of inputs is empty.", fix="Give at least one request.")
    for request in pool:
        strange = sorted(set(request) - set(known))
        if strange:
            raise LoadError(
                f"`{strange[0]}` is not an input of `{model}`.",
                fix=f"Its inputs are: {', '.join(sorted(known)) or 'none'}.",
            )


def _check_batch(model: str, batch: int, most: int) -> None:
    if batch > max(most, 1):
        why = f"Its max_batch_size is {most}."
        raise LoadError(
            f"`{model}` does not take {batch} rows in a request.", why=why, fix="Use a smaller batch."
        )


def _shape(
    entry: Mapping[str, Any], batched: bool, batch: int, shapes: Mapping[str, Sequence[int]] | None
) -> list[int]:
    """The shape of one random input. Metadata shows the batch dimension as the first -1."""
    dims = [int(d) for d in entry.get("shape", [])]
    given = (shapes or {}).get(entry["name"])
    if batched:
        inner = list(given) if given is not None else [1 if d < 0 else d for d in dims[1:]]
        return [batch, *inner]
    return list(given) if given is not None else [1 if d < 0 else d for d in dims]


def _tensors(client: Any, request: Mapping[str, Array], known: Mapping[str, Any]) -> list[Any]:
    from tritonclient.utils import InferenceServerException

    tensors = []
    for name, given in request.items():
        array = np.asarray(given)
        tensor = client.InferInput(name, list(array.shape), known[name]["datatype"])
        try:
            tensor.set_data_from_numpy(np.ascontiguousarray(array) if array.ndim else array)
        except InferenceServerException as error:
            raise LoadError(
                f"The array for the input `{name}` does not fit.",
                why=str(error.message()),
                fix="Convert the array.",
            ) from None
        tensors.append(tensor)
    return tensors


def _pack_http(
    view: ServerView, request: Mapping[str, Array], known: Mapping[str, Any], parameters: dict[str, Any]
) -> bytes:
    """Request line, head and body of POST .../infer."""
    import tritonclient.http as client

    named = {key: parameters.pop(key) for key in _NAMED if key in parameters}
    body, json_length = client.InferenceServerClient.generate_request_body(
        _tensors(client, request, known), parameters=parameters or None, **named
    )
    path = f"/v2/models/{view.model}" + (f"/versions/{view.version}" if view.version else "") + "/infer"
    lines = [f"POST {path} HTTP/1.1", f"Host: {view.address}", f"Content-Length: {len(body)}"]
    if json_length is not None:
        lines.append(f"Inference-Header-Content-Length: {json_length}")
    return "\r\n".join([*lines, "", ""]).encode() + body


def _pack_grpc(
    view: ServerView, request: Mapping[str, Array], known: Mapping[str, Any], parameters: dict[str, Any]
) -> bytes:
    """A serialized ModelInferRequest."""
    import tritonclient.grpc as client
    from tritonclient.grpc._utils import _get_inference_request

    named: dict[str, Any] = {"sequence_id": 0, "sequence_start": False, "sequence_end": False, "priority": 0}
    named |= {"timeout": None, "request_id": ""}
    named |= {key: parameters.pop(key) for key in _NAMED if key in parameters}
    message = _get_inference_request(
        model_name=view.model,
        inputs=_tensors(client, request, known),
        model_version=view.version,
        outputs=None,
        parameters=parameters or None,
        **named,
    )
    if view.protocol == "stream":
        # Asks for a last message that says "no more", also when the model ends without a response.
        message.parameters["triton_enable_empty_final_response"].bool_param = True
    data: bytes = message.SerializeToString()
    return data


_NAMED = ("request_id", "sequence_id", "sequence_start", "sequence_end", "priority", "timeout")
