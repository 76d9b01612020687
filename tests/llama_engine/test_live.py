"""The model `llama` on a real Triton: streams, /generate, cancellation, refusals, metrics, reload."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="PyTorch is not installed: make test EXTRAS=torch")
pytest.importorskip("transformers", reason="transformers is not installed: make test EXTRAS=torch")

import httpx
import numpy as np
import tritonclient.grpc as grpcclient
from google.protobuf import json_format, text_format
from tritonclient.grpc import model_config_pb2
from tritonclient.utils import InferenceServerException

from lab_utils.llama import facts
from lab_utils.paths import project_root
from lab_utils.server.base import Server
from tests.llama_engine.live import Answer, Stream, metrics, post, settle, stream, tensors

pytestmark = pytest.mark.live
Q = "What does max_queue_delay_microseconds do?"
LOAD_S = 120
"""Seconds that a load may take: three on a quiet machine, for the most part importing PyTorch."""


def answer_to(question: str) -> str:
    return " " + dict(facts())[question]


def test_a_grpc_stream_brings_the_answer_token_by_token(server: Server) -> None:
    with stream(server) as one:
        got = one.ask(text_input=Q)
        assert got.text == answer_to(Q)
        assert got.reasons == [""] * (len(got.reasons) - 1) + ["stop"]
        assert len(got.texts) > 3
        assert got.token_ids[-1] == 2, "the end token is one of the tokens"
        again = one.ask(text_input=Q, stream=False)
        assert (again.texts, again.token_ids, again.reasons) == ([got.text], got.token_ids, ["stop"])


def test_16_streams_at_once_get_the_answers_of_one(
    server: Server, questions: list[str], reference: Callable[[str], list[int]]
) -> None:
    def ask(number: int) -> None:
        with stream(server) as one:
            for i in range(4):
                question = questions[(number + 5 * i) % 14]
                limit = 10 + (7 * number + i) % 30
                got = one.ask(text_input=question, max_tokens=limit, ignore_eos=True)
                assert got.token_ids == reference(question)[:limit]
                assert got.reasons[-1] == "length"

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(ask, range(16)))


def test_generate_gives_one_answer_and_generate_stream_many(server: Server) -> None:
    whole = post(server, "generate", text_input=Q, stream=False)
    assert whole.status_code == 200
    assert whole.json()["text_output"] == answer_to(Q)
    assert whole.json()["finish_reason"] == "stop"
    events = post(server, "generate_stream", text_input=Q).text.split("\n\n")
    parts = [json.loads(event.removeprefix("data: ")) for event in events if event]
    assert "".join(part["text_output"] for part in parts) == answer_to(Q)
    assert [part["finish_reason"] for part in parts] == [""] * (len(parts) - 1) + ["stop"]
    assert np.hstack([part["token_ids"] for part in parts]).tolist() == whole.json()["token_ids"]
    # This is why /generate needs "stream": false. Triton answers so itself, with status 200.
    assert "exactly 1 response" in post(server, "generate", text_input=Q).json()["error"]


def test_the_inputs_do_what_they_say(server: Server) -> None:
    def text(**fields: object) -> str:
        return str(post(server, "generate", text_input=Q, stream=False, **fields).json()["text_output"])

    greedy = text()
    assert text(stop=["request back", "zzz"]) == greedy[: greedy.index("request back")]
    assert text(stop="request back") == greedy[: greedy.index("request back")]
    assert text(temperature=2.0, seed=5) == text(temperature=2.0, seed=5)
    assert text(temperature=3.0, seed=5) != text(temperature=3.0, seed=6)
    assert text(temperature=3.0, seed=2**64 - 1, top_k=1) == greedy
    assert text(temperature=3.0, seed=1, top_p=0.0001) == greedy
    assert (
        len(
            post(server, "generate", text_input=Q, stream=False, max_tokens=50, ignore_eos=True).json()[
                "token_ids"
            ]
        )
        == 50
    )


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"max_tokens": 0}, "max_tokens must be 1 to 2147483647, not 0."),
        ({"max_tokens": 5000}, "max_tokens is 5,000; at most 501 fit"),
        ({"temperature": -1.0}, "temperature must be 0 to 100, not -1.0."),
        ({"top_p": 0.0}, "top_p must be above 0 and at most 1"),
        ({"top_k": -1}, "top_k must be 0 to"),
        ({"stop": ""}, "stop needs texts of 1 to 256 characters"),
        ({"text_input": "why not? " * 300}, "tokens; at most 511 fit"),
        ({"text_input": "why not? " * 5000}, "characters: more than 512 tokens"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_refusals_are_the_same_over_both_protocols(
    server: Server, fields: dict[str, object], words: str
) -> None:
    asked = {"text_input": Q, **fields}
    for endpoint in ("generate", "generate_stream"):
        answer = post(server, endpoint, **asked)
        assert answer.status_code == 400
        assert words in answer.text
    with stream(server) as one:
        refused = one.ask(**asked)
        assert words in refused.error
        assert "Next: " in refused.error
        # The stream goes on.
        assert one.ask(text_input=Q, max_tokens=2).reasons[-1] == "length"


def test_slips_that_triton_lets_through_are_refused(server: Server) -> None:
    answer = post(server, "generate", text_input=Q, max_token=5, stream=False)
    assert "max_token is a parameter of the request" in answer.json()["error"]
    assert "input max_tokens" in answer.json()["error"]
    assert post(server, "generate", text_input=Q, user="me", stream=False).status_code == 200
    with stream(server) as one:
        bad = grpcclient.InferInput("text_input", [1], "BYTES")
        bad.set_data_from_numpy(np.array([b"\xff\xfe"], dtype=np.object_))
        one.client.async_stream_infer("llama", [bad])
        _, error = one.came.get(timeout=20)
        assert "text_input is no UTF-8: invalid start byte at byte 0" in error.message()


def test_a_cancelled_stream_frees_its_slot(server: Server) -> None:
    before = settle(server, llama_active_slots=0)["llama_requests_total/cancelled"]
    one = Stream(server)
    one.send(text_input=Q, max_tokens=490, ignore_eos=True)
    one.came.get(timeout=20)
    begin = time.monotonic()
    one.close(cancel=True)
    settle(server, llama_active_slots=0, **{"llama_requests_total/cancelled": before + 1})
    # The whole answer would take at least 490 steps; metrics are a quarter of a second old at most.
    assert time.monotonic() - begin < 5


def test_a_dropped_connection_frees_its_slot(server: Server) -> None:
    before = settle(server, llama_active_slots=0)["llama_requests_total/cancelled"]
    url = f"{server.endpoints.http_url}/v2/models/llama/generate_stream"
    asked = {"text_input": Q, "max_tokens": 490, "ignore_eos": True}
    with httpx.stream("POST", url, json=asked, timeout=30) as answer:
        next(answer.iter_lines())
    settle(server, llama_active_slots=0, **{"llama_requests_total/cancelled": before + 1})


def test_the_metrics_count_requests_tokens_and_times(server: Server) -> None:
    before = settle(server, llama_active_slots=0, llama_queue_length=0)
    with stream(server) as one:
        for _ in range(3):
            one.ask(text_input=Q, max_tokens=10, ignore_eos=True)
        one.ask(text_input=Q, max_tokens=0)
    found = settle(server, **{"llama_requests_total/length": before["llama_requests_total/length"] + 3})
    grown = {name: value - before[name] for name, value in found.items()}
    assert grown["llama_generated_tokens_total"] == 30
    assert grown["llama_prompt_tokens_total"] == 33
    assert grown["llama_requests_total/refused"] == 1
    assert grown["llama_time_to_first_token_seconds_count"] == 3
    assert grown["llama_inter_token_seconds_count"] == 27
    assert grown["llama_inter_token_seconds_bucket/+Inf"] == 27
    assert 0 < grown["llama_time_to_first_token_seconds_sum"] < 10
    assert found["llama_slots"] == 16
    assert found["llama_kv_cache_bytes"] == 17 * 512 * 2048
    types = httpx.get(server.endpoints.metrics_url).text
    for name, kind in (
        ("llama_generated_tokens_total", "counter"),
        ("llama_active_slots", "gauge"),
        ("llama_inter_token_seconds", "histogram"),
    ):
        assert f"# TYPE {name} {kind}" in types


def test_the_log_says_what_was_loaded(server: Server) -> None:
    assert "KV cache 17.0 MiB = 16+1 slots x 512 tokens x 2,048 bytes" in server.logs()


@pytest.fixture
def client(server: Server):  # type: ignore[no-untyped-def]
    with grpcclient.InferenceServerClient(server.endpoints.grpc) as client:
        yield client


def load(client: grpcclient.InferenceServerClient, called: str = "llama", **parameters: str) -> None:
    """Load the model with other parameters."""
    text = (project_root() / "model_repository/llama/config.pbtxt").read_text()
    config = text_format.Parse(text, model_config_pb2.ModelConfig())
    config.name = called
    for name, value in parameters.items():
        config.parameters[name].string_value = value
    text = json_format.MessageToJson(config, preserving_proto_field_name=True)
    client.load_model(called, config=text, client_timeout=LOAD_S)


def unload(server: Server, client: grpcclient.InferenceServerClient, model: str = "llama") -> None:
    client.unload_model(model)
    end = time.monotonic() + 20
    while time.monotonic() < end:
        states = [m.state for m in client.get_model_repository_index().models if m.name == model]
        if states == ["UNAVAILABLE"]:
            return
        time.sleep(0.05)
    raise AssertionError(f"{model} was not unloaded")


def test_a_full_queue_refuses_and_the_model_reloads_with_its_metrics(
    server: Server, client: grpcclient.InferenceServerClient
) -> None:
    load(client, slots="1", max_queue="1")
    try:
        many = [Stream(server) for _ in range(6)]
        for one in many:
            one.send(text_input=Q, max_tokens=200, ignore_eos=True)
        answers = [Answer() for _ in many]
        for one, answer in zip(many, answers, strict=True):
            while not one.read(answer):
                pass
            one.close()
        refused = [a.error for a in answers if a.error]
        assert len(refused) == 4
        assert all("The queue is full: 1 requests wait, max_queue is 1." in error for error in refused)
        assert [len(a.token_ids) for a in answers if not a.error] == [200, 200]
        assert settle(server, llama_slots=1)["llama_requests_total/refused"] >= 4
    finally:
        unload(server, client)
        client.load_model("llama", client_timeout=LOAD_S)
    assert post(server, "generate", text_input=Q, stream=False).json()["text_output"] == answer_to(Q)
    settle(server, llama_slots=16, llama_active_slots=0)


def test_loading_anew_beside_the_old_one_keeps_the_server_whole(
    server: Server, client: grpcclient.InferenceServerClient
) -> None:
    """Old and new process live side by side for a moment; with shared metrics this crashed the server."""
    for slots in ("3", "16"):
        load(client, slots=slots)
        answer = post(server, "generate", text_input=Q, stream=False, max_tokens=9, ignore_eos=True)
        assert len(answer.json()["token_ids"]) == 9
        settle(server, llama_slots=float(slots))
        assert post(server, "generate", text_input=Q, stream=False).json()["text_output"] == answer_to(Q)


def test_two_models_share_the_metric_families(
    server: Server, client: grpcclient.InferenceServerClient
) -> None:
    place = Path(server.repository) / "llama_two" / "1"
    place.mkdir(parents=True)
    (place / "model.py").write_text((project_root() / "model_repository/llama/1/model.py").read_text())
    load(client, "llama_two", slots="2")
    post(server, "generate", "llama_two", text_input=Q, stream=False, max_tokens=7)
    unload(server, client, "llama_two")
    assert metrics(server)["llama_slots"] == 16
    assert post(server, "generate", text_input=Q, stream=False).status_code == 200


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        # One of each kind; test_room.py has all settings that the engine refuses.
        ({"slots": "many"}, "The parameter slots is 'many'; it must be a whole number."),
        ({"model": "no/such-model"}, "no/such-model"),
        ({"slots": "1000000", "max_length": "2000"}, "does not fit"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_model_that_cannot_be_loaded_says_why(
    server: Server, client: grpcclient.InferenceServerClient, parameters: dict[str, str], words: str
) -> None:
    place = Path(server.repository) / "llama_bad" / "1"
    place.mkdir(parents=True, exist_ok=True)
    (place / "model.py").write_text((project_root() / "model_repository/llama/1/model.py").read_text())
    with pytest.raises(InferenceServerException) as caught:
        load(client, "llama_bad", **parameters)
    assert words in caught.value.message()


def test_triton_adds_nothing_to_the_config(server: Server) -> None:
    """With auto-complete the same config comes out: it is complete, as the container needs it."""
    text = (project_root() / "model_repository/llama/config.pbtxt").read_text()
    config = text_format.Parse(text, model_config_pb2.ModelConfig())
    served = httpx.get(f"{server.endpoints.http_url}/v2/models/llama/config").json()
    assert {i["name"]: i["data_type"] for i in served["input"]} == {
        i.name: model_config_pb2.DataType.Name(i.data_type) for i in config.input
    }
    assert served["instance_group"][0]["kind"] == "KIND_MODEL"
    assert served["model_transaction_policy"]["decoupled"] is True
    assert all(i.optional for i in config.input if i.name != "text_input")
    assert tensors(text_input="x")[0].datatype() == "BYTES"
