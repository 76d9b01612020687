"""What a load of text generation gave: figures of tokens beside those of requests, as text and as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from lab_utils.load.result import Latency, LoadResult, without_nan

_NAN = float("nan")
_TIMES = ("ttft", "itl", "between", "tpot")


@dataclass(frozen=True)
class Timeline:
    """When the tokens of one request came. All times in seconds from the start of the measured time.

    Attributes:
        due: When the request was due; in a closed loop that is when it was sent.
        tokens: One moment per token. Tokens that came in one response have the same moment.
        done: When its last response was there.
    """

    due: float
    tokens: list[float]
    done: float


@dataclass(frozen=True)
class GenerationResult:
    """A load of text generation and what it gave. Only well answered requests are in the figures of time.

    A token exists for a client when the response that carries it has arrived.

    Attributes:
        load: What every load gives: requests, latency of whole answers, failures, Triton's phases.
        tokens: Tokens that arrived in the measured time.
        tokens_per_second: The same by seconds: the output throughput.
        ttft: Time to first token, seconds: from the moment a request was due to its first response
            with a token.
        itl: Inter-token latency, seconds: the gap between a token and the one before it. An answer of
            n tokens gives n - 1 gaps; tokens in one response have a gap of 0. The sum over an answer
            is the time from its first to its last token.
        between: Gap between two responses with tokens, seconds: how long a reader looks at a text that
            does not move. vLLM's benchmark calls these gaps ITL, AIPerf inter-chunk latency. Equal to
            `itl` when every response carries one token; else never shorter in any percentile.
        tpot: Time per output token, seconds, one figure per request: (last token - first token) /
            (n - 1). vLLM's TPOT; GenAI-Perf and AIPerf call it inter-token latency.
        tokens_per_request: Mean number of tokens in an answer.
        tokens_per_response: Mean number of tokens in a response that carries any.
        checked: Whether every answer was compared with the expected token ids.
        timelines: The tokens of some requests, for a picture.
    """

    load: LoadResult
    tokens: int = 0
    tokens_per_second: float = 0.0
    ttft: Latency = field(default_factory=Latency)
    itl: Latency = field(default_factory=Latency)
    between: Latency = field(default_factory=Latency)
    tpot: Latency = field(default_factory=Latency)
    tokens_per_request: float = _NAN
    tokens_per_response: float = _NAN
    checked: bool = False
    timelines: list[Timeline] = field(default_factory=list)

    @property
    def model(self) -> str:
        """The model."""
        return self.load.model

    @property
    def label(self) -> str:
        """The load in a few words."""
        return self.load.label

    @property
    def requests(self) -> int:
        """Requests answered well in the measured time."""
        return self.load.requests

    @property
    def requests_per_second(self) -> float:
        """The same by seconds."""
        return self.load.requests_per_second

    @property
    def latency(self) -> Latency:
        """End-to-end latency, seconds: from the moment a request was due to its last response."""
        return self.load.latency

    @property
    def errors(self) -> dict[str, int]:
        """Failed requests by class."""
        return self.load.errors

    @property
    def failed(self) -> int:
        """Failed requests of all classes, wrong answers among them."""
        return self.load.failed

    @property
    def wrong_answers(self) -> int:
        """Answers that were not the expected ones, token for token."""
        return self.load.errors.get("wrong_answer", 0)

    @property
    def messages(self) -> dict[str, str]:
        """The first message of each class of failures."""
        return self.load.messages

    @property
    def notes(self) -> list[str]:
        """What else must be known to read the figures."""
        return self.load.notes

    @property
    def seconds(self) -> float:
        """How long was measured."""
        return self.load.seconds

    def to_json(self) -> str:
        """One JSON object. A figure that is not known (NaN) is null."""
        plain = asdict(self) | {"load": json.loads(self.load.to_json())}
        extra = {"requests_per_second": self.requests_per_second, "wrong_answers": self.wrong_answers}
        return json.dumps(without_nan(plain | extra), allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> GenerationResult:
        """The result that `to_json` wrote."""
        plain: dict[str, Any] = json.loads(text)
        values = {f.name: plain[f.name] for f in fields(cls) if f.name in plain}
        values["load"] = LoadResult.from_json(json.dumps(plain["load"]))
        for key in _TIMES:
            times: dict[str, Any] = {k: _NAN if v is None else v for k, v in plain[key].items()}
            values[key] = Latency(**times)
        for key in ("tokens_per_request", "tokens_per_response"):
            values[key] = _NAN if plain[key] is None else plain[key]
        values["timelines"] = [Timeline(**entry) for entry in plain.get("timelines", [])]
        return cls(**values)

    def __str__(self) -> str:
        from lab_utils.load.generation_text import one_generation

        return one_generation(self)


def named(
    results: Mapping[str, GenerationResult] | list[GenerationResult] | GenerationResult,
) -> dict[str, GenerationResult]:
    """Results by name: as given, or by their model and their load."""
    if isinstance(results, Mapping):
        return dict(results)
    several = results if isinstance(results, list) else [results]
    same = len({result.model for result in several}) == 1
    found: dict[str, GenerationResult] = {}
    for result in several:
        name = result.label if same else result.model
        found[name if name not in found else f"{result.model}, {result.label}"] = result
    return found
