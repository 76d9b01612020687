"""The embedded runtime: the real tritonserver as a child process on loopback, CPU only."""

from __future__ import annotations

import os
import signal
import time
import uuid
from collections.abc import Sequence
from pathlib import Path

from lab_utils import paths
from lab_utils.keeper.identity import boot_id
from lab_utils.server import diagnosis, keys, options, ports, probe, records, spawn
from lab_utils.server.base import Endpoints, Lifetime, ServerError
from lab_utils.server.install import backend_directory, installation, missing_libraries
from lab_utils.server.plain_path import plain
from lab_utils.server.stubs import stub_faults
from lab_utils.server.waiting import until_ready
from lab_utils.stack import targets

EXIT_TIMEOUT = 5
"""Seconds that Triton waits for requests and connections when it is told to end."""
_START_ATTEMPTS = 3


class EmbeddedServer:
    """One tritonserver process of ours. See `lab_utils.server.base.Server` for the protocol."""

    runtime = "embedded"

    def __init__(
        self,
        repository: Path | str,
        *,
        name: str,
        options: Sequence[str] = (),
        lifetime: Lifetime = Lifetime.SESSION,
        wait_for: Sequence[str] = (),
        timeout: float = 60.0,
    ) -> None:
        self.name = records.check_name(name)
        self.repository: Path | None = Path(repository).resolve()
        self.options = tuple(options)
        self.lifetime = Lifetime(lifetime)
        self.wait_for = tuple(wait_for)
        self.timeout = timeout
        self._record: records.Record | None = None

    @classmethod
    def attach(cls, record: records.Record) -> EmbeddedServer:
        """The server that a record describes."""
        server = cls(record.repository, name=record.name, options=record.options, lifetime=record.lifetime)
        server._record = record
        return server

    @property
    def record(self) -> records.Record:
        """The record. Raises `ServerError` before `start`."""
        if self._record is None:
            raise ServerError(f"The server `{self.name}` has not been started.", fix="Call its start().")
        return self._record

    @property
    def endpoints(self) -> Endpoints:
        """The three addresses on loopback."""
        return self.record.endpoints

    @property
    def headers(self) -> dict[str, str]:
        """What a client must send to load models, and more, where users share a machine; else empty."""
        return keys.headers(self.record.extra.get("key"))

    @property
    def log_path(self) -> Path:
        """The file with everything that the server printed."""
        return self.record.log

    @property
    def pid(self) -> int | None:
        """The process id of tritonserver."""
        return self.record.server.pid if self.record.server else None

    def alive(self) -> bool:
        """True while this very tritonserver process runs."""
        return self._record is not None and self._record.alive()

    def logs(self, tail: int | None = None) -> str:
        """The log, whole or its last `tail` lines."""
        lines = self.log_path.read_text(errors="replace").splitlines() if self.log_path.exists() else []
        return "\n".join(lines[-tail:] if tail else lines)

    def start(self) -> EmbeddedServer:
        """Start the server, or attach to the running one of the same name, repository and options.

        Raises:
            ServerError: With the decisive lines of the log, their cause and the mend.
        """
        repository = self.repository
        if repository is None or not repository.is_dir():
            raise ServerError(
                f"The model repository {repository} is not a folder.",
                why="tritonserver needs a folder that holds one folder per model.",
                fix="Check the path. `triton-lab models build` makes the example repository.",
            )
        given = options.check_options(self.options)
        with records.lock(self.name):
            old = records.read(self.name)
            if old and self._can_reuse(old, given):
                self._record = old
            else:
                if old:
                    _stop_record(old)
                self._start_fresh(repository, given)
        for model in self.wait_for:
            self.wait_ready(model, self.timeout)
        return self

    def _can_reuse(self, old: records.Record, given: list[str]) -> bool:
        same = (old.repository, list(old.options), old.lifetime) == (self.repository, given, self.lifetime)
        # A kernel-lifetime server belongs to the process that started it.
        mine = old.lifetime is Lifetime.SESSION or old.extra.get("parent") == os.getpid()
        closed = bool(old.extra.get("key")) or not keys.shared_host()
        ours = same and mine and closed and old.runtime == self.runtime
        sound = ours and old.alive() and probe.live(old.endpoints)
        # A dead stub never comes back, and the server does not say so: then only a new server helps.
        return sound and not stub_faults(EmbeddedServer.attach(old))

    def _start_fresh(self, repository: Path, given: list[str]) -> None:
        wanted = [v for kind in ("http", "grpc", "metrics") for v in options.values(given, f"{kind}-port")]
        for port in wanted:
            if port.isdigit() and ports.listening(int(port)):
                raise ServerError(
                    f"Port {port} is taken.",
                    why=f"{ports.holder(int(port))} listens on it, and two programs cannot share a port.",
                    fix="Leave the port option out (a free port is then chosen), choose another one, or end "
                    "that program.",
                )
        for attempt in range(1, _START_ATTEMPTS + 1):
            record = self._launch(repository, given)
            try:
                self._record = self._wait_live(record)
                targets.announce(record.id, self.name, int(self.endpoints.metrics.rpartition(":")[2]))
                return
            except ServerError:
                log = record.log.read_text(errors="replace")
                by_chance = diagnosis.start_race(log) or (diagnosis.ports_taken(log) and not wanted)
                _stop_record(records.read(self.name) or record)
                self._record = None
                if not by_chance or attempt == _START_ATTEMPTS:
                    raise

    def _launch(self, repository: Path, given: list[str]) -> records.Record:
        """Start the keeper, which starts the server; returns the record it will complete."""
        place = installation()
        key = keys.new_key() if keys.shared_host() else None
        server_id = uuid.uuid4().hex[:12]
        free = ports.free_ports(3)
        log = paths.state_home() / "logs" / f"{self.name}-{server_id}.log"
        log.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        _drop_old_logs(log.parent, self.name)
        ours = {
            "model-repository": str(plain(repository)),
            "backend-directory": str(plain(backend_directory())),
            "cache-directory": str(place.caches),
            "exit-on-error": "false",
            "exit-timeout-secs": str(EXIT_TIMEOUT),
        }
        for port, kind in zip(free, ("http", "grpc", "metrics"), strict=True):
            ours |= {f"{kind}-address": ports.LOOPBACK, f"{kind}-port": str(port)}
        if targets.inside():
            ours["metrics-address"] = "0.0.0.0"  # the stack's Prometheus comes from another container
        # What the student gives wins over what we would give.
        defaults = {k: v for k, v in ours.items() if not options.values(given, k)}
        argv = [str(place.binary), *(f"--{k}={v}" for k, v in defaults.items()), *given]
        argv.append(f"--backend-config=python,shm-region-prefix-name=tl{server_id}")
        closing = keys.arguments(given, key) if key else []
        hidden = dict(enumerate(closing, start=len(argv)))
        argv += keys.arguments(given, keys.STAND_IN) if key else []
        record = records.Record(
            id=server_id,
            name=self.name,
            runtime=self.runtime,
            repository=repository,
            options=tuple(given),
            endpoints=_endpoints({**ours, **{options.option_name(o): o.split("=", 1)[-1] for o in given}}),
            lifetime=self.lifetime,
            log=log,
            created=time.time(),
            extra={"parent": os.getpid(), "argv": argv, "key": key},
        )
        spawn.spawn_keeper(record, argv, exit_timeout=EXIT_TIMEOUT, hidden=hidden)
        return record

    def _wait_live(self, record: records.Record) -> records.Record:
        """Wait until the server answers. It does so after the first load of its models."""
        end = time.monotonic() + self.timeout
        while time.monotonic() < end:
            current = records.read(self.name)
            keeper_gone = spawn.keeper_gone(record.id)
            if current and current.id == record.id:
                if current.ended or (keeper_gone and current.server):
                    raise self._start_error(record, f"The server `{self.name}` ended while it was starting.")
                if current.server and self._answers(current):
                    return current
            if diagnosis.never_live(record.log.read_text(errors="replace")):
                raise self._start_error(record, f"The server `{self.name}` could not be initialized.")
            if keeper_gone:
                raise self._start_error(record, f"The keeper of the server `{self.name}` could not start it.")
            time.sleep(0.02)
        raise self._start_error(
            record, f"The server `{self.name}` did not answer within {self.timeout:.0f} seconds."
        )

    def _answers(self, record: records.Record) -> bool:
        """True when every service of the server that is switched on accepts requests."""

        def off(service: str) -> bool:
            return options.values(self.options, f"allow-{service}")[-1:] in (["false"], ["0"])

        # 403: health is restricted by an option. The server answers, and that is the question here.
        if not off("http") and probe.status(record.endpoints, "/v2/health/live", 1.0) not in (200, 403):
            return False
        for service, address in (("grpc", record.endpoints.grpc), ("metrics", record.endpoints.metrics)):
            if not off(service) and not ports.listening(int(address.rsplit(":", 1)[1])):
                return False
        if diagnosis.ports_taken(record.log.read_text(errors="replace")):
            raise self._start_error(record, f"The server `{self.name}` could not open all its ports.")
        return True

    def _start_error(self, record: records.Record, what: str) -> ServerError:
        log = record.log.read_text(errors="replace")
        finding = diagnosis.first_cause(log)
        missing = missing_libraries()
        if missing:
            finding = diagnosis.missing_library(missing)
        return ServerError(
            what,
            why=finding.cause if finding else "The log does not name a cause that this course knows.",
            fix=finding.fix
            if finding
            else "Read the lines below; the first line that starts with E is decisive.",
            details=diagnosis.excerpt(log, record.log),
        )

    def wait_ready(self, model: str | None = None, timeout: float = 30.0) -> None:
        """Wait until the server is live or, with a name, until that model is ready.

        Raises:
            ServerError: The server ended, the model failed to load (with the decisive line), or time is up.
        """
        until_ready(self, model, timeout, lambda: ended_error(self.record))

    def stop(self, timeout: float = 15.0) -> None:
        """Drain, then kill. No process, stub or shared-memory region stays behind."""
        if self._record is None:
            return
        with records.lock(self.name):
            current = records.read(self.name)
            _stop_record(current if current and current.id == self._record.id else self._record, timeout)


def _endpoints(settings: dict[str, str]) -> Endpoints:
    """The addresses to talk to. A server bound to 0.0.0.0 is reached over loopback."""

    def address(kind: str) -> str:
        host = settings[f"{kind}-address"]
        return f"{ports.LOOPBACK if host == '0.0.0.0' else host}:{settings[f'{kind}-port']}"

    return Endpoints(address("http"), address("grpc"), address("metrics"))


def _stop_record(record: records.Record, timeout: float = 15.0) -> None:
    """End the server of a record, by its keeper or, if that is gone, directly; then clean up."""
    same_boot = record.boot_id in ("", boot_id())
    if same_boot and record.keeper and record.keeper.send(signal.SIGTERM):
        end = time.monotonic() + timeout
        while record.keeper.alive() and time.monotonic() < end:
            time.sleep(0.02)
    if same_boot:
        records.clean(record)
    targets.leave(record.id)
    spawn.collect_keepers()
    records.forget(record)


def _drop_old_logs(folder: Path, name: str, keep: int = 5) -> None:
    """Keep the last few logs of a server name; the rest only fill the disk."""
    old = sorted(folder.glob(f"{name}-????????????.log"), key=lambda p: p.stat().st_mtime)
    for path in old[: -keep or None]:
        path.unlink(missing_ok=True)


def ended_error(record: records.Record) -> ServerError:
    """The error for a server that is not there any more: that it ended, how, why and what to do."""
    log = record.log.read_text(errors="replace") if record.log.exists() else ""
    current = records.read(record.name)
    ended = current.ended if current and current.id == record.id else None
    finding = diagnosis.after_death(log, ended.signal if ended else None)
    return ServerError(
        f"The server `{record.name}` is not running any more: {ended or 'it was stopped'}.",
        why=finding.cause if finding else "",
        fix="Start it again: `lab.start()` in a notebook, or `triton-lab start`.",
        details=diagnosis.excerpt(log, record.log),
    )
