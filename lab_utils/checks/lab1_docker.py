"""Checkpoint 1.1: the docker run line, read the way Docker reads it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from lab_utils.checks.asking import need_return
from lab_utils.progress.context import LabContext, refuse
from lab_utils.progress.registry import Verdict, checkpoint, passed

IMAGE = "nvcr.io/nvidia/tritonserver:24.10-py3"
_GIB = 1 << 30
_UNITS = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": _GIB}
_SHORT = {
    "-p": "--publish",
    "-v": "--volume",
    "-e": "--env",
    "-d": "--detach",
    "-i": "--interactive",
    "-t": "--tty",
}
_SWITCHES = {"--rm", "--detach", "--interactive", "--tty", "-it", "-ti", "--init", "--read-only"}
_WITH_VALUE = {
    "--publish", "--volume", "--mount", "--shm-size", "--gpus", "--name", "--env", "--ulimit",
    "--ipc", "--network", "--user", "--restart", "--label", "--memory", "--cpus", "--runtime",
}  # fmt: skip


@dataclass
class _Run:
    """A `docker run` line, taken apart."""

    switches: set[str] = field(default_factory=set)
    values: dict[str, list[str]] = field(default_factory=dict)
    image: str = ""
    command: list[str] = field(default_factory=list)

    def of(self, option: str) -> list[str]:
        return self.values.get(option, [])


def _no(expected: str, found: str, next_step: str) -> NoReturn:
    refuse(expected=expected, found=found, next_step=next_step)


def _parse(arguments: list[str]) -> _Run:
    """Read options up to the image; the rest is the command, as in Docker."""
    if arguments[:2] != ["docker", "run"]:
        _no("the list begins with `docker`, `run`", f"it begins with {arguments[:2]}", "One item per word.")
    run, items = _Run(), arguments[2:]
    while items and items[0].startswith("-"):
        name, equals, value = items.pop(0).partition("=")
        if " " in name:
            _no(
                "one list item per argument",
                f"`{name}` is one item with a space in it: Docker would look for an option of that name",
                'Write two items (`"-p", "…"`) or use an equals sign (`"--publish=…"`).',
            )
        name = _SHORT.get(name, name)
        if name in _SWITCHES:
            run.switches.add(name)
        elif name in _WITH_VALUE:
            if not equals and not items:
                _no(f"a value after `{name}`", "the list ends there", f"Write `{name}=…`.")
            run.values.setdefault(name, []).append(value if equals else items.pop(0))
        else:
            _no(
                "options that `docker run` has",
                f"`{name}` before the image",
                "Options of tritonserver stand after the image; options of Docker before it.",
            )
    if items:
        run.image, run.command = items[0], items[1:]
    if "" in items:
        _no(
            "one list item per argument, none of them empty",
            "an empty item in the list: Docker takes it for the image"
            if not run.image
            else "an empty item after the image: tritonserver gets it as an argument",
            'Add an item only where it is needed: `if gpu: command += […]`, not `… if gpu else ""`.',
        )
    return run


def _numbers(text: str) -> list[str]:
    """The ports of `8000` or of a range such as `8000-8002`."""
    match = re.fullmatch(r"(\d{1,5})-(\d{1,5})", text)
    if match is None or not 0 <= int(match[2]) - int(match[1]) < 10:
        return [text]  # a longer range is no mapping of three ports: it is judged as it stands
    return [str(port) for port in range(int(match[1]), int(match[2]) + 1)]


def _judge_ports(run: _Run) -> None:
    expected = "ports 8000, 8001 and 8002, each on the same port of 127.0.0.1"
    inside = set()
    for text in run.of("--publish"):
        parts = text.split(":")
        if len(parts) < 3:
            _no(
                expected,
                f"`{text}` names no address, so the port is open on every network of the machine",
                f"Write `127.0.0.1:{text}`: Triton asks nobody for a password.",
            )
        if parts[0] not in ("127.0.0.1", "localhost"):
            _no(expected, f"`{text}` listens on {parts[0]}", "Use the loopback address 127.0.0.1.")
        if parts[1] != parts[2]:
            _no(
                expected,
                f"`{text}` maps host port {parts[1]} to port {parts[2]}",
                "Use the same number twice.",
            )
        inside.update(_numbers(parts[2]))
    missing = {"8000", "8001", "8002"} - inside
    if missing:
        _no(
            expected,
            f"no mapping for port {', '.join(sorted(missing))}",
            "8000 is HTTP, 8001 is gRPC, 8002 is the metrics that Prometheus reads.",
        )
    if len(inside) > 3:
        _no(expected, f"further ports: {sorted(inside - {'8000', '8001', '8002'})}", "Map these three only.")


def _judge_mount(run: _Run, repository: Path) -> None:
    expected = f"the folder {repository.resolve()} at /models, read-only"
    mounts = [v.split(":") for v in run.of("--volume")]
    for text in run.of("--mount"):
        part = dict(item.partition("=")[::2] for item in text.split(","))
        source, target = part.get("source", part.get("src", "")), part.get("target", part.get("dst", ""))
        mounts.append([source, target, "ro" if part.get("readonly", "false") in ("", "true") else "rw"])
    mount = next((m for m in mounts if len(m) > 1 and m[1] == "/models"), None)
    if mount is None:
        _no(
            expected,
            f"nothing is mounted at /models (volumes: {run.of('--volume')})",
            "Add `-v FOLDER:/models:ro`.",
        )
    if not mount[0].startswith("/"):
        _no(
            expected,
            f"`{mount[0]}` is a relative path: Docker makes an empty volume of that name",
            "Make it absolute: `repository.resolve()`.",
        )
    if mount[0] != str(repository.resolve()):
        _no(expected, f"`{mount[0]}` is mounted", "Use the argument `repository`.")
    if mount[2:] != ["ro"]:
        _no(expected, "the container may write to your models", "End the volume with `:ro`.")


def _judge_memory(run: _Run) -> None:
    sizes = run.of("--shm-size")
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([bkmg]?)b?", sizes[-1].lower()) if sizes else None
    if match is None:
        _no(
            "1 GiB of shared memory",
            f"`--shm-size` is {sizes or 'not set'}, so the container gets 64 MiB",
            "Triton's Python models talk through /dev/shm: add `--shm-size=1g`.",
        )
    if float(match[1]) * _UNITS[match[2]] != _GIB:
        _no(
            "1 GiB of shared memory",
            f"`--shm-size={sizes[-1]}`",
            "Write `--shm-size=1g`: a g is 1024³ bytes.",
        )


def _judge_gpu(run: _Run, gpu: bool) -> None:
    if gpu and run.of("--gpus") != ["all"]:
        _no(
            "`--gpus=all` when `gpu` is True",
            f"--gpus: {run.of('--gpus') or 'not there'}",
            "Add it in an `if gpu:`.",
        )
    if not gpu and run.of("--gpus"):
        _no(
            "no `--gpus` when `gpu` is False",
            "`--gpus` is always there, so Docker refuses to start on a machine without a GPU",
            "Add `--gpus=all` only `if gpu:`.",
        )


def _judge_command(run: _Run) -> None:
    late = [w for w in run.command if _SHORT.get(w, w.partition("=")[0]) in _SWITCHES | _WITH_VALUE]
    if run.image == IMAGE and late:
        _no(
            "after the image: the command inside the container, and nothing for Docker",
            f"`{late[0]}` after the image: tritonserver gets it, not Docker",
            "Options of Docker go before the image.",
        )
    if run.image != IMAGE:
        _no(f"the image {IMAGE}", f"the image is `{run.image}`", "Put `IMAGE` after Docker's own options.")
    words = [w for item in run.command for w in item.split("=", 1)]
    if words != ["tritonserver", "--model-repository", "/models"]:
        _no(
            "after the image: `tritonserver --model-repository=/models`",
            f"after the image: {' '.join(run.command) or 'nothing'}",
            "Inside the container the repository is at /models, whatever its name outside.",
        )


@checkpoint(
    "1.1",
    title="The docker run line",
    points=2,
    minutes=5,
    difficulty=1,
    answers=("docker_run",),
    needs_server=False,
)
def check_docker_run(ctx: LabContext, answers: Mapping[str, Any]) -> Verdict:
    """Docker would read the list as asked, with and without GPU, with absolute and relative paths."""
    folder = f"models-{int(ctx.rng.integers(1 << 20)):x}"
    for repository, gpu in (
        (Path("/srv") / folder, False),
        (Path("/srv") / folder, True),
        (Path(folder), False),
    ):
        arguments = ctx.call(answers["docker_run"], repository, gpu)
        need_return("docker_run", arguments)
        if isinstance(arguments, str):
            _no(
                "a list of arguments",
                "one string",
                "Return a list: a shell would split a path with a space in two.",
            )
        if not isinstance(arguments, list) or not all(isinstance(a, str) for a in arguments):
            _no(
                "a list of strings",
                f"{arguments!r:.80}",
                "Turn paths into text: `str(repository)` or an f-string.",
            )
        run = _parse(arguments)
        _judge_command(run)
        if "--rm" not in run.switches:
            _no("`--rm`", "the container stays behind when it ends", "Add `--rm` before the image.")
        _judge_ports(run)
        _judge_mount(run, repository)
        _judge_memory(run)
        _judge_gpu(run, gpu)
    return passed("Docker reads the line as it was meant, with and without a GPU", command=arguments)
