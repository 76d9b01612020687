"""Docker Compose, the plugin `docker compose` or the program `docker-compose`: find it, call it, read it."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from lab_utils.stack import faults

OLDEST = (1, 29)
"""Older ones do not know the form of our file: no `version:`, conditions in `depends_on`, devices."""
_CANDIDATES = (("docker", "compose"), ("docker-compose",))
_STEP = re.compile(r"Step \d+/\d+ : \S.*|#\d+ \[[^\]]*\d+/\d+\] \S.*")
"""A line with which a step of a Dockerfile begins: docker-compose's, and BuildKit's."""
_LONGEST_STEP = 100
_SHORT_PORT = re.compile(r"(?:(?P<host>.+):)?(?P<outer>\d+):(?P<inner>\d+)(?:/\w+)?")


@dataclass(frozen=True)
class Port:
    """A port of this machine that leads into a container."""

    host: str
    outer: int
    inner: int


@dataclass(frozen=True)
class Compose:
    """A Docker Compose that can be called.

    Attributes:
        program: Its words: `docker`, `compose`; or `docker-compose`.
        version: As it says itself.
        files: The compose files.
        environment: The variables that they are filled in with.
    """

    program: tuple[str, ...]
    version: str
    files: tuple[Path, ...]
    environment: Mapping[str, str]

    def call(self, *words: str, timeout: float = 3600.0) -> subprocess.CompletedProcess[str]:
        """Run one of its commands on our files. Its words are in `stdout` and `stderr`."""
        return subprocess.run(
            self._line(words),
            env=dict(self.environment),
            cwd=self.files[0].parent,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def build(self, services: Sequence[str], say: Callable[[str], None]) -> tuple[int, str]:
        """Build the images of some services; every step is said when it begins.

        Returns:
            The exit status, and all that was printed.
        """
        printed = list[str]()
        with subprocess.Popen(
            self._line(["build", *services]),
            env={**self.environment, "PYTHONUNBUFFERED": "1"},  # docker-compose 1.29 is a Python program
            cwd=self.files[0].parent,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        ) as process:
            assert process.stdout is not None
            try:
                for line in process.stdout:
                    printed.append(line)
                    if step := _STEP.match(line):
                        say(f"  {shortened(step[0])}")
            except BaseException:
                process.kill()
                raise
        return process.returncode, "".join(printed)

    def _line(self, words: Sequence[str]) -> list[str]:
        files = [word for file in self.files for word in ("-f", str(file))]
        return [*self.program, *files, *words]

    def config(self) -> dict[str, Any]:
        """All files in one, with the variables filled in: what compose would start.

        Raises:
            StackError: BAD_FILE, with compose's words.
        """
        answer = self.call("config", timeout=60.0)
        if answer.returncode:
            own = self.files[0].parent
            ours, theirs = ([f for f in self.files if (f.parent == own) is mine] for mine in (True, False))
            raise faults.bad_file(ours, theirs, answer.stderr or answer.stdout)
        merged: dict[str, Any] = yaml.safe_load(answer.stdout)
        return merged


def shortened(line: str) -> str:
    """A line without its end when it is long: a RUN can be a page."""
    return line if len(line) <= _LONGEST_STEP else f"{line[: _LONGEST_STEP - 1].rstrip()}…"


def find(files: tuple[Path, ...], environment: Mapping[str, str]) -> Compose:
    """The first Compose on this machine that is new enough: the plugin before the program.

    Raises:
        StackError: NO_COMPOSE, with how to get it.
    """
    too_old = []
    for program in _CANDIDATES:
        version = _version(program, environment)
        numbers = re.match(r"v?(\d+)\.(\d+)", version)
        if numbers is None:
            continue
        if (int(numbers[1]), int(numbers[2])) >= OLDEST:
            return Compose(program, version, files, environment)
        too_old.append(f"{' '.join(program)} {version}")
    raise faults.no_compose(too_old)


def _version(program: tuple[str, ...], environment: Mapping[str, str]) -> str:
    if shutil.which(program[0], path=environment.get("PATH")) is None:
        return ""
    try:
        answer = subprocess.run(
            [*program, "version", "--short"],
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return answer.stdout.strip() if answer.returncode == 0 else ""


def with_dependencies(config: Mapping[str, Any], wanted: Sequence[str]) -> list[str]:
    """The services that are wanted and those that they depend on; without a wish: all.

    Raises:
        StackError: SERVICE_UNKNOWN.
    """
    services = config["services"]
    waiting, found = list(wanted or services), set[str]()
    while waiting:
        name = waiting.pop()
        if name not in services:
            raise faults.unknown_service(name, services)
        if name not in found:
            found.add(name)
            waiting += list(services[name].get("depends_on") or ())
    return [name for name in services if name in found]


def published(service: Mapping[str, Any]) -> list[Port]:
    """The ports of a service, in the form of either Compose: `127.0.0.1:8000:8000/tcp` or a mapping."""
    found = []
    for entry in service.get("ports") or ():
        if isinstance(entry, Mapping):
            if entry.get("published"):
                host = str(entry.get("host_ip") or "")
                found.append(Port(host, int(entry["published"]), int(entry["target"])))
            continue
        match = _SHORT_PORT.fullmatch(str(entry))
        if match:
            found.append(Port(match["host"] or "", int(match["outer"]), int(match["inner"])))
    return found


def bind_mounts(service: Mapping[str, Any]) -> list[tuple[Path, bool]]:
    """The folders and files of this machine that a service sees, and whether it may write there."""
    found = []
    for entry in service.get("volumes") or ():
        if isinstance(entry, Mapping):
            if entry.get("type") == "bind":
                found.append((Path(entry["source"]), not entry.get("read_only", False)))
            continue
        source, _, rest = str(entry).partition(":")
        if source.startswith("/"):
            found.append((Path(source), "ro" not in rest.rpartition(":")[2].split(",")))
    return found
