"""`make demo`: in the terminal and in seconds, what Lab 1 builds up to.

A real Triton starts, ten real digits are shown and classified over HTTP and gRPC, the server's own
metrics are read, and it stops. The calls are written out as Lab 1 teaches them.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import numpy as np
import tritonclient.grpc as grpcclient
import tritonclient.http as httpclient
from numpy.typing import NDArray
from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console

from lab_utils import paths
from lab_utils import server as triton
from lab_utils.models.build import build_models
from lab_utils.models.digits import rich_digits, split_digits

MODEL = "mnist_mlp"
COUNTERS = ("nv_inference_request_success", "nv_inference_count", "nv_inference_exec_count")

Images = NDArray[np.float32]
Logits = NDArray[np.float32]


def classify_http(address: str, images: Images) -> Logits:
    """Logits float32 `[n, 10]` for images float32 `[n, 1, 28, 28]`, over HTTP with a binary body."""
    client = httpclient.InferenceServerClient(address)
    try:
        infer_input = httpclient.InferInput("input", list(images.shape), "FP32")
        infer_input.set_data_from_numpy(images)
        return client.infer(MODEL, [infer_input]).as_numpy("output")
    finally:
        client.close()


def classify_grpc(address: str, images: Images) -> Logits:
    """The same over gRPC."""
    client = grpcclient.InferenceServerClient(address)
    try:
        infer_input = grpcclient.InferInput("input", list(images.shape), "FP32")
        infer_input.set_data_from_numpy(images)
        return client.infer(MODEL, [infer_input]).as_numpy("output")
    finally:
        client.close()


def read_metrics(url: str) -> dict[str, float]:
    """Triton's counters for the digits model, from the page that Prometheus would scrape."""
    page = httpx.get(url, timeout=10).raise_for_status().text
    found = {}
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            name = sample.name.removesuffix("_total")
            if name in COUNTERS and sample.labels.get("model") == MODEL:
                found[name] = sample.value
    return found


def ten_digits() -> tuple[Images, NDArray[np.int64]]:
    """One digit of each kind, 0 to 9, that the model has never seen in training; and the labels."""
    split = split_digits()
    chosen = [int(np.flatnonzero(split.test_labels == digit)[-1]) for digit in range(10)]
    return np.ascontiguousarray(split.test_images[chosen]), split.test_labels[chosen]


def agree(over_http: Logits, over_grpc: Logits) -> bool:
    """True when both protocols brought the same numbers, bit for bit. Empty answers never agree."""
    return over_http.shape == over_grpc.shape == (10, 10) and bool(np.array_equal(over_http, over_grpc))


def run_demo(console: Console | None = None) -> bool:
    """Run it and print what happens. Returns False when HTTP and gRPC disagree or a digit got no answer.

    Raises:
        LabError: The server or the model does not start.
    """
    console = console or Console(highlight=False)

    @contextmanager
    def step(text: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        console.print(f"{text}  ({time.perf_counter() - start:.2f} s)")

    with step("Model: a small network for handwritten digits, as ONNX"):
        build_models()
    with step("Server: Triton 2.51.0 (NGC 24.10) is up, the model is ready"):
        # Its own name and the shortest lifetime: a student's running server is never touched.
        server = triton.start(
            paths.project_root() / "model_repository",
            name="demo",
            runtime="embedded",
            # model_repository/ holds the examples of all labs; the demo needs this one.
            options=["--model-control-mode=explicit", f"--load-model={MODEL}"],
            lifetime=triton.Lifetime.KERNEL,
            wait_for=[MODEL],
        )
    try:
        http, grpc = server.endpoints.http, server.endpoints.grpc
        console.print(f"  curl http://{http}/v2/health/ready  ->  {_ready(http)}")
        images, labels = ten_digits()
        with step(f"HTTP: ten digits to {http}"):
            over_http = classify_http(http, images)
        with step(f"gRPC: the same to {grpc}"):
            over_grpc = classify_grpc(grpc, images)
        same = agree(over_http, over_grpc)
        answers = over_http.argmax(axis=1) if over_http.size else np.full(10, -1)
        captions = [f"{a} (is {t})" if a != t else str(a) for a, t in zip(answers, labels, strict=True)]
        console.print(rich_digits(images, captions))
        right = int((answers == labels).sum())
        console.print(f"{right} of 10 right. HTTP and gRPC {'agree bit for bit' if same else 'DISAGREE'}.")
        with step(f"Metrics: {server.endpoints.metrics_url}"):
            counters = read_metrics(server.endpoints.metrics_url)
        for name in COUNTERS:
            console.print(f"  {name}{{model={MODEL}}} {counters.get(name, 0):.0f}", markup=False)
        console.print("  Two requests with ten digits each: two executions, twenty inferences.")
    finally:
        with step("Server: stopped, nothing left behind"):
            server.stop()
    return same and counters.get("nv_inference_count") == 20


def _ready(address: str) -> str:
    answer = httpx.get(f"http://{address}/v2/health/ready", timeout=10)
    return f"{answer.status_code} {answer.reason_phrase}"
