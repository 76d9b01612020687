"""A promise to the readers of a Llama, and a trial of the engine's settings for it on a live server."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import tritonclient.http as httpclient

from lab_utils.load.crew import LoadError
from lab_utils.load.generation import run_generation
from lab_utils.load.generation_result import GenerationResult
from lab_utils.server import keys

if TYPE_CHECKING:
    from lab_utils.server.base import Server

MODEL = "llama"
_LOAD_SECONDS = 300.0


@dataclass(frozen=True)
class Slo:
    """What is promised (a service level objective), and the memory that is there for it.

    Attributes:
        prompt: Tokens of the longest prompt.
        answer: Tokens of the longest answer.
        memory: Bytes for the KV cache.
        token_bytes: Bytes of the cache of one token: 2 x layers x kv_heads x head_dim x bytes per number.
        gap: 99 of 100 gaps between responses are no longer, in seconds.
        ttft: Nobody waits longer for the first token, in seconds.
        candidates: Values of `prefill_tokens` to try.
    """

    prompt: int = 1000
    answer: int = 20
    memory: int = 20_000_000
    token_bytes: int = 2048
    gap: float = 0.1
    ttft: float = 1.0
    candidates: tuple[int, ...] = (64, 1024)


def load_engine(server: Server, settings: Mapping[str, int | str]) -> None:
    """Load the model `llama` with these parameters, by a config in the request; its files stay as they are.

    Args:
        server: A server in explicit mode whose repository has the model.
        settings: Parameters of its config, such as `slots`.

    Raises:
        LoadError: Triton refuses it; the message is Triton's.
    """
    from google.protobuf import json_format

    from lab_utils.repository import read_config

    if server.repository is None:
        raise LoadError(
            "The repository of a remote server cannot be read.", fix="Use a server of this machine."
        )
    written = read_config(server.repository / MODEL)
    config = json_format.MessageToDict(written, preserving_proto_field_name=True)
    for name, value in settings.items():
        config["parameters"][name] = {"string_value": str(value)}
    with httpclient.InferenceServerClient(
        server.endpoints.http, connection_timeout=_LOAD_SECONDS, network_timeout=_LOAD_SECONDS
    ) as client:
        try:
            headers = keys.headers_for(server.endpoints.http)
            client.load_model(MODEL, headers, config=json.dumps(config))
        except httpclient.InferenceServerException as error:
            raise LoadError(
                f"Triton does not load the engine with {dict(settings)}.",
                why=str(error).splitlines()[0],
                fix="The message says which setting does not fit.",
            ) from error


def prompts_for(slo: Slo) -> list[str]:
    """Three short prompts and one that is nearly as long as the promise allows."""
    from tokenizers import Tokenizer

    from lab_utils.llama import facts, find_llama

    tokenizer = Tokenizer.from_file(str(find_llama() / "tokenizer.json"))
    questions = [question for question, _ in facts()]
    ids = tokenizer.encode(" ".join(questions), add_special_tokens=False).ids
    # Decoded and encoded again a text may have a few tokens more.
    length = slo.prompt - 8 - slo.prompt // 20
    return [*questions[:3], tokenizer.decode((ids * (1 + length // len(ids)))[:length])]


def try_engine(server: Server, settings: Mapping[str, int | str], slo: Slo) -> GenerationResult:
    """Load the engine with these settings, and ask it for what a promise allows.

    As many readers as there are slots ask again and again, one in four with a long prompt; answers have
    the greatest length.

    Args:
        server: A server in explicit mode whose repository has the model `llama`.
        settings: Parameters of its config, `slots` among them.
        slo: The promise.

    Raises:
        LoadError: It cannot be loaded or asked.
    """
    load_engine(server, settings)
    slots = int(settings["slots"])
    return run_generation(
        server,
        MODEL,
        prompts_for(slo),
        max_tokens=slo.answer,
        concurrency=slots,
        requests=4 * slots,
        warmup=0.3,
        ignore_eos=True,
        progress=False,
    )
