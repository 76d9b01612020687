"""Facts about this machine, gathered once. The checks see nothing else, so a test can invent them.

Gathering never raises: what cannot be found out is None or empty, and the check says so.
"""

from __future__ import annotations

import getpass
import grp
import importlib.metadata
import platform
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import psutil

from lab_utils import paths
from lab_utils.doctor.shared import SharedFacts, collect_shared
from lab_utils.doctor.stack import ComposeFacts, collect_compose, named_holder
from lab_utils.monitoring import tools

T = TypeVar("T")
DEFAULT_PORTS = (8000, 8001, 8002)
"""The ports that Triton's documentation uses: HTTP, gRPC, metrics."""
MIB = 2**20


@dataclass(frozen=True)
class DockerFacts:
    """The container engine.

    Attributes:
        engine: Its version when it answers.
        problem: Why it does not, in words; `mend` is the next step.
        permission: True when this user may not talk to it.
        in_group: This user stands in the group `docker`, which counts from the next login on.
        nvidia_runtime: It can give GPUs to containers.
    """

    engine: str | None = None
    problem: str = ""
    mend: str = ""
    permission: bool = False
    in_group: bool = False
    nvidia_runtime: bool = False


@dataclass(frozen=True)
class GpuFacts:
    """The NVIDIA side. `hardware` is what the PCI bus (or WSL) shows, with or without a driver."""

    hardware: bool = False
    driver: str | None = None
    names: tuple[str, ...] = ()
    error: str = ""
    toolkit: str | None = None


@dataclass(frozen=True)
class Facts:
    """Everything that the checks look at. Sizes in MiB.

    Attributes:
        wanted: Direct dependencies of this project, by name; the value is the pinned version or None.
        installed: Installed version of each wanted package, None when it is missing.
        torch_extra: The same for what the extra `torch` brings.
        server: Path of the tritonserver binary; None with `server_error` when it is not to be had.
        missing_libraries: Shared libraries that server or stub need and the system does not find.
        monitoring: Path of each program of Prometheus and Alertmanager; None when it is nowhere.
        monitoring_fix: How to get them on this system.
        ports: Who holds each of Triton's default ports; None when it is free.
        leftovers: What dead servers of ours left behind, in words.
        broken: Running servers of ours that are no longer whole, in words.
    """

    system: str = "Linux"
    machine: str = "x86_64"
    wsl: bool = False
    glibc: str | None = "2.36"
    python: tuple[int, int, int] = (3, 11, 0)
    executable: str = ""
    wanted: Mapping[str, str | None] = field(default_factory=dict)
    installed: Mapping[str, str | None] = field(default_factory=dict)
    torch: str | None = None
    torch_extra: Mapping[str, str | None] = field(default_factory=dict)
    server: str | None = None
    server_error: str = ""
    missing_libraries: tuple[str, ...] = ()
    monitoring: Mapping[str, str | None] = field(default_factory=dict)
    monitoring_fix: str = ""
    ports: Mapping[int, str | None] = field(default_factory=dict)
    shm_total: int | None = None
    shm_free: int | None = None
    disk_free: int | None = None
    disk_folder: str = ""
    memory_available: int | None = None
    docker: DockerFacts = DockerFacts()
    compose: ComposeFacts = field(default_factory=ComposeFacts)
    gpu: GpuFacts = GpuFacts()
    leftovers: tuple[str, ...] = ()
    broken: tuple[str, ...] = ()
    state_error: str = ""
    shared: SharedFacts = field(default_factory=SharedFacts)


def collect() -> Facts:
    """Look at this machine. Takes about a second; nothing is changed."""
    wanted = wanted_packages()
    server, server_error, missing = _server()
    leftovers, broken, state_error = _servers_of_ours()
    shm = _try(lambda: psutil.disk_usage("/dev/shm"), None)
    folder = paths.project_root()
    return Facts(
        system=platform.system(),
        machine=platform.machine(),
        wsl="microsoft" in platform.release().lower(),
        glibc=platform.libc_ver()[1] if platform.libc_ver()[0] == "glibc" else None,
        python=(sys.version_info.major, sys.version_info.minor, sys.version_info.micro),
        executable=sys.executable,
        wanted=wanted,
        installed={name: installed_version(name) for name in wanted},
        torch=installed_version("torch"),
        torch_extra={name: installed_version(name) for name in wanted_packages("torch")},
        server=server,
        server_error=server_error,
        missing_libraries=missing,
        monitoring={name: _program(name) for name in tools.SETTINGS},
        monitoring_fix=tools.how_to_get(),
        ports={port: _port_holder(port) for port in DEFAULT_PORTS},
        shm_total=shm.total // MIB if shm else None,
        shm_free=shm.free // MIB if shm else None,
        disk_free=_try(lambda: shutil.disk_usage(folder).free // MIB, None),
        disk_folder=str(folder),
        memory_available=_try(lambda: psutil.virtual_memory().available // MIB, None),
        docker=_try(_docker, DockerFacts(problem="The engine could not be asked.", mend="Run docker info.")),
        compose=_try(collect_compose, ComposeFacts()),
        gpu=_gpu(),
        leftovers=leftovers,
        broken=broken,
        state_error=state_error,
        shared=_try(collect_shared, SharedFacts()),
    )


def _try(function: Callable[[], T], otherwise: T) -> T:
    try:
        return function()
    except Exception:
        return otherwise


def _program(name: str) -> str | None:
    try:
        return str(tools.find_tool(name))
    except tools.MonitoringError:
        return None


def installed_version(name: str) -> str | None:
    """The installed version of a package, None when it is missing."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def wanted_packages(extra: str = "") -> dict[str, str | None]:
    """This project's own direct dependencies and the version that constraints.txt gives each.

    Args:
        extra: Those of one extra instead of those that everybody needs.
    """
    pins = read_constraints(paths.project_root() / "constraints.txt")
    try:
        requirements = importlib.metadata.requires("triton-labs") or []
    except importlib.metadata.PackageNotFoundError:
        requirements = []
    of_extra = re.compile(r"""extra == ["']([a-z]+)["']""")
    mine = [one for one in requirements if "".join(of_extra.findall(one)) == extra]
    names = [re.split(r"[^A-Za-z0-9._-]", one)[0].lower() for one in mine]
    return {name: pins.get(name) for name in names}


def read_constraints(path: Path) -> dict[str, str]:
    """Package name to version, from lines of the form `name==version`. Empty without the file."""
    if not path.is_file():
        return {}
    lines = (line.split("#")[0].strip() for line in path.read_text().splitlines())
    return {name.lower(): version for name, _, version in (line.partition("==") for line in lines if line)}


def _server() -> tuple[str | None, str, tuple[str, ...]]:
    """The embedded server's binary, or why there is none; and the libraries it lacks."""
    try:
        from lab_utils.server import install

        binary = str(install.installation().binary)
        return binary, "", tuple(install.missing_libraries())
    except Exception as error:
        return None, str(error), ()


def _servers_of_ours() -> tuple[tuple[str, ...], tuple[str, ...], str]:
    """Leftovers of dead servers, faults of running ones, and why neither could be found out."""
    try:
        from lab_utils import server as triton

        broken = [f"server `{s.name}`: {fault}" for s in triton.running() for fault in triton.stub_faults(s)]
        return tuple(triton.leftovers()), tuple(broken), ""
    except Exception as error:
        return (), (), f"{type(error).__name__}: {error}"


def _port_holder(port: int) -> str | None:
    """None for a free port. Binding is the only sure proof, on all addresses as Triton does."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            s.bind(("0.0.0.0", port))
            return None
        except OSError:
            from lab_utils.server.ports import holder

            return _try(lambda: named_holder(port, holder(port)), "another process")


def _docker() -> DockerFacts:
    """Ask the engine that the docker runtime would use, and take its messages when it does not answer."""
    from lab_utils.server import docker_engine
    from lab_utils.server.docker_errors import EngineError, Fault

    try:
        client = docker_engine.connect(timeout=5)
    except EngineError as error:
        permission = error.fault is Fault.NO_PERMISSION
        return DockerFacts(
            problem=f"{error.what} {error.why}",
            mend=error.fix,
            permission=permission,
            in_group=_try(_in_docker_group, False),
        )
    try:
        info = client.info()
    except docker_engine.api_errors() as error:
        return DockerFacts(problem=f"The engine answers with an error: {error}", mend="Run docker info.")
    finally:
        client.close()
    devices = info.get("DiscoveredDevices") or []
    return DockerFacts(
        engine=str(info.get("ServerVersion", "unknown version")),
        nvidia_runtime="nvidia" in (info.get("Runtimes") or {}) or any("nvidia" in str(d) for d in devices),
    )


def _in_docker_group() -> bool:
    """By the group file, not by this process's groups: those are from the last login."""
    return getpass.getuser() in grp.getgrnam("docker").gr_mem


def _gpu() -> GpuFacts:
    toolkit = shutil.which("nvidia-ctk") or shutil.which("nvidia-container-runtime")
    hardware = _try(_nvidia_hardware, False)
    program = shutil.which("nvidia-smi")
    if program is None:
        return GpuFacts(hardware, error="nvidia-smi is not installed", toolkit=toolkit)
    query = [program, "--query-gpu=driver_version,name", "--format=csv,noheader"]
    try:
        answer = subprocess.run(query, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return GpuFacts(hardware, error=f"nvidia-smi: {error}", toolkit=toolkit)
    rows = [line.split(", ", 1) for line in answer.stdout.splitlines() if ", " in line]
    if answer.returncode or not rows:
        said = (answer.stdout + answer.stderr).strip().splitlines()
        return GpuFacts(hardware, error=f"nvidia-smi: {said[0] if said else 'no answer'}", toolkit=toolkit)
    return GpuFacts(True, rows[0][0], tuple(name for _, name in rows), toolkit=toolkit)


def _nvidia_hardware() -> bool:
    """An NVIDIA display controller (PCI class 03xxxx, vendor 10de), or WSL's door to one."""
    if Path("/dev/dxg").exists():
        return shutil.which("nvidia-smi") is not None
    for device in Path("/sys/bus/pci/devices").glob("*"):
        vendor, kind = (device / "vendor").read_text().strip(), (device / "class").read_text().strip()
        if vendor == "0x10de" and kind.startswith("0x03"):
            return True
    return False
