"""The docker runtime: Triton in a container, through the docker SDK, reached over loopback."""

from __future__ import annotations

import contextlib
import json
import logging
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from lab_utils import paths
from lab_utils.keeper.identity import remove_regions
from lab_utils.server import (
    docker_ends,
    docker_engine,
    docker_errors,
    docker_launch,
    docker_watch,
    options,
    ports,
    records,
)
from lab_utils.server import docker_line as line
from lab_utils.server.base import Endpoints, Lifetime, ServerError
from lab_utils.server.docker_engine import LABEL
from lab_utils.server.docker_settings import DockerSettings
from lab_utils.server.waiting import until_ready
from lab_utils.stack import targets

_log = logging.getLogger("triton-lab")


class DockerServer:
    """One Triton container of ours. See `lab_utils.server.base.Server` for the protocol.

    Args:
        repository: The model repository on this machine.
        name: Name of the server; the container's name holds it and the user's.
        options: Options of tritonserver.
        lifetime: `session` containers stay until they are stopped; `kernel` ones are removed when the
            starting process ends, however it ends.
        wait_for: Models that must be ready before `start` returns.
        timeout: Seconds to wait for the server and for each model.
        image: Image. Default: `TRITON_LAB_IMAGE`, else NGC's.
        gpu: True (all), False, docker's words for `--gpus`, or None: look for one.
        shm_size: Size of `/dev/shm` in docker's notation.
        ports: Host ports for HTTP, gRPC and metrics. Default: free ones.
        writable: Whether the server may write into the model repository.
        settings: All settings. Default: those of the environment.

    Attributes:
        notes: What the engine refused and was left out, in words.
        gpus: The GPUs inside the container, as `nvidia-smi -L` lists them there.
        ended: How the container ended, once it was stopped.
    """

    runtime = "docker"

    def __init__(
        self,
        repository: Path | str,
        *,
        name: str,
        options: Sequence[str] = (),
        lifetime: Lifetime | str = Lifetime.SESSION,
        wait_for: Sequence[str] = (),
        timeout: float = 60.0,
        image: str | None = None,
        gpu: bool | str | None = None,
        shm_size: str | None = None,
        ports: tuple[int, int, int] | None = None,
        writable: bool = False,
        settings: DockerSettings | None = None,
    ) -> None:
        self.name = records.check_name(name)
        self.repository: Path | None = Path(repository).resolve()
        self.options = tuple(options)
        self.lifetime = Lifetime(lifetime)
        self.wait_for = tuple(wait_for)
        self.timeout = timeout
        self.settings = (settings or DockerSettings.from_environment()).override(image, gpu, shm_size)
        self.wanted_ports = ports
        self.writable = writable
        self.headers: dict[str, str] = {}
        self.notes: list[str] = []
        self.gpus: list[str] = []
        self.ended: records.Ended | None = None
        self._spec: line.ContainerSpec | None = None
        self._container: Any = None

    @classmethod
    def attach(cls, container: Any) -> DockerServer:
        """The server in a container of ours, found by its labels."""
        labels = container.labels
        server = cls(
            labels[f"{LABEL}.repository"],
            name=labels[f"{LABEL}.name"],
            options=json.loads(labels[f"{LABEL}.options"]),
            lifetime=labels[f"{LABEL}.lifetime"],
            settings=DockerSettings(),
        )
        server._container = container
        server._spec = line.ContainerSpec.from_json(labels[f"{LABEL}.spec"], labels)
        return server

    @property
    def spec(self) -> line.ContainerSpec:
        """All that decides about the container; before `start`, what would be started."""
        if self._spec is None:
            self._spec = self._wanted()
        return self._spec

    @property
    def endpoints(self) -> Endpoints:
        """The three addresses on loopback."""
        inner = line.container_ports(self.spec.command)
        return Endpoints(*(f"{ports.LOOPBACK}:{self.spec.ports[inner[s]]}" for s in line.CONTAINER_PORTS))

    @property
    def launch(self) -> str:
        """The id of this one start: in the container's label and in the log's name."""
        return self.spec.labels.get(f"{LABEL}.launch", "")

    @property
    def pid(self) -> int | None:
        """Process id of tritonserver as the engine's machine sees it; None when it does not run."""
        return (self._state().get("Pid") or None) if self._container else None

    @property
    def container_id(self) -> str | None:
        """The container's id, for docker's own commands."""
        return self._container.id if self._container else None

    @property
    def log_path(self) -> Path:
        """A file with the log up to now. Docker keeps the log; this is a copy, renewed by each call."""
        path = paths.state_home() / "logs" / f"{self.name}-{self.launch}.log"
        with contextlib.suppress(*docker_engine.api_errors()):
            if self._container:
                path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                path.write_bytes(self._container.logs())
                path.chmod(0o600)
        return path

    def run_line(self, *, labels: bool = False) -> str:
        """The `docker run` command that starts the same container, as one would type it."""
        return line.as_text(self.spec.run_line(labels=labels))

    def alive(self) -> bool:
        """True while the container runs."""
        return bool(self._container and self._state().get("Running"))

    def logs(self, tail: int | None = None) -> str:
        """The log, whole or its last `tail` lines; also after `stop`."""
        path = self.log_path
        lines = path.read_text(errors="replace").splitlines() if path.exists() else []
        return "\n".join(lines[-tail:] if tail else lines)

    def start(self) -> DockerServer:
        """Start the container, or attach to the running one of the same name and settings.

        Raises:
            EngineError: The engine cannot or does not; `fault` says which of the known faults it is.
            ServerError: An option, a path or a setting is wrong, or a model did not load.
        """
        repository = self.repository
        if repository is None or not repository.is_dir():
            raise ServerError(
                f"The model repository {repository} is not a folder.",
                why="tritonserver needs a folder that holds one folder per model.",
                fix="Check the path. `triton-lab models build` makes the example repository.",
            )
        if self._spec is None or self._container is not None or self.ended:
            self._spec = self._wanted()
        client = docker_engine.connect()
        docker_engine.require_image(client, self.settings.image)
        self._spec = replace(self.spec, user=docker_engine.own_user(client, self.settings.image))
        with docker_engine.answering(), records.lock(self.name):
            old = self._same_name(client)
            if old is not None and self._can_reuse(old):
                self._container, self._spec = old._container, old._spec
            else:
                if old is not None:
                    old._end(timeout=15)
                self._start_fresh(client)
        for model in self.wait_for:
            self.wait_ready(model, self.timeout)
        return self

    def _wanted(self) -> line.ContainerSpec:
        """What a start now would make: a new launch id, and free ports where none were asked for."""
        return docker_launch.make_spec(
            self.name,
            Path(str(self.repository)),
            options.check_options(self.options),
            lifetime=self.lifetime,
            settings=self.settings,
            host_ports=self.wanted_ports,
            writable=self.writable,
            owner=docker_watch.this_process(),
        )

    def _same_name(self, client: Any) -> DockerServer | None:
        """Our container of this name. Raises `EngineError` when the name is somebody else's."""
        for container in client.containers.list(
            all=True, filters={"name": f"^/{self.spec.name}$"}, ignore_removed=True
        ):
            if not docker_engine.is_ours(container.labels):
                image = container.attrs.get("Config", {}).get("Image", "an unknown image")
                raise docker_errors.name_taken(self.spec.name, container.labels, image)
            return DockerServer.attach(container)
        return None

    def _can_reuse(self, old: DockerServer) -> bool:
        was, now = old.spec.labels, self.spec.labels
        mine = self.lifetime is Lifetime.SESSION or was[f"{LABEL}.owner"] == now[f"{LABEL}.owner"]
        same = was[f"{LABEL}.asked"] == now[f"{LABEL}.asked"]
        return same and mine and old.alive() and docker_launch.answers(old.spec, old.endpoints)

    def _start_fresh(self, client: Any) -> None:
        try:
            if self.lifetime is Lifetime.KERNEL:
                # Before the container is made, so that there is no moment without a watcher.
                watcher = {f"{LABEL}.watcher": docker_watch.spawn_watcher(self.launch)}
                self._spec = replace(self.spec, labels={**self.spec.labels, **watcher})
            self._create(client)
            self._wait_live()
            self._check_gpu()
            metrics = line.container_ports(self.spec.command)["metrics"]
            targets.join(client, self._container, launch=self.launch, name=self.name, port=metrics)
        except BaseException:  # also a keyboard interrupt: nothing may stay behind
            self._end(timeout=0)
            raise

    def _create(self, client: Any) -> None:
        """Make and start the container."""
        fixed = bool(self.wanted_ports) or any(
            options.values(self.spec.command, f"{service}-port") for service in line.CONTAINER_PORTS
        )
        self._container, self._spec, notes = docker_launch.launch(
            client, self.spec, gpu_optional=self.settings.gpu == "auto", fixed_ports=fixed
        )
        for note in notes:
            self._note(note)

    def _note(self, text: str) -> None:
        self.notes.append(text)
        _log.warning("%s", text)

    def _wait_live(self) -> None:
        """Wait until the server answers. It does so after the first load of its models."""
        end = time.monotonic() + self.timeout
        while time.monotonic() < end:
            state = self._state()
            if not state.get("Running"):
                raise self._exit_error(state)
            if docker_launch.answers(self.spec, self.endpoints):
                return
            time.sleep(0.05)
        raise docker_ends.silent(self.name, self.timeout, self.logs(), self.log_path)

    def _check_gpu(self) -> None:
        """Look for the GPU inside the container: that it started proves nothing."""
        if not self.spec.gpus:
            return
        self.gpus, found = docker_launch.gpus_inside(self._container)
        if not self.gpus:
            error = docker_errors.no_gpu_inside(self.spec.gpus, found)
            if self.settings.gpu != "auto":
                raise error
            self._note(f"{error.what} {error.why} The server runs on the CPU.")

    def wait_ready(self, model: str | None = None, timeout: float = 30.0) -> None:
        """Wait until the server is live or, with a name, until that model is ready.

        Raises:
            ServerError: The container ended, the model failed to load (with its reason), or time is up.
        """
        try:
            until_ready(self, model, timeout, lambda: self._exit_error(self._state()))
        except docker_errors.EngineError:
            raise
        except ServerError as error:
            if self._container is not None and docker_launch.memory_ran_out(self._container):
                raise docker_ends.starved(self.name, model, self.spec.memory, error) from error
            raise

    def stop(self, timeout: float = 15.0) -> None:
        """SIGTERM, on which Triton drains and exits with 0; SIGKILL after `timeout` (0: at once); remove."""
        if self._container is not None:
            with records.lock(self.name):
                self._end(timeout)

    def _end(self, timeout: float) -> None:
        """Stop (0 seconds: kill at once), keep the log, remove the container, end its watcher."""
        if self._container is not None:
            given = options.values(self.spec.command, "exit-timeout-secs")[-1:]
            drain = int(given[0]) if given and given[0].isdigit() else line.EXIT_TIMEOUT
            with contextlib.suppress(*docker_engine.api_errors()):
                # Triton must come to the end of its own time limit before docker kills it.
                self._container.stop(timeout=max(int(timeout), drain + 3) if timeout else 0)
            state = self._state()
            if state:
                code = int(state.get("ExitCode") or 0)
                signalled = code - 128 if code > 128 else None
                reason = "out of memory" if state.get("OOMKilled") else ""
                self.ended = records.Ended(time.time(), None if signalled else code, signalled, reason)
            _ = self.log_path  # the last copy
            with contextlib.suppress(*docker_engine.api_errors()):
                self._container.remove(force=True, v=True)
            self._container = None
        if self._spec is not None:
            targets.leave(self.launch)
            if self._spec.ipc == "host":
                with contextlib.suppress(OSError):  # regions that the container's root made
                    remove_regions(f"tl{self.launch}")
            docker_watch.end_watcher(self.launch, self.spec.labels.get(f"{LABEL}.watcher"))

    def _state(self) -> dict[str, Any]:
        """`State` as the engine reports it now; empty when container or engine is gone."""
        try:
            self._container.reload()
        except docker_engine.api_errors():
            return {}
        return dict(self._container.attrs["State"])

    def _exit_error(self, state: dict[str, Any]) -> ServerError:
        if not state:
            return docker_engine.stopped() or docker_ends.gone(self.name)
        return docker_ends.exited(self.name, state, self.logs(), self.log_path, memory=self.spec.memory)
