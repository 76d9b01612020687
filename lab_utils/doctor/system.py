"""Checks of the machine: operating system, glibc, ports, memory, disk, shared memory, our own leftovers."""

from __future__ import annotations

from lab_utils.doctor.facts import Facts
from lab_utils.doctor.finding import Check, Finding, failed, passed, warned
from lab_utils.doctor.shared import check_shared_host
from lab_utils.doctor.stack import STACK

SHM_NEEDED = 32
"""MiB. One batch of 8192 digits is 24.5 MiB, its answer 0.3 MiB; each model adds 1 MiB of its own."""
SHM_COMFORTABLE = 256
"""MiB. Several such batches in flight, as in the exercises with shared memory."""
DISK_NEEDED = 1000
"""MiB, after installation: models, logs, and the NGC image is not counted."""
MEMORY_NEEDED = 2000
"""MiB. Triton with the digits model takes 50, each PyTorch instance 234, JupyterLab and a kernel 600."""
MEMORY_LAB3 = 4000
"""MiB. Lab 3 took 3550 at its peak, counted as PSS: ten PyTorch instances and a kernel; then JupyterLab."""


def check_system(facts: Facts) -> Finding:
    """Linux on x86-64 (tested) or aarch64 (the server is built for it)."""
    if facts.system != "Linux":
        return failed(
            "system",
            f"{facts.system} on {facts.machine}: the server that these labs use is built for Linux only",
            "Work inside WSL (Windows) or a Linux virtual machine or container (macOS).",
        )
    if facts.machine in ("x86_64", "amd64"):
        return passed("system", f"Linux{' (WSL)' if facts.wsl else ''} on {facts.machine}")
    if facts.machine in ("aarch64", "arm64"):
        return warned(
            "system",
            f"Linux on {facts.machine}: the server is built for it, but the labs are tested on x86-64 only",
            "Go on; if something fails, try the docker runtime.",
        )
    return failed(
        "system",
        f"Linux on {facts.machine}: the server is built for x86-64 and aarch64 only",
        "Use another machine, or TRITON_LAB_RUNTIME=remote with a Triton that somebody else runs.",
    )


def check_glibc(facts: Facts) -> Finding:
    """The wheel is a manylinux_2_35 one."""
    if facts.glibc is None:
        return failed(
            "glibc",
            "this Linux has no glibc (perhaps Alpine with musl), and the server is linked against it",
            "Use Debian 12 or Ubuntu 22.04 or newer; a container of one of these will do.",
        )
    if tuple(int(part) for part in facts.glibc.split(".")[:2]) < (2, 35):
        return failed(
            "glibc",
            f"glibc {facts.glibc} is older than 2.35, which the server is linked against",
            "Use Debian 12 or Ubuntu 22.04 or newer; a container of one of these will do.",
        )
    return passed("glibc", f"glibc {facts.glibc}")


def check_ports(facts: Facts) -> Finding:
    """Triton's default ports. Ours take free ones, so this is for the docker commands that one types."""
    taken = {port: who for port, who in facts.ports.items() if who}
    if not taken:
        return passed("ports", f"{', '.join(map(str, facts.ports))} are free")
    held = "; ".join(f"port {port} is held by {who}" for port, who in taken.items())
    if set(taken.values()) == {STACK}:
        return passed("ports", held)
    return warned(
        "ports",
        held,
        "Servers of the labs choose free ports by themselves. Only for commands with Triton's default ports: "
        "end that program, or give other ports (docker: -p 9000:8000; tritonserver: --http-port=9000).",
    )


def check_shm(facts: Facts) -> Finding:
    """Python-based models and shared-memory requests live in /dev/shm."""
    if facts.shm_total is None or facts.shm_free is None:
        return failed(
            "shm",
            "/dev/shm is not there, and Triton keeps the data of Python-based models in it",
            "Mount it: mount -t tmpfs -o size=1g tmpfs /dev/shm (as root).",
        )
    size = f"/dev/shm has {facts.shm_free} of {facts.shm_total} MiB free"
    if facts.shm_free < SHM_NEEDED:
        return failed(
            "shm",
            f"{size}; a batch of 8192 digits with its model needs about {SHM_NEEDED}",
            "Run `triton-lab stop --all`; enlarge it: mount -o remount,size=1g /dev/shm (as root), "
            "or in a container: docker run --shm-size=1g.",
        )
    if facts.shm_free < SHM_COMFORTABLE:
        return warned(
            "shm",
            f"{size}; large batches need up to {SHM_COMFORTABLE} (Docker gives a container only 64)",
            "In a container: docker run --shm-size=1g. Else: mount -o remount,size=1g /dev/shm (as root).",
        )
    return passed("shm", size)


def check_disk(facts: Facts) -> Finding:
    """Room for models and logs."""
    if facts.disk_free is None:
        return warned("disk", "free disk space could not be found out", "Run df -h in the project's folder.")
    found = f"{facts.disk_free} MiB free in {facts.disk_folder}"
    if facts.disk_free < DISK_NEEDED:
        return failed(
            "disk",
            f"{found}; the labs need about {DISK_NEEDED}",
            "Free some space, or move TRITON_LAB_WORK, TRITON_LAB_CACHE and TRITON_LAB_HOME to another disk.",
        )
    return passed("disk", found)


def check_memory(facts: Facts) -> Finding:
    """Room for server, JupyterLab and a kernel."""
    if facts.memory_available is None:
        return warned("memory", "available memory could not be found out", "Run free -h.")
    found = f"{facts.memory_available} MiB available"
    if facts.memory_available < MEMORY_NEEDED // 4:
        return failed(
            "memory", f"{found}; too little for server and notebook", "Close other programs, or add memory."
        )
    if facts.memory_available < MEMORY_NEEDED:
        return warned(
            "memory",
            f"{found}; server, JupyterLab and PyTorch together take up to {MEMORY_NEEDED}",
            "Close other programs. WSL: raise memory= in .wslconfig.",
        )
    if facts.memory_available < MEMORY_LAB3:
        return warned(
            "memory",
            f"{found}: enough for Labs 1 and 2; Lab 3 with its Llamas takes up to {MEMORY_LAB3}",
            "Close other programs before Lab 3. WSL: raise memory= in .wslconfig.",
        )
    return passed("memory", found)


def check_servers(facts: Facts) -> Finding:
    """Stale records, processes and shared-memory regions of our own servers; servers that are half dead."""
    if facts.state_error:
        return warned(
            "servers",
            f"our servers could not be looked at: {facts.state_error}",
            "Run `triton-lab stop --all`.",
        )
    faults = [*facts.broken, *facts.leftovers]
    if faults:
        return warned(
            "servers", "; ".join(faults), "Run `triton-lab stop --all`; it ends only our own servers."
        )
    return passed("servers", "no stale server, process or shared-memory region of ours")


SYSTEM_CHECKS: dict[str, Check] = {
    "system": check_system,
    "glibc": check_glibc,
    "ports": check_ports,
    "shm": check_shm,
    "disk": check_disk,
    "memory": check_memory,
    "servers": check_servers,
    "shared-host": check_shared_host,
}
