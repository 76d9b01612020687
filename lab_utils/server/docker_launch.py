"""Make, start and probe one container."""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx

from lab_utils import web
from lab_utils.server import docker_errors as errors
from lab_utils.server import options, ports, probe
from lab_utils.server.base import Endpoints, Lifetime
from lab_utils.server.docker_engine import LABEL, api_errors, container_name, own_labels
from lab_utils.server.docker_line import (
    MODELS,
    ContainerSpec,
    Mount,
    command,
    container_ports,
)
from lab_utils.server.docker_settings import DockerSettings

_PORT_ATTEMPTS = 3


def make_spec(
    name: str,
    repository: Path,
    given: list[str],
    *,
    lifetime: Lifetime,
    settings: DockerSettings,
    host_ports: tuple[int, int, int] | None,
    writable: bool,
    owner: str,
) -> ContainerSpec:
    """The container that is wanted, with a new launch id, and free ports where none are asked for.

    Args:
        name: The server's name.
        repository: The model repository on this machine.
        given: Options of tritonserver, each as `--name=value`.
        lifetime: `session` or `kernel`.
        settings: The settings.
        host_ports: Ports of this machine for HTTP, gRPC and metrics; None for free ones.
        writable: Whether the container may write into the repository.
        owner: The starting process, `pid:start time`.
    """
    inner = container_ports(given)
    # A port that is given as an option is the port on this machine too, as with the embedded server.
    fixed = {service for service in inner if options.values(given, f"{service}-port")}
    free = dict(zip(inner, host_ports or ports.free_ports(len(inner)), strict=True))
    chosen = {inner[s]: inner[s] if s in fixed and not host_ports else free[s] for s in inner}
    gpus = settings.gpu
    if gpus == "auto":
        gpus = "all" if errors.host_gpus() else ""
    asked = (settings, host_ports, writable, given, str(repository), lifetime)
    launch_id = uuid.uuid4().hex[:12]
    words = command(given)
    if settings.ipc == "host":
        # The stubs' regions are then on this machine: a prefix of their own, so that they can be removed.
        words += (f"--backend-config=python,shm-region-prefix-name=tl{launch_id}",)
    labels = {
        **own_labels(),
        f"{LABEL}.name": name,
        f"{LABEL}.launch": launch_id,
        f"{LABEL}.lifetime": lifetime.value,
        f"{LABEL}.owner": owner,
        f"{LABEL}.repository": str(repository),
        f"{LABEL}.options": json.dumps(given),
        f"{LABEL}.asked": hashlib.sha256(repr(asked).encode()).hexdigest()[:16],
    }
    return ContainerSpec(
        image=settings.image,
        name=container_name(name),
        command=words,
        ports=chosen,
        mounts=(Mount(str(repository), MODELS, writable), *settings.mounts),
        labels=labels,
        shm_size=settings.shm_size,
        ipc=settings.ipc,
        memory=settings.memory,
        ulimits=settings.ulimits,
        gpus="" if gpus == "none" else gpus,
    )


def launch(
    client: Any, wanted: ContainerSpec, *, gpu_optional: bool, fixed_ports: bool
) -> tuple[Any, ContainerSpec, list[str]]:
    """Make and start a container; leave out what is optional and the engine refuses.

    Args:
        client: The engine.
        wanted: The container.
        gpu_optional: Nobody asked for a GPU by name: without one, go on with the CPU.
        fixed_ports: The host ports were asked for: when one is taken, do not choose another.

    Returns:
        The running container, its spec (its own copy stands in a label), and what was left out, in words.

    Raises:
        EngineError: The engine refuses; nothing stays behind.
    """
    import docker

    notes: list[str] = []
    port_attempts = 1 if fixed_ports else _PORT_ATTEMPTS
    while True:
        spec = replace(wanted, labels={**wanted.labels, f"{LABEL}.spec": wanted.to_json()})
        container = None
        try:
            container = client.containers.create(**spec.sdk_arguments())
            container.start()
            return container, spec, notes
        except (docker.errors.APIError, docker.errors.ImageNotFound) as error:
            if container is not None:
                container.remove(force=True, v=True)
            fault, reason = errors.classify(error), errors.text_of(error)
            if fault is errors.Fault.ULIMIT_REFUSED and wanted.ulimits:
                limits = ", ".join(f"{name}={value}" for name, value in wanted.ulimits)
                notes.append(f"The engine refuses the limits {limits}; the container runs without them.")
                wanted = replace(wanted, ulimits=())
                continue
            if fault is errors.Fault.NO_GPU_RUNTIME and wanted.gpus and gpu_optional:
                notes.append(
                    "This machine has a GPU, but the engine cannot hand it to a container (is the NVIDIA "
                    f"Container Toolkit missing?); the server runs on the CPU. The engine says: {reason}"
                )
                wanted = replace(wanted, gpus="")
                continue
            port_attempts -= fault is errors.Fault.PORT_TAKEN
            if fault is errors.Fault.PORT_TAKEN and port_attempts:
                free = ports.free_ports(len(wanted.ports))
                wanted = replace(wanted, ports=dict(zip(wanted.ports, free, strict=True)))
                continue
            raise errors.explain(
                error, image=spec.image, name=spec.name, wanted=spec.ports, gpus=spec.gpus
            ) from error
        except BaseException:  # a keyboard interrupt between making and starting
            if container is not None:
                container.remove(force=True, v=True)
            raise


def gpus_inside(container: Any) -> tuple[list[str], str]:
    """The GPUs that `nvidia-smi -L` finds in a running container, and all that it printed."""
    try:
        answer = container.exec_run(["nvidia-smi", "-L"])
    except api_errors() as error:
        return [], errors.text_of(error)
    text = answer.output.decode(errors="replace")
    return (errors.gpu_lines(text) if answer.exit_code == 0 else []), text


def memory_ran_out(container: Any) -> bool:
    """True when the kernel killed a process of a running container because its memory limit was reached."""
    # cgroup version 2, then version 1: each counts, as `oom_kill N`.
    paths = ("/sys/fs/cgroup/memory.events", "/sys/fs/cgroup/memory/memory.oom_control")
    for path in paths:
        try:
            answer = container.exec_run(["cat", path])
        except api_errors():  # it has ended meanwhile
            return False
        if found := re.search(rb"^oom_kill (\d+)", answer.output, re.MULTILINE):
            return int(found[1]) > 0
    return False


def metrics_answer(endpoints: Endpoints) -> bool:
    """True when Triton's metrics can be read."""
    try:
        return web.get(endpoints.metrics_url, 1.0).status_code == 200
    except httpx.HTTPError:
        return False


def grpc_answers(endpoints: Endpoints) -> bool:
    """True when the server says over gRPC that it is live."""
    from tritonclient.grpc import InferenceServerClient
    from tritonclient.utils import InferenceServerException

    client = InferenceServerClient(endpoints.grpc)
    try:
        return bool(client.is_server_live(client_timeout=1.0))
    except InferenceServerException:
        return False
    finally:
        client.close()


def answers(spec: ContainerSpec, endpoints: Endpoints) -> bool:
    """True when every service that is switched on answers.

    A connection alone says nothing: docker's proxy accepts it before Triton listens.
    """

    def off(service: str) -> bool:
        return options.values(spec.command, f"allow-{service}")[-1:] in (["false"], ["0"])

    http, metrics = not off("http"), not off("metrics")
    if http and probe.status(endpoints, "/v2/health/live", 1.0) not in (200, 403):
        return False
    # Triton opens gRPC first, then HTTP, then metrics, so this last one tells of the others too.
    if metrics and not metrics_answer(endpoints):
        return False
    return http or metrics or grpc_answers(endpoints)
