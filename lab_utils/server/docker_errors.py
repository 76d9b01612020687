"""What can go wrong between us and a container engine: each fault by name, with cause and mend."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping
from enum import StrEnum

from lab_utils.server import ports
from lab_utils.server.base import ServerError

# The 24.06 image of the same series was measured with 15.5 GB unpacked.
IMAGE_SIZE = "about 15 GB unpacked, and a download of several GB"
_WITHOUT = "The labs run without an engine, too: `triton-lab lab`, with TRITON_LAB_RUNTIME not set."


class Fault(StrEnum):
    """The kinds of fault. A test provokes each of them on a real engine."""

    NO_SDK = "no docker package"
    NO_ENGINE = "no engine"
    NO_PERMISSION = "no permission"
    ENGINE_ELSEWHERE = "engine on another machine"
    IMAGE_ABSENT = "image absent"
    NO_GPU_RUNTIME = "no GPU runtime"
    NO_GPU_INSIDE = "no GPU inside the container"
    ULIMIT_REFUSED = "resource limit refused"
    PORT_TAKEN = "port taken"
    NAME_TAKEN = "name taken"
    PROGRAM_ABSENT = "no tritonserver in the image"
    EXITED = "container exited"
    OUT_OF_MEMORY = "out of memory"
    ENGINE_STOPPED = "engine stopped"
    REGISTRY = "registry unreachable"
    IMAGE_REFUSED = "image refused by the registry"
    DISK_FULL = "disk full"
    OTHER = "refused by the engine"


class EngineError(ServerError):
    """A fault of the docker runtime. `fault` says which."""

    def __init__(self, fault: Fault, what: str, *, why: str = "", fix: str = "", details: str = "") -> None:
        super().__init__(what, why=why, fix=fix, details=details)
        self.fault = fault


# The engine tells its faults apart only by their text; the words come from docker, containerd and runc.
_WORDS = (
    (
        Fault.NO_GPU_RUNTIME,
        r"could not select device driver|nvidia-container-cli|libnvidia-ml|unresolvable CDI",
    ),
    (Fault.ULIMIT_REFUSED, r"error setting rlimit|setting rlimits"),
    (Fault.PORT_TAKEN, r"port is already allocated|address already in use|ports are not available"),
    (Fault.NAME_TAKEN, r"is already in use by container"),
    (Fault.PROGRAM_ABSENT, r"executable file not found|tritonserver.{0,40}no such file"),
    (Fault.IMAGE_ABSENT, r"No such image"),
)


def text_of(error: Exception) -> str:
    """The engine's own words, without the SDK's frame around them."""
    return str(getattr(error, "explanation", None) or error)


def classify(error: Exception) -> Fault:
    """The kind of fault behind an exception of the docker SDK."""
    text = text_of(error)
    return next((fault for fault, words in _WORDS if re.search(words, text, re.IGNORECASE)), Fault.OTHER)


def no_sdk() -> EngineError:
    """The python package `docker` is missing."""
    return EngineError(
        Fault.NO_SDK,
        "The docker runtime needs the Python package `docker`.",
        why="It is not in this Python environment.",
        fix="Run `make lab`, or `pip install docker`.",
    )


def elsewhere(address: str) -> EngineError:
    """DOCKER_HOST names another machine."""
    return EngineError(
        Fault.ENGINE_ELSEWHERE,
        f"The container engine at {address} is on another machine.",
        why="The server's ports are published on that machine's loopback only, and it does not see this "
        "machine's model repository.",
        fix="Unset DOCKER_HOST to use an engine here, or use the runtime `remote` with a server "
        "that runs there.",
    )


def no_answer(address: str, error: Exception) -> EngineError:
    """The engine cannot be asked: it is not there, or we may not."""
    text = text_of(error)
    if "Permission denied" in text or "PermissionError" in text:
        return EngineError(
            Fault.NO_PERMISSION,
            f"You may not use the container engine at {address}.",
            why="Its socket belongs to root and the group `docker`, and you are not in that group here.",
            fix='Run `sudo usermod -aG docker "$USER"`, log out and in again (membership gives rights like '
            f"root's). {_WITHOUT}",
            details=text,
        )
    absent = address.startswith("unix://") and not os.path.exists(address.removeprefix("unix://"))  # noqa: PTH110
    return EngineError(
        Fault.NO_ENGINE,
        f"No container engine answers at {address}.",
        why="There is no such socket: Docker is not installed, or its service does not run."
        if absent
        else "The socket is there and nobody answers: the Docker service is down.",
        fix=f"Start it (`sudo systemctl start docker`, or open Docker Desktop) or install it. {_WITHOUT}",
        details=text,
    )


def image_absent(image: str, error: Exception | None = None) -> EngineError:
    """The image has not been pulled. It is never pulled by itself: it is too large for a surprise."""
    ngc = image.startswith("nvcr.io/nvidia/tritonserver")
    size = f" It is large: {IMAGE_SIZE}." if ngc else ""
    return EngineError(
        Fault.IMAGE_ABSENT,
        f"The image `{image}` is not on this machine.",
        why=f"It has not been pulled yet, and the course does not download it unasked.{size}",
        fix=f"Run `docker pull {image}` (`triton-lab pull` does the same, and says why when it fails), or "
        "name another image in TRITON_LAB_IMAGE.",
        details=text_of(error) if error else "",
    )


def no_gpu_inside(gpus: str, found: str) -> EngineError:
    """The engine took the GPU request, started the container, and gave it no GPU."""
    return EngineError(
        Fault.NO_GPU_INSIDE,
        f"The container runs, but there is no GPU in it (asked for `--gpus {gpus}`).",
        why="The engine accepted the request and ignored it; Podman does so, and a broken container toolkit.",
        fix="Check `docker run --rm --gpus all IMAGE nvidia-smi -L`, install or mend the NVIDIA Container "
        "Toolkit, or set TRITON_LAB_GPU=none.",
        details=found,
    )


def name_taken(name: str, labels: Mapping[str, str], image: str) -> EngineError:
    """A container that is not ours holds the name."""
    other = labels.get("triton-lab.home")
    return EngineError(
        Fault.NAME_TAKEN,
        f"The name `{name}` belongs to a container that is not ours.",
        why=f"It was started from `{image}`"
        + (f" by this course with another state folder ({other})." if other else " by somebody else."),
        fix=f"Look at it with `docker ps -a --filter name={name}`; if nobody needs it, "
        f"`docker rm -f {name}`. Or start the server under another name.",
    )


def explain(error: Exception, *, image: str, name: str, wanted: Mapping[int, int], gpus: str) -> EngineError:
    """The error for an exception of the SDK while a container was made or started.

    Args:
        error: `docker.errors.APIError` or `ImageNotFound`.
        image: The image.
        name: The container's name.
        wanted: Container port to host port.
        gpus: The GPU request, for the message.
    """
    fault, text = classify(error), text_of(error)
    if fault is Fault.IMAGE_ABSENT:
        return image_absent(image, error)
    if fault is Fault.NAME_TAKEN:
        return name_taken(name, {}, image)
    if fault is Fault.NO_GPU_RUNTIME:
        return EngineError(
            fault,
            f"The engine cannot give a GPU to a container (asked for `--gpus {gpus}`).",
            why="The NVIDIA Container Toolkit is not installed, or the engine does not know it yet.",
            fix="Install it, run `sudo nvidia-ctk runtime configure --runtime=docker` and restart Docker; "
            "or set TRITON_LAB_GPU=none for a server on the CPU.",
            details=text,
        )
    if fault is Fault.PORT_TAKEN:
        named = [p for p in wanted.values() if re.search(rf":{p}\b", text)] or list(wanted.values())
        holders = "; ".join(f"port {p} is held by {ports.holder(p)}" for p in named)
        return EngineError(
            fault,
            f"Port {', '.join(map(str, named))} of this machine is taken.",
            why=f"Two programs cannot listen on one port: {holders}.",
            fix="Leave the port out (a free one is then chosen), choose another, or end that program.",
            details=text,
        )
    if fault is Fault.ULIMIT_REFUSED:
        return EngineError(
            fault,
            "The engine refuses the resource limits (ulimits) that were asked for.",
            why="They are above what the engine itself was given.",
            fix="Set TRITON_LAB_ULIMITS=none.",
            details=text,
        )
    if fault is Fault.PROGRAM_ABSENT:
        return EngineError(
            fault,
            f"The image `{image}` holds no `tritonserver`.",
            why="It is not a Triton image, or its PATH does not name the folder of tritonserver.",
            fix="Name a Triton image in TRITON_LAB_IMAGE, or unset it.",
            details=text,
        )
    return EngineError(
        fault,
        f"The engine did not start the container `{name}`.",
        why=f"It says: {text.strip()}",
        fix="Try the same by hand: `print(server.run_line())` prints the `docker run` command.",
        details=text,
    )


def host_gpus() -> list[str]:
    """The GPUs of this machine as `nvidia-smi -L` lists them; empty when there is none or no driver."""
    try:
        answer = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return gpu_lines(answer.stdout) if answer.returncode == 0 else []


def gpu_lines(text: str) -> list[str]:
    """The lines of `nvidia-smi -L` that name a GPU."""
    return [line.strip() for line in text.splitlines() if re.match(r"\s*GPU \d+:", line)]
