"""What the clients of the soak do: each asks, and says what was wrong with the answer."""

from __future__ import annotations

import json
import random
import time
from dataclasses import dataclass
from typing import Any

import httpx
import numpy as np
import tritonclient.grpc as grpcclient

from benchmarks.llama_client import Answer, Stream, post
from lab_utils.llama import facts
from lab_utils.server import Server

MODEL = "llama"
STRANGE = (
    "",
    " ",
    "\n\n\t",
    "🦙🦙 👩‍👩‍👧‍👦 🇩🇪",
    "你好，世界。",
    "שלום עולם",
    "naïve café e\u0301e\u0301",
    "\u200d\ufeff\u0000\x07",
    "\U0010ffff\U00012345",
    "<s></s><unk> [INST]",
    "'; DROP TABLE models; --",
)
WRONG: tuple[tuple[dict[str, Any], str], ...] = (
    ({"max_tokens": 0}, "max_tokens"),
    ({"max_tokens": -7}, "max_tokens"),
    ({"max_tokens": 100_000}, "max_tokens"),
    ({"temperature": -1.0}, "temperature"),
    ({"top_p": 0.0}, "top_p"),
    ({"top_k": -1}, "top_k"),
    ({"stop": [""]}, "stop"),
    ({"stop": ["x"] * 17}, "stop"),
    ({"text_input": "long " * 2000}, "prompt"),
    ({"text_input": "much longer " * 20_000}, "prompt"),
)


@dataclass(frozen=True)
class Case:
    """A request and the answer that it gets when it is alone."""

    fields: dict[str, Any]
    text: str
    token_ids: list[int]


def prepare(server: Server, count: int = 60) -> list[Case]:
    """Requests of all kinds with their answers, asked one after the other."""
    dice = random.Random(0)
    questions = [question for question, _ in facts()]
    cases = []
    for number in range(count):
        prompt = dice.choice(STRANGE) if number % 3 == 0 else dice.choice(questions)
        if number % 10 == 9:
            prompt = " ".join(dice.choices(questions, k=12))  # long: it is read in pieces
        fields: dict[str, Any] = {"text_input": prompt, "max_tokens": dice.choice([1, 5, 20, 60, 150])}
        if number % 4 == 1:
            fields |= {"temperature": dice.choice([0.7, 1.5, 4.0]), "seed": number}
        if number % 8 == 5:
            fields |= {"top_k": 30, "top_p": 0.9}
        if number % 5 == 2:
            fields["ignore_eos"] = True
        if number % 6 == 4:
            fields["stop"] = [dice.choice([".", " the", "q"])]
        answer = post(server, "generate", **fields, stream=False).json()
        cases.append(Case(fields, answer["text_output"], _ids(answer["token_ids"])))
    return cases


def _stream(server: Server, stream: Stream, case: Case, dice: random.Random) -> str:
    return _compare(case, stream.ask(**case.fields))


def _slow(server: Server, stream: Stream, case: Case, dice: random.Random) -> str:
    """A client that reads slowly: the others may not notice."""
    stream.send(**case.fields)
    answer = Answer()
    while not stream.read(answer):
        time.sleep(0.02 * dice.random())
    return _compare(case, answer)


def _generate(server: Server, stream: Stream, case: Case, dice: random.Random) -> str:
    answer = post(server, "generate", **case.fields, stream=False).json()
    if "error" in answer:
        return str(answer["error"])
    return _compare(case, Answer([answer["text_output"]], _ids(answer["token_ids"])))


def _events(server: Server, stream: Stream, case: Case, dice: random.Random) -> str:
    return _compare(case, _read_events(server, case.fields, most=10_000))


def _drop(server: Server, stream: Stream, case: Case, dice: random.Random) -> str:
    """Close the connection after a few events, without a word."""
    answer = _read_events(server, case.fields, most=dice.randint(0, 5))
    return answer.error or _begins(case, answer)


def _cancel(server: Server, stream: Stream, case: Case, dice: random.Random) -> str:
    """Read a few responses; the caller then cancels the stream."""
    stream.send(**case.fields)
    answer = Answer()
    for _ in range(dice.randint(0, 5)):
        if stream.read(answer):
            break
    return answer.error or _begins(case, answer)


def _wrong(server: Server, stream: Stream, case: Case, dice: random.Random) -> str:
    changes, name = dice.choice(WRONG)
    fields = {**case.fields, **changes}
    if dice.random() < 0.5:
        error = stream.ask(**fields).error
    else:
        error = post(server, dice.choice(["generate", "generate_stream"]), **fields).text
    return "" if name in error and "Next: " in error else f"{changes} was answered with {error!r}"[:200]


def _bad_bytes(server: Server, stream: Stream, case: Case, dice: random.Random) -> str:
    tensor = grpcclient.InferInput("text_input", [1], "BYTES")
    tensor.set_data_from_numpy(np.array([dice.randbytes(20) + b"\xff"], dtype=np.object_))
    stream.client.async_stream_infer(MODEL, [tensor], enable_empty_final_response=True)
    answer = Answer()
    while not stream.read(answer):
        pass
    return "" if "no UTF-8" in answer.error else f"bytes that are no text gave {answer}"


ACTIONS: dict[str, tuple[float, Any]] = {
    "stream": (6, _stream),
    "slow": (1, _slow),
    "generate": (2, _generate),
    "events": (3, _events),
    "drop": (2, _drop),
    "cancel": (3, _cancel),
    "wrong": (2, _wrong),
    "bad bytes": (1, _bad_bytes),
}
"""Everything that clients do, with how often they do it."""


def _compare(case: Case, answer: Answer) -> str:
    if answer.error:
        return answer.error
    if answer.token_ids != case.token_ids or answer.text != case.text:
        return f"{case.fields} gave {answer.text!r}, alone {case.text!r}"
    return ""


def _begins(case: Case, answer: Answer) -> str:
    if case.token_ids[: len(answer.token_ids)] == answer.token_ids and case.text.startswith(answer.text):
        return ""
    return f"{case.fields} began with {answer.text!r}, alone {case.text!r}"


def _read_events(server: Server, fields: dict[str, Any], most: int) -> Answer:
    answer = Answer()
    url = f"{server.endpoints.http_url}/v2/models/{MODEL}/generate_stream"
    with httpx.stream("POST", url, json=fields, timeout=60) as response:
        for line in response.iter_lines():
            if len(answer.texts) >= most:
                break
            if line.startswith("data: "):
                event = json.loads(line.removeprefix("data: "))
                if "error" in event:
                    answer.error = event["error"]
                    break
                answer.texts.append(event["text_output"])
                answer.token_ids += _ids(event["token_ids"])
    return answer


def _ids(found: int | list[int]) -> list[int]:
    """Triton's JSON writes a tensor of one element as a number."""
    return found if isinstance(found, list) else [found]
