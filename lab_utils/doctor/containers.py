"""Checks for the docker runtime and for a GPU. Neither is needed by the embedded server."""

from __future__ import annotations

from lab_utils.doctor.facts import Facts
from lab_utils.doctor.finding import Check, Finding, passed, warned

OLDEST_DRIVER = 525
"""CUDA 12 (the 24.10 container holds 12.6) needs a driver of the 525 branch or newer."""
_OPTIONAL = "Not needed for the embedded server."


def check_docker(facts: Facts) -> Finding:
    """A container engine that answers this user."""
    docker = facts.docker
    if docker.engine:
        return passed("docker", f"engine {docker.engine} answers")
    mend = docker.mend or "Install Docker if you want the docker runtime."
    if docker.permission and docker.in_group:
        mend = (
            "You are in the group docker since your last login: log out and in again, or run newgrp docker."
        )
    return warned("docker", docker.problem or "No container engine was found.", mend)


def check_compose(facts: Facts) -> Finding:
    """Docker Compose, for `triton-lab up` and nothing else."""
    if facts.compose.found:
        return passed("compose", facts.compose.found)
    if not facts.docker.engine:
        return passed("compose", "not needed without a container engine")
    return warned(
        "compose",
        facts.compose.problem or "No Docker Compose was found.",
        f"{facts.compose.mend or 'Install it.'} Only `triton-lab up` needs it; the labs do not.",
    )


def check_gpu(facts: Facts) -> Finding:
    """A GPU with a driver that works. No GPU at all is fine."""
    gpu = facts.gpu
    if gpu.driver:
        names = ", ".join(gpu.names)
        if int(gpu.driver.split(".")[0]) < OLDEST_DRIVER:
            return warned(
                "gpu",
                f"{names}, driver {gpu.driver}: too old for the CUDA 12 of the 24.10 container",
                f"Install a driver of the {OLDEST_DRIVER} branch or newer. {_OPTIONAL}",
            )
        return passed("gpu", f"{names}, driver {gpu.driver}")
    if gpu.hardware:
        return warned(
            "gpu",
            f"there is an NVIDIA GPU, but its driver does not answer: {gpu.error}",
            f"Install the driver (Ubuntu: sudo ubuntu-drivers install), then reboot. {_OPTIONAL}",
        )
    return passed("gpu", "no NVIDIA GPU: the labs run on the CPU")


def check_toolkit(facts: Facts) -> Finding:
    """What gives containers the GPU. Asked for only where there are both."""
    if not facts.gpu.driver:
        return passed("container-toolkit", "not needed without a GPU")
    if facts.docker.engine and facts.docker.nvidia_runtime:
        return passed("container-toolkit", "the engine can give GPUs to containers")
    if facts.gpu.toolkit and facts.docker.engine:
        return warned(
            "container-toolkit",
            f"installed ({facts.gpu.toolkit}), but the engine does not know it: docker run --gpus will fail",
            "Run sudo nvidia-ctk runtime configure --runtime=docker && sudo systemctl restart docker",
        )
    if facts.gpu.toolkit:
        return passed("container-toolkit", f"installed ({facts.gpu.toolkit}); no engine to use it")
    return warned(
        "container-toolkit",
        "there is a GPU, but not the NVIDIA Container Toolkit: containers cannot use the GPU",
        "Install nvidia-container-toolkit (NVIDIA's installation guide names your system's repository), "
        f"then sudo nvidia-ctk runtime configure --runtime=docker. {_OPTIONAL}",
    )


CONTAINER_CHECKS: dict[str, Check] = {
    "docker": check_docker,
    "compose": check_compose,
    "gpu": check_gpu,
    "container-toolkit": check_toolkit,
}
