"""Checkpoint 4.7: the config of each bottleneck mended, and the proof that it helped."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from lab_utils.checks.asking import need_return, shorten
from lab_utils.checks.judging import judge_values
from lab_utils.checks.lab4_bottleneck import RESTARTED
from lab_utils.checks.lab4_live import kiosk_server, load_model, under_load
from lab_utils.checks.lab4_pages import Served, window
from lab_utils.monitoring import Window
from lab_utils.planted.kiosks import CLIENTS
from lab_utils.progress.context import LabContext, refuse
from lab_utils.progress.registry import Verdict, checkpoint, passed
from lab_utils.repository import ConfigError, ModelConfig, parse_config

_DONE = "nv_inference_request_success"
_HANDS = 4
"""Instances of a step that waits and shares nothing."""

_TRIES = 3


def _mean(w: Window, model: str) -> float:
    return w.increase("nv_inference_request_duration_us", model=model) / w.increase(_DONE, model=model)


def proven(before: Window, after: Window, model: str) -> bool:
    """At least twice as many requests per second, each in at most half the time."""
    faster = after.rate(_DONE, model=model) >= 2 * before.rate(_DONE, model=model)
    return faster and _mean(after, model) * 2 <= _mean(before, model)


def _faster(before: float, after: float) -> bool:
    return after >= 2 * before


_PROVEN: dict[str, Callable[[Window, Window, str], bool]] = {
    "More requests per second can come from more clients. Each request must be quicker, too.": (
        lambda b, a, m: _faster(b.rate(_DONE, model=m), a.rate(_DONE, model=m))
    ),
    "A shorter time can come from fewer clients. The rate must have doubled, too.": (
        lambda b, a, m: _mean(a, m) * 2 <= _mean(b, m)
    ),
    "One of the two is not enough: `and`, not `or`.": lambda b, a, m: (
        _faster(b.rate(_DONE, model=m), a.rate(_DONE, model=m)) or _mean(a, m) * 2 <= _mean(b, m)
    ),
    "The windows differ in length: compare rates, not increases.": lambda b, a, m: (
        _faster(b.increase(_DONE, model=m), a.increase(_DONE, model=m)) and _mean(a, m) * 2 <= _mean(b, m)
    ),
    "Exactly twice as many, in exactly half the time, is enough: at least, at most.": lambda b, a, m: (
        a.rate(_DONE, model=m) > 2 * b.rate(_DONE, model=m) and _mean(a, m) * 2 < _mean(b, m)
    ),
    "That is any gain. It must be twice.": lambda b, a, m: (
        a.rate(_DONE, model=m) > b.rate(_DONE, model=m) and _mean(a, m) < _mean(b, m)
    ),
    "The other models of the server are in it: `model=model`.": lambda b, a, m: (
        _faster(b.rate(_DONE), a.rate(_DONE))
        and 2 * a.increase("nv_inference_request_duration_us") / a.increase(_DONE)
        <= b.increase("nv_inference_request_duration_us") / b.increase(_DONE)
    ),
    "You compared the sums of the durations. Under a higher rate a shorter time adds up to as much: "
    "per request.": lambda b, a, m: (
        _faster(b.rate(_DONE, model=m), a.rate(_DONE, model=m))
        and 2 * a.increase("nv_inference_request_duration_us", model=m)
        <= b.increase("nv_inference_request_duration_us", model=m)
    ),
    "Failures are no answers: `nv_inference_request_success` alone.": lambda b, a, m: (
        _faster(
            b.rate(_DONE, model=m) + b.rate("nv_inference_request_failure", model=m),
            a.rate(_DONE, model=m) + a.rate("nv_inference_request_failure", model=m),
        )
        and _mean(a, m) * 2 <= _mean(b, m)
    ),
    "That is the queue's share of the request. It may shrink while the rest grows: the whole request.": (
        lambda b, a, m: (
            _faster(b.rate(_DONE, model=m), a.rate(_DONE, model=m))
            and 2 * a.increase("nv_inference_queue_duration_us", model=m) / a.increase(_DONE, model=m)
            <= b.increase("nv_inference_queue_duration_us", model=m) / b.increase(_DONE, model=m)
        )
    ),
    "Before and after are swapped.": lambda b, a, m: proven(a, b, m),
}

# Seconds, requests, failures, ms and queue ms per request, of the window before and the window after.
_CASES = (
    ((4, 64, 0, 128, 64), (8, 256, 0, 64, 32)),  # exactly enough
    ((4, 64, 0, 128, 64), (2, 80, 0, 32, 16)),  # enough, in a shorter window with hardly more requests
    ((4, 64, 0, 128, 64), (16, 256, 0, 32, 16)),  # as many per second as before, each quicker
    ((4, 64, 0, 128, 64), (4, 512, 0, 128, 64)),  # more clients
    ((4, 64, 0, 128, 64), (4, 96, 0, 80, 40)),  # some gain
    ((4, 64, 0, 128, 64), (4, 96, 64, 32, 16)),  # the gain is failures
    ((4, 64, 0, 128, 64), (4, 160, 0, 96, 16)),  # less queue, and a longer rest
    ((4, 64, 0, 128, 64), (4, 160, 0, 48, 40)),  # enough; the queue's part shrank least
    ((4, 256, 0, 32, 16), (4, 64, 0, 128, 64)),  # worse
)


def _windows(ctx: LabContext) -> list[tuple[Window, Window, str]]:
    """Each case with another history, and beside a model that does not change."""
    scale, made = float(ctx.rng.choice([1, 2, 4])), []
    for pair in _CASES:
        windows = []
        for seconds, requests, failed, each, queue in pair:
            ms = {"request": requests * each * scale, "queue": requests * queue * scale}
            other = {"request": 4096 * 256.0 * scale, "queue": 4096 * 128.0 * scale}
            gained = {
                "kiosk": Served(requests, requests, requests, ms, failed),
                "other": Served(512 * seconds, 4096, 4096, other),
            }
            old = Served(8192, 8192, 8192, {"request": 1e6 * scale, "queue": 1e5 * scale})
            windows.append(window({"kiosk": old, "other": old}, gained, seconds))
        made.append((windows[0], windows[1], "kiosk"))
    return made


def _config(name: str, count: int, batching: str) -> str:
    return f"""name: "{name}"
backend: "python"
max_batch_size: 8
input [ {{ name: "data" data_type: TYPE_FP32 dims: [ 4 ] }} ]
output [ {{ name: "echo" data_type: TYPE_FP32 dims: [ 4 ] }} ]
instance_group [ {{ kind: KIND_CPU count: {count} }} ]
parameters [ {{ key: "execution_ms" value: {{ string_value: "20" }} }} ]
{batching}"""


def _mended(ctx: LabContext, function: Any, text: str, cause: str) -> str:
    """What the student makes of a config; refused unless just the knob of the cause was turned."""
    found = ctx.call(function, text, cause)
    need_return("mend", found)
    if not isinstance(found, str):
        refuse(
            expected="the text of a config.pbtxt",
            found=f"`mend` returned {type(found).__name__}",
            next_step="Return the changed text.",
        )
    try:
        old, new = parse_config(text), parse_config(found)
    except ConfigError as error:
        refuse(
            expected=f"{cause}: a config that Triton can read",
            found=shorten(str(error), 300),
            next_step="Print what `mend` returns, and look at the line that is named.",
        )
    _judge_config(old, new, cause)
    return found


def _instances(config: ModelConfig) -> int:
    return sum(group.count for group in config.instance_group)


def _judge_config(old: ModelConfig, new: ModelConfig, cause: str) -> None:
    counts, batches = (_instances(old), _instances(new)), new.HasField("dynamic_batching")
    if old == new:
        _refuse(
            cause, counts, batches, "Nothing has changed. `str.replace` and `re.sub` return the new text."
        )
    wanted = {"no batching": counts[0], "too many instances": 1, "slow step": _HANDS}[cause]
    if cause == "no batching" and not batches:
        step = (
            "More instances share the same device, and get in each other's way. Let one execution take what "
            "waits: `dynamic_batching { }`."
            if counts[1] > counts[0]
            else "`dynamic_batching { }` lets an execution take all that waits."
        )
        _refuse(cause, counts, batches, step)
    if cause == "no batching" and counts[1] != wanted:
        _refuse(cause, counts, batches, "Batching alone is the mend: leave the instances as they are.")
    if cause == "no batching" and new.dynamic_batching.ByteSize():
        _refuse(
            cause, counts, batches, "An empty block is the mend: `dynamic_batching { }`, with no settings."
        )
    if cause != "no batching" and counts[1] != wanted and _first_digit_only(counts, wanted):
        _refuse(cause, counts, batches, r"Only the first digit of the count was replaced: `\d+` takes all.")
    if cause == "too many instances" and counts[1] > counts[0]:
        _refuse(cause, counts, batches, "The device is crowded already: more instances make it worse.")
    if cause == "too many instances" and counts[1] != wanted:
        _refuse(cause, counts, batches, "Two or more still share the device: leave one.")
    if cause == "slow step" and counts[1] < wanted:
        step = (
            "Its batches are full, and it shares no device: it needs more hands."
            if counts[1] <= counts[0]
            else f"Each instance takes two rows; {CLIENTS} clients keep {_HANDS} of them busy."
        )
        _refuse(cause, counts, batches, step)
    if cause == "slow step" and counts[1] > wanted:
        _refuse(cause, counts, batches, f"{_HANDS} are enough here: each one costs memory.")
    # An empty block equals one that is not there, field by field: whether it is there counts as well.
    added = batches and not old.HasField("dynamic_batching")
    if cause != "no batching" and batches and (added or new.dynamic_batching != old.dynamic_batching):
        _refuse(cause, counts, batches, "Batching is no part of this mend: leave its block as it is.")
    if old.HasField("dynamic_batching") and not batches:
        _refuse(cause, counts, batches, "The batching is gone. It was no part of the fault.")
    _judge_rest(old, new, cause)


def _first_digit_only(counts: tuple[int, int], wanted: int) -> bool:
    """Whether the new count is the old one with another first digit."""
    return str(counts[1]) == f"{wanted}{str(counts[0])[1:]}"


def _judge_rest(old: ModelConfig, new: ModelConfig, cause: str) -> None:
    """Every other field is as it was."""
    rest = ModelConfig(), ModelConfig()
    for copy, config in zip(rest, (old, new), strict=True):
        copy.CopyFrom(config)
        copy.ClearField("instance_group")
        copy.ClearField("dynamic_batching")
    if rest[0] != rest[1]:
        refuse(
            expected=f"{cause}: one knob is turned, and all else stays",
            found="another field is changed or gone",
            next_step="Compare the text before and after line by line: only the count of instances, or the "
            "block for batching, may differ.",
        )


def _refuse(cause: str, counts: tuple[int, int], batches: bool, step: str) -> NoReturn:
    refuse(
        expected=f"a mend for `{cause}`",
        found=f"instances before {counts[0]}, after {counts[1]}; "
        f"dynamic batching {'on' if batches else 'off'}",
        next_step=step,
    )


def _judge_live(ctx: LabContext, answers: Mapping[str, Any]) -> dict[str, float]:
    """Each kiosk before and after the mend, under the same load."""
    server, kiosks = kiosk_server(ctx)
    gains: dict[str, float] = {}
    for kiosk in kiosks.values():
        load_model(server, kiosk.name)
        text = kiosk.config.read_text()
        mended = _mended(ctx, answers["mend"], text, kiosk.cause)
        for _ in range(_TRIES):
            before = under_load(server, kiosk.name, CLIENTS, 0.9)
            kiosk.config.write_text(mended)
            load_model(server, kiosk.culprit)
            after = under_load(server, kiosk.name, CLIENTS, 0.9)
            gain = after.rate(_DONE, model=kiosk.name) / before.rate(_DONE, model=kiosk.name)
            if proven(before, after, kiosk.name):
                break
            kiosk.config.write_text(text)  # the machine was busy with something else: once more
            load_model(server, kiosk.culprit)
        if not ctx.call(answers["proven"], before, after, kiosk.name):
            refuse(
                expected=f"{kiosk.cause}: at least twice as many requests per second after the mend",
                found=f"{gain:.1f} times as many; ms per request before "
                f"{_mean(before, kiosk.name) / 1000:.0f}, after {_mean(after, kiosk.name) / 1000:.0f}",
                next_step="Check again: the machine may be busy. If it stays so, please report it.",
            )
        gains[kiosk.cause] = round(gain, 1)
    return gains


@checkpoint(
    "4.7", title="Mend it, and prove it", points=3, minutes=6, difficulty=2, answers=("mend", "proven"),
    needs_server=False,
)  # fmt: skip
def check_mend(ctx: LabContext, answers: Mapping[str, Any]) -> Verdict:
    """Configs and windows made up; then the three kiosks on a live server, before and after."""
    name, many = f"step_{int(ctx.rng.integers(100))}", int(ctx.rng.integers(21, 99))
    on = "dynamic_batching { }\n"
    for cause, count, batching in (
        ("no batching", 1, ""), ("too many instances", many, ""), ("slow step", 1, on),
        ("too many instances", many, on), ("slow step", 2, ""), ("no batching", 12, ""),
    ):  # fmt: skip
        _mended(ctx, answers["mend"], _config(name, count, batching), cause)
    judge_values(
        ctx, answers["proven"], _windows(ctx), proven, _PROVEN,
        show=lambda before, after, model: f"requests/s before {before.rate(_DONE, model=model):g}, "
        f"after {after.rate(_DONE, model=model):g}; ms each before {_mean(before, model) / 1000:g}, "
        f"after {_mean(after, model) / 1000:g}",
        otherwise="True when the rate has at least doubled and a request's mean duration is at most half.",
        hints=RESTARTED,
    )  # fmt: skip
    gains = _judge_live(ctx, answers)
    shown = ", ".join(f"{cause}: {gain} times" for cause, gain in gains.items())
    return passed(f"requests per second after the mend, on a live server: {shown}", gains=gains)
