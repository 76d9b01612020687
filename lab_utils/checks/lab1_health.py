"""Checkpoint 1.4: metadata and the three health endpoints."""

from __future__ import annotations

import re
import socket
from collections.abc import Mapping
from time import monotonic
from typing import Any

from lab_utils.checks.asking import attempt, call_at, need_return
from lab_utils.checks.repositories import NOT_ONNX, fresh_name, place
from lab_utils.progress.context import LabContext, refuse
from lab_utils.progress.registry import Verdict, checkpoint, passed
from lab_utils.server.base import Server

_KEYS = ("live", "ready", "model")
_SECONDS = 5.0


def _judge_info(ctx: LabContext, function: Any, server: Server, id: str, good: str) -> None:
    with ctx.recorder(server.endpoints.http) as recorder:
        info = call_at(ctx, function, recorder)
    keys = {"name", "version", "ready_models"}
    if not isinstance(info, dict) or set(info) != keys:
        refuse(
            expected=f"a dictionary with the keys {sorted(keys)}",
            found=f"{info!r:.150}",
            next_step="Build the dictionary yourself; the metadata has other keys too.",
        )
    if info["name"] != id:
        refuse(
            expected=f"the name `{id}` of the server that was asked",
            found=f"`{info['name']}`",
            next_step='It is `metadata["name"]`. Do not write it down: every server has its own.',
        )
    version = ctx.get("/v2", server).json()["version"]
    if info["version"] != version:
        refuse(
            expected=f"the server's version {version}",
            found=f"{info['version']!r}",
            next_step='It is `metadata["version"]`.',
        )
    ready = info["ready_models"]
    if not isinstance(ready, list | tuple | set) or sorted(map(str, ready)) != [good]:
        refuse(
            expected=f"`ready_models` is ['{good}']: the repository also holds two models that failed",
            found=f"{ready!r:.150}",
            next_step="The index lists every folder. Keep the names whose state is READY.",
        )


def _states(found: Any) -> dict[str, bool]:
    need_return("health", found)
    if not isinstance(found, dict) or set(found) != set(_KEYS):
        refuse(
            expected='`health` returns {"live": …, "ready": …, "model": …}',
            found=f"{found!r:.150}",
            next_step="Three keys, with these names.",
        )
    odd = {key: value for key, value in found.items() if not isinstance(value, bool)}
    if odd:
        refuse(
            expected="True or False",
            found=f"{odd!r:.100}",
            next_step="Compare the status code: `… .status_code == 200`.",
        )
    return found


def _judge_states(
    situation: str, found: dict[str, bool], truth: tuple[bool, bool, bool], other: str = ""
) -> None:
    """Refuse a wrong state. `other` names a model that was asked for instead of the right one."""
    advice = {
        "live": "`live` asks /v2/health/live.",
        "ready": "`ready` asks /v2/health/ready: False while any model has failed, though the server lives.",
        "model": f"It asked for `{other}`: use the argument `model`."
        if other
        else "`model` asks /v2/models/NAME/ready: the server's own state says nothing about one model.",
    }
    for key, right in zip(_KEYS, truth, strict=True):
        if found[key] is not right:
            refuse(
                expected=f"{situation}: {key} is {right}",
                found=f"{key} is {found[key]}",
                next_step=advice[key],
            )


def _judge_absent(ctx: LabContext, function: Any) -> None:
    """A port where nobody listens, and one that accepts and stays silent."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        quiet = f"127.0.0.1:{silent.getsockname()[1]}"
        start = monotonic()
        to_silence = attempt(ctx, function, quiet, "mnist_mlp", timeout=90)
        took = monotonic() - start
    to_nobody = attempt(ctx, function, quiet, "mnist_mlp")  # the port is closed now
    for situation, (value, error) in (
        ("nobody listens", to_nobody),
        ("something accepts the connection and never answers", to_silence),
    ):
        if error is not None:
            refuse(
                expected=f"{situation}: all three are False",
                found=f"`health` raised {type(error).__name__}: {error}",
                next_step="A probe always answers: catch the client's connection errors and time-outs.",
            )
        _judge_states(situation, _states(value), (False, False, False))
    if took > _SECONDS:
        refuse(
            expected=f"an answer within {_SECONDS:g} s, also from a server that hangs",
            found=f"`health` waited {took:.1f} s",
            next_step="Give each of the three requests a time limit: `timeout=1`.",
        )


@checkpoint(
    "1.4", title="Metadata and the three health endpoints", points=3, minutes=7, difficulty=2,
    answers=("server_info", "health"),
)  # fmt: skip
def check_health(ctx: LabContext, answers: Mapping[str, Any]) -> Verdict:
    """Both functions tell the truth about a sound, a half broken, a silent and an absent server."""
    health, own = answers["health"], ctx.need_server()
    # Another model of the student's own may have failed: then the lab's server rightly is not ready.
    ready = ctx.get("/v2/health/ready").status_code == 200
    _judge_server(ctx, health, own, "the lab's own server", "mnist_mlp", (True, ready, True))
    absent = fresh_name(ctx, "absent")
    _judge_server(ctx, health, own, "a model that is not there", absent, (True, ready, False))

    id, good, typo, torn = (fresh_name(ctx, word) for word in ("server", "good", "typo", "torn"))
    repository = ctx.scratch()
    place(ctx, repository, good)
    place(ctx, repository, typo, edit=lambda text: text.replace("max_batch_size", "max_batch"))
    place(ctx, repository, torn, content=NOT_ONNX)
    options = [
        f"--id={id}",
        "--exit-on-error=false",
        "--strict-readiness=true",
        "--disable-auto-complete-config",
    ]
    broken = ctx.fresh_server(repository, options=options)
    _judge_info(ctx, answers["server_info"], broken, id, good)
    _judge_server(ctx, health, broken, "a sound model beside a broken one", good, (True, False, True))
    _judge_server(ctx, health, broken, "the broken model", torn, (True, False, False))
    _judge_absent(ctx, health)  # last: a right answer waits here until its time limit has passed
    return passed(
        "sound, half broken, silent and absent servers are told apart", server_id=id, ready_model=good
    )


def _judge_server(
    ctx: LabContext, health: Any, server: Server, situation: str, model: str, truth: tuple[bool, bool, bool]
) -> None:
    """Ask about one model of one server, and compare."""
    with ctx.recorder(server.endpoints.http) as recorder:
        found = call_at(ctx, health, recorder, model)
    asked = re.findall(r"/v2/models/([^/ ]+)", " ".join(recorder.paths))
    _judge_states(situation, _states(found), truth, next((m for m in asked if m != model), ""))
