"""Build the course's images as an author does, from a Debian and wheels of our own: no registry is reached.

The base comes from mmdebstrap, the wheels from pip's own configuration. Both go into the engine as images,
and reach the builds as the build arguments BASE and WHEELS: nothing of this machine is in a Dockerfile or a
layer.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from lab_utils import paths
from tests.docker.real_engine import RealEngine

ROOT = paths.project_root()
VARIABLE, KEEP = "TRITON_LAB_IMAGES", "TRITON_LAB_IMAGES_KEEP"
"""`all` runs these tests; the second names a folder that keeps base and wheels for the next run."""
BASE, WHEELS = "triton-lab-test-base:bookworm", "triton-lab-test-wheels:latest"
JUPYTER, CPU, NGC_LIKE, GPU = (
    f"triton-lab-test/{name}:24.10" for name in ("jupyter", "triton-cpu", "triton-plain", "triton")
)
_PINS_HUB, _PINS_NGC = (f"docker/image/{name}-constraints.txt" for name in ("hub", "ngc"))
PACKAGES = "python3-venv,libpython3.11,ca-certificates,curl,tini,prometheus,prometheus-alertmanager"
whole_images = pytest.mark.skipif(
    os.environ.get(VARIABLE) != "all",
    reason=f"for authors: the whole images, 15 to 30 minutes and 12 GB of disk; {VARIABLE}=all runs this",
)


def make_base(client: Any, folder: Path) -> None:
    """A Debian with the packages of all images, so that their builds need no network."""
    tar = folder / "base.tar"
    if not tar.exists():
        if shutil.which("mmdebstrap") is None:
            pytest.skip("`mmdebstrap` is not installed: apt install mmdebstrap")
        part = folder / "part.tar"
        _do(["mmdebstrap", "--quiet", "--variant=minbase", f"--include={PACKAGES}", "bookworm", str(part)])
        part.rename(tar)
    _import(client, tar, BASE)


def make_wheels(client: Any, folder: Path) -> Path:
    """All wheels of all images, as an image that holds them in /wheels. Returns their folder."""
    if sys.version_info[:2] != (3, 11):
        pytest.skip("Debian's Python is 3.11, and the wheels are made with the Python of the tests")
    wheels = folder / "wheels"
    tar = folder / "wheels.tar"
    if not tar.exists():
        hub = f"jupyterhub=={argument('Dockerfile', 'JUPYTERHUB_VERSION')}"
        _wheels(wheels, [*_listed("torch"), hub, "setuptools"], "constraints.txt", _PINS_HUB)
        # What Dockerfile.triton adds has pins of its own.
        _wheels(wheels, _listed("torch", "numpy,filelock,psutil"), _PINS_NGC)
        part = folder / "part.tar"
        _do(["tar", "--create", "--file", str(part), "--directory", str(folder), "wheels"])
        part.rename(tar)
    _import(client, tar, WHEELS)
    return wheels


def _listed(extras: str, only: str = "") -> list[str]:
    """What an image asks pip for."""
    words = ["docker/image/requirements.py", "pyproject.toml", "--extras", extras, "--only", only]
    return _do([sys.executable, *words]).splitlines()


def _wheels(folder: Path, wanted: list[str], *pins: str) -> None:
    words = [word for name in pins for word in ("--constraint", name)]
    _do([sys.executable, "-m", "pip", "wheel", "--quiet", "--wheel-dir", str(folder), *words, *wanted])


def argument(dockerfile: str, name: str) -> str:
    """The default of a build argument."""
    for line in (ROOT / "docker" / dockerfile).read_text().splitlines():
        if line.startswith(f"ARG {name}="):
            return line.partition("=")[2]
    raise AssertionError(f"{dockerfile} has no build argument {name}")


def build(engine: RealEngine, dockerfile: str, tag: str, **arguments: str) -> None:
    """`docker build`, as docs/containers.md has it.

    Args:
        engine: The engine.
        dockerfile: Its name in `docker/`.
        tag: The image's name.
        arguments: Build arguments beside BASE and WHEELS.
    """
    words = ["docker", "build", "--quiet", "--file", f"docker/{dockerfile}", "--tag", tag]
    for name, value in {"BASE": BASE, "WHEELS": WHEELS, "PIP_NO_INDEX": "1", **arguments}.items():
        words += ["--build-arg", f"{name}={value}"]
    _do([*words, "."], DOCKER_HOST=engine.address, DOCKER_BUILDKIT="0")


def _import(client: Any, tar: Path, tag: str) -> None:
    repository, _, version = tag.partition(":")
    client.api.import_image_from_file(str(tar), repository=repository, tag=version)
    if not os.environ.get(KEEP):
        tar.unlink()


def _do(words: list[str], **environment: str) -> str:
    """Run a program in the project's folder; its output, or all that it said as the test's failure."""
    with tempfile.TemporaryFile("w+") as said:
        answer = subprocess.run(
            words,
            cwd=ROOT,
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            stderr=said,
            text=True,
            check=False,
        )
        said.seek(0)
        assert answer.returncode == 0, f"{' '.join(words)}\n{answer.stdout[-3000:]}\n{said.read()[-6000:]}"
    return answer.stdout
