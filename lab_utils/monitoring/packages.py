"""Debian's packages of Prometheus and Alertmanager without root: fetched and unpacked, not installed.

Installing them would also start two system services on their usual ports. Unpacking does not. One thing
then is in the way: Debian's Alertmanager reads the templates of its messages from
`/usr/share/prometheus/alertmanager`, a path that is written into the program (the upstream project's
build carries the templates inside). `relocated` makes a copy of the program in which this one path is
relative, so that it finds the templates of the unpacked package from a working directory of our choice.
No namespace, no bind mount and no root are needed for that.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from filelock import FileLock

from lab_utils.monitoring.tools import MonitoringError, how_to_get
from lab_utils.paths import cache_home

PACKAGES = ("prometheus", "prometheus-alertmanager")
_TEMPLATES = "usr/share/prometheus/alertmanager"
_WRITTEN = f"/{_TEMPLATES}".encode()
_RELATIVE = f"{_TEMPLATES}/".encode()  # the same length: a Go program keeps the length of each text apart
_TIMEOUT = 300.0


def fetch_into(root: Path) -> None:
    """Fetch the packages with apt and unpack them into `root`.

    Raises:
        MonitoringError: There is no apt or dpkg, or one of them failed (with its words).
    """
    if not (shutil.which("apt-get") and shutil.which("dpkg")):
        raise MonitoringError(
            "Debian's packages cannot be fetched here.",
            why="This system has no apt-get or no dpkg.",
            fix=how_to_get(),
        )
    root.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{root}.lock"), tempfile.TemporaryDirectory(dir=root.parent, prefix=".new-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # apt downloads as a user of its own
        _run(["apt-get", "download", "--quiet=2", *PACKAGES], folder)
        files = sorted(folder.glob("*.deb"))
        unpacked = folder / "root"
        for file in files:
            _run(["dpkg", "-x", str(file), str(unpacked)], folder)
        if len(files) != len(PACKAGES):
            raise MonitoringError(
                f"apt-get fetched {len(files)} of {len(PACKAGES)} packages.", fix=how_to_get()
            )
        shutil.rmtree(root, ignore_errors=True)
        unpacked.rename(root)


def _run(command: list[str], folder: Path) -> None:
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "LC_ALL": "C"},
        capture_output=True,
        text=True,
        timeout=_TIMEOUT,
        check=False,
    )
    if done.returncode:
        raise MonitoringError(
            f"`{' '.join(command[:2])}` could not get Prometheus and Alertmanager.",
            why="There is no network, or apt does not know the packages yet.",
            fix="As root run `apt-get update`, then try again. Or download both programs from "
            "https://prometheus.io/download and set TRITON_LAB_PROMETHEUS and TRITON_LAB_ALERTMANAGER to "
            "their folders.",
            details=(done.stderr or done.stdout).strip()[-2000:],
        )


def relocated(alertmanager: Path) -> tuple[Path, Path | None]:
    """The Alertmanager to start and the folder to start it in.

    Args:
        alertmanager: The program that was found.

    Returns:
        The program itself and None (any folder will do) where it finds its templates; for one out of an
        unpacked package, the copy with the relative path and the root of that package.
    """
    root = alertmanager.resolve().parent.parent.parent  # above usr/bin
    installed, unpacked = ((place / _TEMPLATES / "default.tmpl").is_file() for place in (Path("/"), root))
    if installed or not unpacked:
        return alertmanager, None
    content = alertmanager.read_bytes()
    if _WRITTEN not in content:
        return alertmanager, None
    digest = hashlib.sha256(content).hexdigest()[:16]
    copy = cache_home() / "alertmanager" / digest
    if not copy.is_file():
        copy.parent.mkdir(parents=True, exist_ok=True)
        # One step at the end: another process never starts half a program.
        temporary = copy.with_name(f"{copy.name}.{os.getpid()}.tmp")
        temporary.write_bytes(content.replace(_WRITTEN, _RELATIVE))
        temporary.chmod(0o755)
        temporary.replace(copy)
    return copy, root
