"""The engine tried for a promise, and beside the other designs, on a real server."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="PyTorch is not installed")

from lab_utils import server as triton
from lab_utils.load.crew import LoadError
from lab_utils.load.designs import DESIGNS, compare_designs, engine_alone
from lab_utils.load.promise import Slo, load_engine, prompts_for, try_engine
from lab_utils.progress.repository import copy_models
from lab_utils.server.base import Server
from tests.llama.training import trained

pytestmark = [pytest.mark.live, pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    trained()
    repository = tmp_path_factory.mktemp("promise") / "models"
    copy_models(list(DESIGNS), repository)
    options = ["--model-control-mode=explicit", "--exit-timeout-secs=1", "--disable-auto-complete-config"]
    server = triton.start(repository, name="promise", lifetime="kernel", options=options)
    yield server
    server.stop()


def served(server: Server) -> dict[str, str]:
    import httpx

    config = httpx.get(f"{server.endpoints.http_url}/v2/models/llama/config").json()
    return {name: entry["string_value"] for name, entry in config["parameters"].items()}


def test_the_engine_is_loaded_with_the_settings_and_asked(server: Server) -> None:
    slo = Slo(prompt=120, answer=6, memory=1, token_bytes=1)
    before = (Path(str(server.repository)) / "llama" / "config.pbtxt").read_bytes()
    result = try_engine(server, {"slots": 3, "max_length": 126, "prefill_tokens": 32}, slo)
    assert result.requests == 12
    assert result.failed == 0
    assert result.tokens == 72
    found = served(server)
    assert (found["slots"], found["max_length"], found["prefill_tokens"]) == ("3", "126", "32")
    assert found["max_queue"] == "64"
    assert (Path(str(server.repository)) / "llama" / "config.pbtxt").read_bytes() == before


def test_a_setting_that_cannot_be_is_refused_with_the_reason(server: Server) -> None:
    with pytest.raises(LoadError) as caught:
        load_engine(server, {"slots": "many"})
    assert "slots is 'many'; it must be a whole number" in str(caught.value)


@pytest.mark.parametrize("tokens", [120, 300, 1000])
def test_the_long_prompt_is_nearly_as_long_as_promised(tokens: int) -> None:
    from tokenizers import Tokenizer

    from lab_utils.llama import find_llama

    tokenizer = Tokenizer.from_file(str(find_llama() / "tokenizer.json"))
    *short, long = [len(tokenizer.encode(prompt).ids) for prompt in prompts_for(Slo(prompt=tokens))]
    assert 0.85 * tokens <= long <= tokens
    assert len(short) == 3
    assert max(short) < 40


def test_designs_answer_the_same_load(server: Server) -> None:
    import tritonclient.http as httpclient

    from lab_utils.llama import facts

    with httpclient.InferenceServerClient(server.endpoints.http, network_timeout=120) as client:
        for model in DESIGNS:
            client.load_model(model)
    questions = [question for question, _ in facts()]
    lengths = [3, 9] * 4
    results = compare_designs(server, questions, lengths, together=2)
    assert list(results) == ["llama_hf", "llama_hf_batched", "llama"]
    assert [result.requests for result in results.values()] == [2, 4, 8]
    assert [result.tokens for result in results.values()] == [12, 24, 48]
    assert [result.failed for result in results.values()] == [0, 0, 0]


def test_static_batches_wait_for_the_longest_answer(server: Server) -> None:
    """Seen by the steps that the engine made, not by the time."""
    load_engine(server, {"slots": 8})
    before = steps(server)
    found = engine_alone(server, ["What is Triton?"], [24, 2, 2, 2, 2, 2, 2, 2] * 2, together=8)
    assert found.continuous > 0
    assert found.static > 0
    assert f"{found.gain:.1f} times" in str(found)
    # The first token comes with the prompt. Static: 23 steps for each of two batches, where continuous
    # batches need 23 or a few more. The engine tells Triton a few times per second.
    made, deadline = 0.0, time.monotonic() + 20
    while made < 2 * 23 + 23 and time.monotonic() < deadline:
        time.sleep(0.2)
        made = sum(count - before.get(process, 0) for process, count in steps(server).items())
    assert made >= 2 * 23 + 23


def steps(server: Server) -> dict[str, float]:
    """Decode steps of the engine so far, by process: one that was replaced goes away with its count."""
    import httpx

    page = httpx.get(f"http://{server.endpoints.metrics}/metrics").text
    lines = [line for line in page.splitlines() if line.startswith("llama_inter_token_seconds_count")]
    return {name: float(count) for name, _, count in (line.rpartition(" ") for line in lines)}
