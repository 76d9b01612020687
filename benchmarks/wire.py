"""Prepared requests and the connections that carry them: the client's own cost stays out of the figures."""

from __future__ import annotations

import json
import socket
from dataclasses import dataclass

import grpc
import numpy as np
from numpy.typing import NDArray
from tritonclient.grpc import service_pb2 as pb

from benchmarks.load import connect, content_length

Array = NDArray[np.float32]
MODEL = "mnist_mlp"
_GRPC_OPTIONS = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]


def http_message(path: str, body: bytes, headers: dict[str, str] | None = None) -> bytes:
    """A whole HTTP/1.1 POST request."""
    lines = [f"POST {path} HTTP/1.1", "Host: 127.0.0.1", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


def _infer_message(
    model: str,
    input_parameters: dict[str, object],
    output_parameters: dict[str, object],
    shape: tuple[int, ...],
    data: bytes,
) -> bytes:
    header = json.dumps(
        {
            "inputs": [{"name": "input", "shape": shape, "datatype": "FP32", "parameters": input_parameters}],
            "outputs": [{"name": "output", "parameters": output_parameters}],
        }
    ).encode()
    return http_message(
        f"/v2/models/{model}/infer", header + data, {"Inference-Header-Content-Length": str(len(header))}
    )


def triton_binary(images: Array, model: str = MODEL) -> bytes:
    """KServe v2 over HTTP with binary tensors both ways."""
    data = images.tobytes()
    return _infer_message(model, {"binary_data_size": len(data)}, {"binary_data": True}, images.shape, data)


def triton_shared_memory(images: Array, region_in: str, region_out: str, output_bytes: int) -> bytes:
    """KServe v2 over HTTP with the tensors in registered shared-memory regions."""

    def place(region: str, size: int) -> dict[str, object]:
        return {"shared_memory_region": region, "shared_memory_byte_size": size}

    return _infer_message(
        MODEL, place(region_in, images.nbytes), place(region_out, output_bytes), images.shape, b""
    )


def fastapi_raw(images: Array) -> bytes:
    """Float32 bytes to the FastAPI application."""
    return http_message("/raw", images.tobytes(), {"Content-Type": "application/octet-stream"})


def fastapi_json(images: Array) -> bytes:
    """Nested lists to the FastAPI application."""
    return http_message(
        "/json", json.dumps({"images": images.tolist()}).encode(), {"Content-Type": "application/json"}
    )


@dataclass(frozen=True)
class Answer:
    """Header lines and body of an HTTP answer."""

    head: bytes
    body: bytes

    def tensor(self) -> Array:
        """The binary output tensor `[n, 10]` behind Triton's JSON header, or the whole body."""
        skip = 0
        for line in self.head.split(b"\r\n"):
            name, _, value = line.partition(b":")
            if name.lower() == b"inference-header-content-length":
                skip = int(value)
        return np.frombuffer(self.body, dtype=np.float32, offset=skip).reshape(-1, 10)


class HttpConnection:
    """One keep-alive connection, one request at a time."""

    def __init__(self, address: str) -> None:
        self.socket: socket.socket = connect(address)

    def ask(self, message: bytes) -> Answer:
        """Send the request and read the whole answer.

        Raises:
            RuntimeError: The status is not 200.
        """
        self.socket.sendall(message)
        received = bytearray()
        while (head := received.find(b"\r\n\r\n")) < 0:
            received += self._more()
        expected = head + 4 + content_length(bytes(received[:head]))
        while len(received) < expected:
            received += self._more()
        answer = Answer(bytes(received[:head]), bytes(received[head + 4 :]))
        if received[9:12] != b"200":
            raise RuntimeError(f"{answer.head!r} {answer.body[:300]!r}")
        return answer

    def _more(self) -> bytes:
        data = self.socket.recv(1 << 20)
        if not data:
            raise ConnectionError("the server closed the connection")
        return data

    def close(self) -> None:
        """Close the connection: an open one makes Triton wait when it ends."""
        self.socket.close()


class GrpcConnection:
    """One channel that sends prepared bytes to ModelInfer."""

    def __init__(self, address: str) -> None:
        self.channel = grpc.insecure_channel(address, options=_GRPC_OPTIONS)
        self.infer = self.channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")

    def ask(self, message: bytes) -> bytes:
        """Send the request; returns the bytes of the answer."""
        answer: bytes = self.infer(message, timeout=60)
        return answer

    def close(self) -> None:
        """Close the channel."""
        self.channel.close()


def grpc_message(images: Array) -> bytes:
    """A serialized ModelInferRequest with the tensor as raw contents."""
    tensor = pb.ModelInferRequest.InferInputTensor(name="input", datatype="FP32", shape=images.shape)
    request = pb.ModelInferRequest(model_name=MODEL, inputs=[tensor], raw_input_contents=[images.tobytes()])
    data: bytes = request.SerializeToString()
    return data


def grpc_tensor(answer: bytes) -> Array:
    """The output `[n, 10]` of a serialized ModelInferResponse."""
    response = pb.ModelInferResponse.FromString(answer)
    return np.frombuffer(response.raw_output_contents[0], dtype=np.float32).reshape(-1, 10)


def json_tensor(answer: Answer) -> Array:
    """The logits in the FastAPI application's JSON answer."""
    return np.asarray(json.loads(answer.body)["logits"], dtype=np.float32)
