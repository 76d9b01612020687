"""Hours of life in minutes for the model `llama`: mixed streams, cancels, vanished clients, wrong requests.

    python benchmarks/llama_soak.py --minutes 10
    python benchmarks/llama_soak.py --minutes 0.3         a look

Every finished answer is compared with the answer to the same request alone. At the end no slot may be in use,
no request may wait, every request must have ended in one of the outcomes that the metrics count, and the
processes may not have grown. Exit code 0 if all that holds.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # when called as a program

import httpx
import numpy as np
import psutil
import tritonclient.grpc as grpcclient
from rich.console import Console

from benchmarks.llama_client import Answer, Stream, metrics, post
from lab_utils import server as triton
from lab_utils.llama import facts
from lab_utils.progress.repository import copy_models
from lab_utils.server import Server

MODEL = "llama"
WORKERS = 24
GROWTH_MIB = 48.0
"""What the processes may grow by after the warm-up: buffers of the allocator, not an amount per request."""
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


@dataclass
class Report:
    """What happened.

    Attributes:
        seconds: Length of the run.
        did: How often each kind of thing was done, and how often the full queue refused.
        problems: What may not happen. Empty when all is well.
        memory_mib: Resident memory of server and model, after the warm-up and at the end.
        counted: Requests by outcome, by the metrics of the server.
    """

    seconds: float = 0.0
    did: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    memory_mib: list[float] = field(default_factory=list)
    counted: dict[str, float] = field(default_factory=dict)


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


def run(server: Server, seconds: float, workers: int = WORKERS, seed: int = 1) -> Report:
    """Let workers do random things with the model for some time, then look at what is left."""
    report = Report()
    cases = prepare(server)
    before = _settled(server, report)
    end = time.monotonic() + seconds
    lock = threading.Lock()
    threads = [
        threading.Thread(target=_work, args=(server, cases, end, random.Random(seed + i), report, lock))
        for i in range(workers)
    ]
    begin = time.monotonic()
    for thread in threads:
        thread.start()
    time.sleep(seconds * 0.3)
    report.memory_mib.append(_memory_mib(server))
    for thread in threads:
        thread.join(seconds + 120)
        if thread.is_alive():
            report.problems.append("a client is stuck")
    report.seconds = time.monotonic() - begin
    after = _settled(server, report)
    report.memory_mib.append(_memory_mib(server))
    report.counted = {
        name.partition("/")[2]: after[name] - before[name]
        for name in after
        if name.startswith("llama_requests_total/")
    }
    if report.memory_mib[1] > report.memory_mib[0] + GROWTH_MIB:
        report.problems.append(
            f"memory grew from {report.memory_mib[0]:.0f} to {report.memory_mib[1]:.0f} MiB"
        )
    if report.counted.get("error"):
        report.problems.append(f"{report.counted['error']:.0f} requests failed inside the engine")
    sent = sum(report.did[name] for name in ACTIONS) + report.did["asked again"]
    # A client that vanishes early may take its request along before Triton has seen it.
    if sum(report.counted.values()) > sent:
        report.problems.append(f"{sent} requests were sent, {sum(report.counted.values()):.0f} were counted")
    if triton.stub_faults(server):
        report.problems.append("the model's process is gone")
    return report


def _work(
    server: Server, cases: list[Case], end: float, dice: random.Random, report: Report, lock: threading.Lock
) -> None:
    stream = Stream(server)
    names, weights = list(ACTIONS), [weight for weight, _ in ACTIONS.values()]
    try:
        while time.monotonic() < end:
            name = dice.choices(names, weights)[0]
            case = dice.choice(cases)
            again = 0
            try:
                while True:
                    problem = ACTIONS[name][1](server, stream, case, dice)
                    if "queue is full" not in problem:
                        break
                    again += 1
                    time.sleep(0.02 + 0.05 * dice.random())
            except Exception as error:
                problem = f"{type(error).__name__}: {error}"
            if name == "cancel" or problem:
                stream.close(cancel=True)
                stream = Stream(server)
            with lock:
                report.did[name] += 1
                report.did["asked again"] += again
                if problem:
                    report.problems.append(f"{name}: {problem[:300]}")
    finally:
        stream.close(cancel=True)


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


def _settled(server: Server, report: Report) -> dict[str, float]:
    """The metrics when nothing is on its way any more."""
    end = time.monotonic() + 30
    while True:
        found = metrics(server)
        time.sleep(0.6)
        again = metrics(server)
        if found == again and found["llama_active_slots"] == found["llama_queue_length"] == 0:
            return found
        if time.monotonic() > end:
            left = (
                f"{again['llama_active_slots']:.0f} slots in use, {again['llama_queue_length']:.0f} waiting"
            )
            report.problems.append(f"the engine does not come to rest: {left}")
            return again


def _memory_mib(server: Server) -> float:
    assert server.pid is not None
    root = psutil.Process(server.pid)
    return sum(p.memory_info().rss for p in [root, *root.children(recursive=True)]) / 2**20


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--workers", type=int, default=WORKERS)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    console = Console()
    with tempfile.TemporaryDirectory() as folder:
        repository = Path(folder) / "models"
        copy_models([MODEL], repository)
        # Fewer places than clients, so that the queue is full now and then.
        config = repository / MODEL / "config.pbtxt"
        text = config.read_text()
        for old, new in (
            ('"slots"\n    value: { string_value: "16"', '"slots"\n    value: { string_value: "8"'),
            ('"max_queue"\n    value: { string_value: "64"', '"max_queue"\n    value: { string_value: "8"'),
        ):
            assert old in text
            text = text.replace(old, new)
        config.write_text(text)
        os.environ.setdefault("TRITON_LAB_LIFETIME", "kernel")
        options = ["--disable-auto-complete-config"]
        server = triton.start(repository, name="llama-soak", options=options, wait_for=[MODEL], timeout=180)
        try:
            report = run(server, arguments.minutes * 60, arguments.workers, arguments.seed)
        finally:
            server.stop()
    console.print(f"{report.seconds:.0f} s, {arguments.workers} clients. Done: {dict(report.did)}")
    console.print(f"By the server's count: { {k: int(v) for k, v in report.counted.items()} }")
    console.print("Memory: {:.0f} MiB after the warm-up, {:.0f} MiB at the end".format(*report.memory_mib))
    for problem, times in Counter(report.problems).most_common(20):
        console.print(f"[red]{times} x {problem}", markup=True, highlight=False)
    console.print("All is well." if not report.problems else f"{len(report.problems)} problems.")
    return 1 if report.problems else 0


if __name__ == "__main__":
    sys.exit(main())
