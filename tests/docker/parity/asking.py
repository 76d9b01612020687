"""One set of requests, and everything that a server answers to them, as JSON.

Run as a program: `python -m tests.docker.parity.asking HTTP GRPC METRICS` prints the answers. A process of
its own, because the containers of the tests are in a network of their own and the threads of gRPC stay where
they were started.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import numpy as np
import tritonclient.grpc as triton
from prometheus_client.parser import text_string_to_metric_families
from tritonclient.utils import InferenceServerException

from tests.docker.parity.repository import MODELS

Request = tuple[str, str, Any]
_SETTLE_SECONDS = 0.5


def _tensor(
    name: str = "x", shape: tuple[int, ...] = (2, 8), kind: str = "FP32", data: Any = None
) -> dict[str, Any]:
    values = [round(0.1 * i, 3) for i in range(int(np.prod(shape)))] if data is None else data
    return {"name": name, "shape": list(shape), "datatype": kind, "data": values}


def _body(*tensors: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"id": "7", "inputs": list(tensors), **more}


def looks() -> Iterator[Request]:
    """What a student asks to see: metadata, configs, settings."""
    yield from (("GET", path, None) for path in ("/v2", "/v2/health/live", "/v2/health/ready"))
    for model in MODELS:
        yield from (("GET", f"/v2/models/{model}{what}", None) for what in ("", "/config", "/ready"))
    yield "POST", "/v2/repository/index", {}
    for path in ("/v2/logging", "/v2/trace/setting", "/v2/models/scores/trace/setting",
                 "/v2/systemsharedmemory/status", "/v2/cudasharedmemory/status"):  # fmt: skip
        yield "GET", path, None


def predictions() -> Iterator[Request]:
    """Requests that are right."""
    infer = "/v2/models/{}/infer"
    yield "POST", infer.format("scores"), _body(_tensor())
    yield "POST", infer.format("scores"), _body(_tensor(shape=(8, 8)), outputs=[{"name": "y"}])
    yield "POST", "/v2/models/scores/versions/1/infer", _body(_tensor(shape=(1, 8)))
    yield "POST", infer.format("scores"), _body(_tensor(), parameters={"note": "kept by nobody"})
    yield (
        "POST",
        infer.format("scores"),
        _body(_tensor(), outputs=[{"name": "y", "parameters": {"classification": 2}}]),
    )
    yield "POST", infer.format("plain"), _body(_tensor())
    yield "POST", infer.format("positive"), _body(_tensor("y", (3, 4)))
    yield "POST", infer.format("chain"), _body(_tensor())
    yield "POST", "/v2/models/words/generate_stream", {"text": "one two three"}


def mistakes() -> Iterator[Request]:
    """Requests that are wrong, each in its own way."""
    infer = "/v2/models/scores/infer"
    yield "POST", infer, _body(_tensor(shape=(8,)))
    yield "POST", infer, _body(_tensor(shape=(2, 7)))
    yield "POST", infer, _body(_tensor(shape=(9, 8)))
    yield "POST", infer, _body(_tensor(kind="FP64"))
    yield "POST", infer, _body(_tensor(kind="FLOAT"))
    yield "POST", infer, _body(_tensor("X"))
    yield "POST", infer, _body(_tensor(), _tensor("extra"))
    yield "POST", infer, _body()
    yield "POST", infer, _body(_tensor(data=[1.0]))
    yield "POST", infer, _body(_tensor(data=["one"] * 16))
    yield "POST", infer, _body(_tensor(), outputs=[{"name": "scores"}])
    yield "POST", infer, {"instances": [[1, 2]]}
    yield "POST", infer, b'{"inputs": ['
    yield "POST", infer, b""
    yield "GET", infer, None
    yield "POST", "/v2/models/missing/infer", _body(_tensor())
    yield "POST", "/v2/models/scores/versions/9/infer", _body(_tensor())
    yield "POST", "/v2/models/scores/versions/one/infer", _body(_tensor())
    yield "POST", "/v2/models/raises/infer", _body(_tensor("y", (1, 4)))
    yield "POST", "/v2/models/words/generate", {"text": "one two three"}
    yield "POST", "/v2/models/words/generate_stream", {"txt": "one"}
    yield "POST", "/v2/models/words/infer", _body(_tensor("text", (1,), "BYTES", ["one"]))
    for path in ("/v2/models/missing", "/v2/models/missing/config", "/v2/models/missing/stats",
                 "/v2/models/scores/versions/9", "/v2/nothing", "/v1/models/scores"):  # fmt: skip
        yield "GET", path, None


def controls() -> Iterator[Request]:
    """Loads and settings, right and wrong."""
    models = "/v2/repository/models"
    yield "POST", f"{models}/late/load", {}
    yield "POST", f"{models}/late/unload", {}
    yield "POST", f"{models}/broken/load", {}
    yield "POST", f"{models}/missing/load", {}
    yield "POST", f"{models}/missing/unload", {}
    yield "POST", f"{models}/late/load", {"parameters": {"config": "not json"}}
    yield "POST", f"{models}/late/load", {"parameters": {"config": '{"max_batch": 3}'}}
    yield "POST", f"{models}/late/load", {"parameters": {"file:1/model.py": "cGFzcw=="}}
    yield "POST", "/v2/logging", {"log_verbose_level": 0, "log_info": True}
    yield "POST", "/v2/logging", {"log_verbose_level": "much"}
    yield "POST", "/v2/logging", {"log_nothing": True}
    yield "POST", "/v2/trace/setting", {"trace_level": ["TIMES"]}
    yield "POST", "/v2/trace/setting", {"trace_rate": "often"}
    region = "/v2/systemsharedmemory/region/gone"
    yield "POST", f"{region}/register", {"key": "/triton-lab-gone", "offset": 0, "byte_size": 64}
    yield "POST", f"{region}/register", {"key": "/triton-lab-gone"}
    yield "POST", f"{region}/unregister", {}
    yield "POST", "/v2/repository/index", {"ready": True}


def _read(answer: httpx.Response) -> Any:
    kind = answer.headers.get("content-type", "")
    if kind.startswith("text/event-stream"):
        lines = [line.removeprefix("data: ") for line in answer.text.splitlines() if line.strip()]
        return [json.loads(line) if line.startswith("{") else line for line in lines]
    try:
        return answer.json()
    except ValueError:
        return answer.text


def over_http(address: str) -> dict[str, Any]:
    """Status, type and content of each answer over HTTP, by the number and the words of the request."""
    found = {}
    with httpx.Client(base_url=f"http://{address}", timeout=30, trust_env=False) as client:
        for number, (method, path, body) in enumerate([*looks(), *predictions(), *mistakes(), *controls()]):
            content = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
            answer = client.request(method, path, content=content)
            kind = answer.headers.get("content-type")
            said = {"status": answer.status_code, "type": kind, "content": _read(answer)}
            found[f"{number:02d} {method} {path} {json.dumps(str(body))[:90]}"] = said
    return found


def over_grpc(address: str) -> dict[str, Any]:
    """Answers and errors over gRPC, by the name of the call."""

    def ask(model: str = "scores", name: str = "x", shape: tuple[int, ...] = (2, 8), **more: Any) -> Any:
        tensor = triton.InferInput(name, list(shape), "FP32")
        tensor.set_data_from_numpy(np.linspace(-1, 1, int(np.prod(shape)), dtype=np.float32).reshape(shape))
        answer = client.infer(model, [tensor], **more)
        return {o.name: answer.as_numpy(o.name).tolist() for o in answer.get_response().outputs}

    calls: dict[str, Callable[[], Any]] = {
        "server metadata": lambda: client.get_server_metadata(as_json=True),
        "metadata": lambda: client.get_model_metadata("scores", as_json=True),
        "config": lambda: client.get_model_config("scores", as_json=True),
        "config, automatic": lambda: client.get_model_config("plain", as_json=True),
        "index": lambda: client.get_model_repository_index(as_json=True),
        "infer": ask,
        "infer, ensemble": lambda: ask("chain"),
        "unknown model": lambda: ask("missing"),
        "unknown version": lambda: ask(model_version="9"),
        "unknown input": lambda: ask(name="X"),
        "wrong shape": lambda: ask(shape=(8,)),
        "batch too large": lambda: ask(shape=(9, 8)),
        "exception in the model": lambda: ask("raises", "y", (1, 4)),
        "decoupled without a stream": lambda: ask("words", "text", (1,)),
        "load, broken config": lambda: client.load_model("broken"),
        "load, no such model": lambda: client.load_model("missing"),
        "settings of the log": lambda: client.get_log_settings(as_json=True),
        "no such setting": lambda: client.update_log_settings({"log_nothing": True}, as_json=True),
        "no such region": lambda: client.register_system_shared_memory("gone", "/triton-lab-gone", 64),
    }
    found: dict[str, Any] = {}
    with triton.InferenceServerClient(address) as client:
        for name, call in calls.items():
            try:
                found[name] = {"answer": call()}
            except InferenceServerException as error:
                found[name] = {"code": error.status(), "message": error.message()}
    return found


def numbers(http: str, metrics: str) -> dict[str, Any]:
    """Statistics of every model, and every metric with its labels, once the counters stand still."""
    time.sleep(_SETTLE_SECONDS)
    with httpx.Client(timeout=30, trust_env=False) as client:
        statistics = client.get(f"http://{http}/v2/models/stats").json()
        page = client.get(f"http://{metrics}/metrics").text
    series: dict[str, Any] = {}
    for family in text_string_to_metric_families(page):
        values = {json.dumps(s.labels, sort_keys=True): s.value for s in family.samples}
        series[family.name] = {"type": family.type, "help": family.documentation, "values": values}
    by_model = {entry["name"]: entry for entry in statistics["model_stats"]}
    return {"statistics": by_model, "metrics": series}


def ask_everything(http: str, grpc: str, metrics: str) -> dict[str, Any]:
    """All of it, in the order in which the counters are then the same."""
    return {"HTTP": over_http(http), "gRPC": over_grpc(grpc), **numbers(http, metrics)}


if __name__ == "__main__":
    print(json.dumps(ask_everything(*sys.argv[1:]), default=str))
