"""The options of our locustfile: on locust's command line, or as variables of the environment."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from lab_utils.load.crew import LoadError

PREFIX = "TRITON_LOCUST_"
"""`--model` is also `TRITON_LOCUST_MODEL`, and so on."""
OPTIONS: tuple[tuple[str, type, Any, str], ...] = (
    ("model", str, "mnist_mlp", "The model to ask"),
    ("http-address", str, "localhost:8000", "host:port of Triton's HTTP endpoint"),
    ("grpc-address", str, "localhost:8001", "host:port of Triton's gRPC endpoint"),
    ("small", int, 1, "Rows of a small request"),
    ("large", int, 0, "Rows of a large request; 0: 8, or what the model takes"),
    ("mix", str, "8:2:0", "Weights of small, large and wrong requests"),
    ("think", float, 0.0, "Mean pause of a user after an answer, in seconds (half to one and a half of it)"),
    ("pace", float, 0.0, "Instead: each user asks every so many seconds, or later when the answer is late"),
    ("steps", str, "", "Step load: users:seconds,users:seconds,..."),
    ("warmup", float, 0.3, "Seconds at the begin of each step that are not in its exact figures"),
    ("client-timeout", float, 60.0, "Seconds after which a user gives up"),
    ("seed", int, 0, "Of the random data and choices"),
    ("figures", str, "", "File for the exact figures of each step, as JSON"),
)


def add_options(parser: Any) -> None:
    """Add them to locust's parser (a `configargparse` one)."""
    group = parser.add_argument_group("Triton")
    for name, kind, default, text in OPTIONS:
        variable = PREFIX + name.upper().replace("-", "_")
        group.add_argument(f"--{name}", type=kind, default=default, help=text, env_var=variable)


def read_steps(text: str) -> list[tuple[int, int]]:
    """`1:5,4:5` as (users, seconds). Locust looks at its shape once a second, so seconds are whole.

    Raises:
        LoadError: The text is not of this form.
    """
    steps = []
    for part in filter(None, (text or "").split(",")):
        users, colon, seconds = part.partition(":")
        if not colon or not users.strip().isdecimal() or not seconds.strip().isdecimal():
            raise _wrong("steps", text, "users:seconds,users:seconds in whole numbers, as in 1:5,4:5")
        steps.append((int(users), int(seconds)))
    if any(users < 1 or seconds < 1 for users, seconds in steps):
        raise _wrong("steps", text, "at least one user and one second in each step")
    if any(before == after for (before, _), (after, _) in pairwise(steps)):
        raise _wrong("steps", text, "each step another number of users than the one before it")
    return steps


def read_mix(text: str) -> tuple[int, int, int]:
    """`8:2:1` as the weights of small, large and wrong requests.

    Raises:
        LoadError: The text is not of this form, or all weights are 0.
    """
    parts = text.split(":")
    if len(parts) != 3 or not all(part.strip().isdecimal() for part in parts):
        raise _wrong("mix", text, "three whole numbers, small:large:wrong, as in 8:2:1")
    small, large, wrong = (int(part) for part in parts)
    if small + large + wrong == 0:
        raise _wrong("mix", text, "one weight above 0 at least")
    return small, large, wrong


def _wrong(name: str, text: str, wanted: str) -> LoadError:
    return LoadError(f"`{text}` is not a value for {name}.", fix=f"Give {wanted}.")
