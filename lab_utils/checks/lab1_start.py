"""Checkpoints 1.2 and 1.3: options of tritonserver, and the start-up log."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lab_utils.checks.asking import attempt, need_return, post, shorten
from lab_utils.checks.repositories import NOT_ONNX, fresh_name, place
from lab_utils.progress.context import LabContext, refuse
from lab_utils.progress.registry import Verdict, checkpoint, passed
from lab_utils.server.base import Server, ServerError

_NOT_YOURS = (
    "model-repository",
    "model-store",
    "http-port",
    "grpc-port",
    "metrics-port",
    "backend-directory",
)


def _index(server: Server) -> dict[str, str]:
    """Model name → state, of every folder in the repository."""
    return {e["name"]: e.get("state", "") for e in post(server.endpoints.http, "/v2/repository/index").json()}


def _load(server: Server, model: str) -> bool:
    return post(server.endpoints.http, f"/v2/repository/models/{model}/load").status_code == 200


def _options(ctx: LabContext, function: Any, name: str, model: str, seconds: int) -> list[str]:
    found = ctx.call(function, name, model, seconds)
    need_return("server_options", found)
    if not isinstance(found, list) or not all(isinstance(o, str) for o in found):
        refuse(
            expected="a list of strings, one per option",
            found=f"{found!r:.100}",
            next_step='Return a list such as `["--id=…", …]`; numbers go into an f-string.',
        )
    for option in found:
        key = option.removeprefix("--").split("=")[0]
        if key in _NOT_YOURS:
            refuse(
                expected="no ports and no folders in the list",
                found=f"`{option}`",
                next_step="Leave it out: the check adds free ports and the repository.",
            )
    return found


@checkpoint(
    "1.2", title="The options that matter", points=3, minutes=6, difficulty=2, answers=("server_options",),
    needs_server=False,
)  # fmt: skip
def check_server_options(ctx: LabContext, answers: Mapping[str, Any]) -> Verdict:
    """Real servers, started with the student's options, behave as asked."""
    id, seconds = fresh_name(ctx, "server"), int(ctx.rng.integers(6, 12))
    wanted, other, bad, bare = (fresh_name(ctx, w) for w in ("wanted", "other", "broken", "no_config"))
    repository = ctx.scratch()
    place(ctx, repository, wanted)
    place(ctx, repository, other)
    place(ctx, repository, bad, content=NOT_ONNX)
    place(ctx, repository, bare, config=False)
    options = _options(ctx, answers["server_options"], id, wanted, seconds)
    server = _started(ctx, repository, options, (other, bad, bare))
    address = server.endpoints.http

    name = ctx.get("/v2", server).json()["name"]
    if name != id:
        refuse(
            expected=f"/v2 names the server `{id}`",
            found=f"`{name}`",
            next_step="`--id=…` sets it: use `name`.",
        )
    states = _index(server)
    ready = sorted(model for model, state in states.items() if state == "READY")
    if ready != [wanted]:
        refuse(
            expected=f"only `{wanted}` is loaded at the start",
            found=f"loaded: {', '.join(ready) or 'nothing'}",
            next_step="`--model-control-mode=explicit` loads what `--load-model=…` names, and nothing else.",
        )
    if not _load(server, other):
        refuse(
            expected="another model can be loaded later by request",
            found="the server refuses the load API",
            next_step="The load API works in the mode `explicit` only.",
        )
    if _load(server, bare):
        refuse(
            expected="a model without config.pbtxt is refused",
            found="Triton guessed its config and loaded it",
            next_step="Add `--disable-auto-complete-config`.",
        )
    _load(server, bad)
    if ctx.get("/v2/health/ready", server).status_code != 200:
        refuse(
            expected="the server stays ready when a later load of another model fails",
            found="/v2/health/ready is 400 after somebody loaded a broken model: no traffic for anybody",
            next_step="That is strict readiness, the default. Add `--strict-readiness=false`.",
        )
    match = re.search(r"\|\s*exit_timeout\s*\|\s*(\d+)", server.logs())
    if match is None or int(match[1]) != seconds:
        refuse(
            expected=f"an exit timeout of {seconds} seconds",
            found=f"the log's table of options says {match[1] if match else 'nothing'}",
            next_step="`--exit-timeout-secs=…` sets it: use `drain_seconds`.",
        )
    _judge_exit(ctx, _options(ctx, answers["server_options"], id, bad, seconds), bad)
    return passed("the servers behave as asked", options=options, ready=ready, address=address)


def _started(ctx: LabContext, repository: Path, options: list[str], others: Sequence[str]) -> Server:
    """A server with the student's options, or the reason why there is none."""
    try:
        return ctx.fresh_server(repository, options=options, expect_failure=True)
    except ServerError as error:
        tried = [model for model in others if model in str(error)]
        if tried:
            refuse(
                expected="the server loads one model at the start, and no others",
                found=f"it tried to load {', '.join(tried)} too, failed, and ended",
                next_step="In the mode `explicit`, `--load-model=…` names what to load; `*` is everything.",
            )
        refuse(
            expected=f"a server starts with {' '.join(options)}",
            found=str(error),
            next_step=error.fix or "Read the lines of the server's log above.",
        )


def _judge_exit(ctx: LabContext, options: list[str], bad: str) -> None:
    """A server whose own model is broken must not come up."""
    repository = ctx.scratch()
    place(ctx, repository, bad, content=NOT_ONNX)
    try:
        ctx.fresh_server(repository, options=options, expect_failure=True)
    except ServerError:
        return
    refuse(
        expected="the server ends when the model it is there for cannot be loaded",
        found="it runs on, empty: the cluster believes that all is well",
        next_step="Add `--exit-on-error=true`.",
    )


def _wrong_field(text: str) -> str:
    return text.replace("max_batch_size", "max_batchsize")


def _wrong_type(text: str) -> str:
    return text.replace("TYPE_FP32", "FLOAT32", 1)


def _wrong_name(text: str) -> str:
    return text.replace('name: "', 'name: "not_', 1)


@checkpoint(
    "1.3",
    title="Read a start-up log",
    points=4,
    minutes=12,
    difficulty=3,
    answers=("read_log",),
    needs_server=False,
)
def check_read_log(ctx: LabContext, answers: Mapping[str, Any]) -> Verdict:
    """The student's function reads the log of a fresh server with sound and broken models."""
    attempt(ctx, answers["read_log"], "")  # not solved yet? Then no server need start.
    repository = ctx.scratch()
    # Triton reads the folders by name: `alien` comes before the first parse error, `foreign` after it.
    words = ("alien", "any", "bad_field", "bad_type", "foreign", "good", "no_version", "torn")
    alien, first, field, kind, foreign, good, empty, torn = (fresh_name(ctx, w) for w in words)
    for model in (first, good):
        place(ctx, repository, model)
    place(ctx, repository, field, edit=_wrong_field)
    place(ctx, repository, kind, edit=_wrong_type)
    for model in (alien, foreign):
        place(ctx, repository, model, edit=_wrong_name)
    place(ctx, repository, empty, version=False)
    place(ctx, repository, torn, content=NOT_ONNX)
    options = ["--exit-on-error=false", "--disable-auto-complete-config"]
    server = ctx.fresh_server(repository, options=options)
    entries = post(server.endpoints.http, "/v2/repository/index").json()
    reason = next(str(e.get("reason", "")) for e in entries if e["name"] == torn)
    log = server.logs()

    found = ctx.call(answers["read_log"], log)
    need_return("read_log", found)
    if not isinstance(found, dict):
        refuse(
            expected="a dictionary", found=f"{found!r:.80}", next_step="Return model name → READY or reason."
        )
    truth = {
        first: "READY", good: "READY",
        field: 'Message type "inference.ModelConfig" has no field named "max_batchsize"',
        kind: 'Unknown enumeration value of "FLOAT32"',
        alien: f"unexpected directory name '{alien}'",
        foreign: f"unexpected directory name '{foreign}'",
        empty: "at least one version must be available",
        torn: reason.split("\n")[0][:60],
    }  # fmt: skip
    _judge_names(found, truth, log)
    for model, wanted in truth.items():
        _judge_reason(model, str(found[model]), wanted)
    return passed("two ready models and six reasons, all read from the log", models=len(truth))


def _judge_names(found: Mapping[Any, Any], truth: Mapping[str, str], log: str) -> None:
    if any("'" in str(name) for name in found):
        refuse(
            expected="names of models",
            found=f"{next(name for name in found if chr(39) in str(name))!r:.120}",
            next_step="A name ends at the next single quote: match it with `[^']+`, not with `.+`.",
        )
    missing = sorted(set(truth) - set(found))
    if missing:
        table_only = all(f"| {model}" not in log for model in missing)
        refuse(
            expected=f"an entry for each of the {len(truth)} models in the log",
            found=f"no entry for {', '.join(missing)}",
            next_step=("The table of models leaves out those whose config could not be read. " * table_only)
            + "Look at every line with `Poll failed`, `failed to load` or `successfully loaded`.",
        )
    extra = sorted(str(name) for name in set(found) - set(truth))
    if extra:
        refuse(
            expected="an entry per model, and no others",
            found=f"also: {', '.join(extra)[:120]}",
            next_step="Take names from the lines of the table above, and from no others.",
        )


def _judge_reason(model: str, found: str, wanted: str) -> None:
    expected = f"for `{model}`: {wanted}…"
    if wanted == "READY":
        if found != wanted:
            refuse(
                expected=f'for `{model}`, which was loaded: "READY"',
                found=shorten(found),
                next_step="A model with a line `successfully loaded` is READY, in these letters.",
            )
        return
    if found == "READY":
        refuse(
            expected=expected,
            found="READY, for a model that was not loaded",
            next_step="Give the reason that its line names behind the colon.",
        )
    if "failed to read text proto" in found:
        refuse(
            expected=f"for `{model}`: libprotobuf's LINE:COLUMN and reason",
            found=shorten(found),
            next_step="`failed to read text proto` says only that it failed. The line above it says why.",
        )
    if wanted not in found:
        refuse(
            expected=expected,
            found=shorten(found) or "an empty reason",
            next_step="Each reason belongs to its own model. Forget libprotobuf's line once it is used.",
        )
    text = found.strip().lstrip('"')
    start = re.sub(r"^\d+:\d+: ", "", text)
    if not start.startswith(wanted):
        refuse(
            expected=f"the reason alone: {wanted}…",
            found=shorten(text),
            next_step="Cut off what stands before the reason: time, file, and the model's name.",
        )
    if text.endswith('"') and text.count('"') % 2:  # a reason may end with a quoted name of its own
        refuse(
            expected=f"the reason alone: {wanted}…",
            found=f"…{text[-60:]}",
            next_step="The last quote closes Triton's whole message: leave it out.",
        )
    if ("enumeration" in wanted or "no field" in wanted) and start == text:
        refuse(
            expected="LINE:COLUMN before libprotobuf's reason, as in `3:14: …`",
            found=shorten(text),
            next_step="Keep the position: it says where to look in config.pbtxt.",
        )
