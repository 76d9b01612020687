"""A real container engine of our own for the tests, and a Triton image made in a tenth of a second.

dockerd runs with its own folders, socket and cgroup, in a network and a mount namespace of its own,
so that it neither sees nor changes an engine or a firewall of this machine. A test joins that network
namespace while it runs: published ports are on *its* loopback.
"""

from __future__ import annotations

import contextlib
import ctypes
import io
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

IMAGE = "triton-lab-test:24.10"
_PR_SET_PDEATHSIG = 1
_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


def _die_with_parent() -> None:
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


class CannotRun(Exception):
    """No engine can run here; the text says why."""


class RealEngine:
    """One dockerd. `folder` must have a short path: a socket's path is limited to 108 characters."""

    def __init__(self, folder: Path, *, path: str = "") -> None:
        self.folder = folder
        self.socket = folder / "docker.sock"
        self.cgroup = f"triton-lab-test-{os.getpid()}-{folder.name}"
        self.path = path
        self.process: subprocess.Popen[bytes] | None = None
        self._namespace = 0

    @property
    def address(self) -> str:
        return f"unix://{self.socket}"

    @property
    def log(self) -> Path:
        return self.folder / "dockerd.log"

    def start(self) -> None:
        for program in ("dockerd", "containerd", "runc", "iptables", "unshare", "ip"):
            if shutil.which(program) is None:
                raise CannotRun(f"`{program}` is not installed")
        if os.geteuid() != 0:
            raise CannotRun("starting a container engine needs root")
        self.folder.mkdir(parents=True, exist_ok=True)
        command = [
            "dockerd", "--storage-driver", "overlay2", "--data-root", str(self.folder / "data"),
            "--exec-root", str(self.folder / "exec"), "--pidfile", str(self.folder / "pid"),
            "-H", self.address, "--cgroup-parent", f"/{self.cgroup}", "--shutdown-timeout", "3",
        ]  # fmt: skip
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                ["unshare", "--net", "--mount", "sh", "-c", 'ip link set lo up && exec "$@"', "sh", *command],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                env={
                    **os.environ,
                    "PATH": f"{self.path}:{os.environ['PATH']}" if self.path else os.environ["PATH"],
                },
                preexec_fn=_die_with_parent,
            )
        import docker

        end = time.monotonic() + 30
        while True:
            try:
                client = docker.DockerClient(base_url=self.address, timeout=5)
                client.ping()
                client.close()
                self._namespace = Path(f"/proc/{self.process.pid}/ns/net").stat().st_ino
                return
            except (docker.errors.DockerException, OSError):
                if self.process.poll() is not None or time.monotonic() > end:
                    last = self.log.read_text(errors="replace").strip().splitlines()[-1:]
                    self.stop()
                    raise CannotRun(f"dockerd does not start here: {''.join(last)}") from None
                time.sleep(0.1)

    @contextlib.contextmanager
    def network(self) -> Iterator[None]:
        """Be in dockerd's network with this thread, and with all processes and threads that it starts."""
        assert self.process is not None
        home = os.open("/proc/self/ns/net", os.O_RDONLY)
        try:
            _join(f"/proc/{self.process.pid}/ns/net")
            yield
        finally:
            _join(f"/proc/self/fd/{home}")
            os.close(home)

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        for root in Path("/sys/fs/cgroup").glob(f"*/{self.cgroup}"):
            _remove_cgroup(root)
        if (root := Path("/sys/fs/cgroup") / self.cgroup).is_dir():
            _remove_cgroup(root)

    def remains(self) -> list[str]:
        """What this engine left on the machine, in words. Empty when it left nothing."""
        mark = str(self.folder)
        left = [
            f"mount {line}" for line in Path("/proc/self/mountinfo").read_text().splitlines() if mark in line
        ]
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and int(entry.name) != os.getpid():
                try:
                    words = (entry / "cmdline").read_bytes().split(b"\0")
                    inside = (entry / "ns" / "net").stat().st_ino == self._namespace
                except OSError:
                    continue
                if inside or any(
                    word.decode(errors="replace").startswith((mark, f"unix://{mark}")) for word in words
                ):
                    left.append(f"process {entry.name}: {b' '.join(words).decode(errors='replace')}")
        left += [f"cgroup {p}" for p in Path("/sys/fs/cgroup").glob(f"**/{self.cgroup}")]
        return left


def _join(namespace: str) -> None:
    handle = os.open(namespace, os.O_RDONLY)
    try:
        if _libc.setns(handle, _CLONE_NEWNET) != 0:
            number = ctypes.get_errno()
            raise CannotRun(f"cannot join a network namespace: {os.strerror(number)}")
    finally:
        os.close(handle)


def _remove_cgroup(root: Path) -> None:
    for folder in sorted((p for p in root.rglob("*") if p.is_dir()), reverse=True):
        folder.rmdir()
    root.rmdir()


def import_image(client: object, environment: dict[str, str], tag: str = IMAGE) -> None:
    """An image with empty folders only: everything in it is mounted when a container starts.

    Args:
        client: `docker.DockerClient`.
        environment: Variables of the image, as NGC's image has them.
        tag: Its name.
    """
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name in ("usr", "etc", "tmp", "proc", "sys", "dev", "models", "opt/tritonserver"):
            folder = tarfile.TarInfo(name)
            folder.type, folder.mode = tarfile.DIRTYPE, 0o1777 if name == "tmp" else 0o755
            tar.addfile(folder)
        for name in ("bin", "lib", "lib64", "sbin"):
            link = tarfile.TarInfo(name)
            link.type, link.linkname = tarfile.SYMTYPE, f"usr/{name}"
            tar.addfile(link)
    repository, _, version = tag.partition(":")
    changes = [f"ENV {name}={value}" for name, value in environment.items()]
    client.api.import_image_from_data(  # type: ignore[attr-defined]
        buffer.getvalue(), repository=repository, tag=version, changes=changes
    )


def triton_mounts(cache: Path) -> tuple[dict[str, str], str]:
    """The environment and the mounts that turn the empty image into a Triton.

    Args:
        cache: A folder of these tests, for a copy of the backends.

    Returns:
        Variables of the image, and the value of TRITON_LAB_MOUNTS.
    """
    from lab_utils.server.install import backend_directory, installation

    place = installation()
    home = "/opt/tritonserver"
    # A copy: a server elsewhere that is killed at its start can change the rights of the shared files.
    backends = Path(shutil.copytree(backend_directory(), cache / "backends"))
    (backends / "python" / place.stub.name).chmod(0o755)
    mounts = {
        "/usr": "/usr",
        sys.prefix: sys.prefix,
        str(place.binary.parent): f"{home}/bin",
        str(backends): f"{home}/backends",
        str(place.caches): f"{home}/caches",
    }
    if not sys.base_prefix.startswith("/usr"):
        mounts[sys.base_prefix] = sys.base_prefix
    environment = {
        "PATH": f"{sys.prefix}/bin:{home}/bin:/usr/local/bin:/usr/bin:/bin",
        "LD_LIBRARY_PATH": installation().environment()["LD_LIBRARY_PATH"],
    }
    return environment, ",".join(f"{host}:{inner}" for host, inner in mounts.items())
