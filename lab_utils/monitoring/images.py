"""Prometheus and Alertmanager out of their container images: copied into the cache, started like any program.

The images hold programs without further files, so nothing has to run in a container: ports, logs and ends
are those of every other Prometheus of the course. Useful where there is an engine but no apt.
"""

from __future__ import annotations

import os
import shutil
import tarfile
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, BinaryIO, cast

from filelock import FileLock

from lab_utils.monitoring.tools import IMAGE_SETTINGS, MonitoringError
from lab_utils.server.docker_engine import api_errors, connect

IMAGES = {
    "prom/prometheus:v2.53.3": ("prometheus", "promtool"),
    "prom/alertmanager:v0.27.0": ("alertmanager", "amtool"),
}
"""The image that is used without a setting, and its programs, which lie in `/bin`."""


def fetch_from_images(root: Path) -> None:
    """Copy the programs out of the two images into `root/usr/bin`. The images must have been pulled.

    Raises:
        EngineError: There is no container engine, or it may not be used.
        MonitoringError: An image is not there, or has no such programs.
    """
    client = connect()
    root.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(f"{root}.lock"), tempfile.TemporaryDirectory(dir=root.parent, prefix=".new-") as name:
            unpacked = Path(name) / "root"
            (unpacked / "usr" / "bin").mkdir(parents=True)
            for usual, programs in IMAGES.items():
                image = os.environ.get(IMAGE_SETTINGS[programs[0]]) or usual
                _copy_out(client, image, programs, unpacked / "usr" / "bin")
            shutil.rmtree(root, ignore_errors=True)
            unpacked.rename(root)
    finally:
        client.close()


def _copy_out(client: Any, image: str, programs: Iterable[str], folder: Path) -> None:
    import docker

    setting = IMAGE_SETTINGS[next(iter(programs))]
    try:
        container = client.containers.create(image, command=["none"], network_mode="none")
    except docker.errors.ImageNotFound as error:
        raise MonitoringError(
            f"The image `{image}` is not on this machine.",
            why="It has not been pulled yet, and the course does not download it unasked.",
            fix=f"Run `docker pull {image}`, or name another image in {setting}.",
        ) from error
    except api_errors() as error:
        raise MonitoringError(
            f"No container can be made of the image `{image}`.",
            why="The engine's words stand below.",
            fix=f"Mend what they name, or name another image in {setting}.",
            details=str(error),
        ) from error
    try:
        for program in programs:
            _copy_one(container, image, program, folder)
    finally:
        container.remove(force=True)


def _copy_one(container: Any, image: str, program: str, folder: Path) -> None:
    try:
        chunks, _ = container.get_archive(f"/bin/{program}")
        with tempfile.TemporaryFile() as spool:
            for chunk in chunks:
                spool.write(chunk)
            spool.seek(0)
            with tarfile.open(fileobj=cast(BinaryIO, spool)) as archive:
                content = archive.extractfile(archive.getmembers()[0])
                if content is None:
                    raise OSError(f"/bin/{program} is no file")
                with (folder / program).open("wb") as file:
                    shutil.copyfileobj(content, file)
    except _faults() as error:
        raise MonitoringError(
            f"The image `{image}` has no program /bin/{program}.",
            why="The official images of Prometheus and Alertmanager have it.",
            fix=f"Name such an image in {IMAGE_SETTINGS[program]}.",
            details=str(error),
        ) from error
    (folder / program).chmod(0o755)


def _faults() -> tuple[type[Exception], ...]:
    return (*api_errors(), tarfile.TarError, KeyError)
