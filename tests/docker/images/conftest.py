"""The whole images, each built once for all tests that need it. Only with TRITON_LAB_IMAGES=all."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tests.docker.images import build
from tests.docker.real_engine import RealEngine


@pytest.fixture(scope="package")
def wheels(engine: RealEngine, client: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The base and the wheels are in the engine; the folder of the wheels."""
    kept = os.environ.get(build.KEEP)
    folder = Path(kept) if kept else tmp_path_factory.mktemp("parts")
    build.make_base(client, folder)
    return build.make_wheels(client, folder)


@pytest.fixture(scope="package")
def jupyter_image(engine: RealEngine, wheels: Path) -> str:
    """JupyterLab with the course."""
    build.build(engine, "Dockerfile", build.JUPYTER)
    return build.JUPYTER


@pytest.fixture(scope="package")
def cpu_image(engine: RealEngine, wheels: Path) -> str:
    """Triton for the CPU, with PyTorch."""
    build.build(engine, "Dockerfile.triton-cpu", build.CPU)
    return build.CPU


@pytest.fixture(scope="package")
def gpu_image(engine: RealEngine, wheels: Path) -> str:
    """What Dockerfile.triton makes of a Triton without PyTorch, as NVIDIA's image is one."""
    build.build(engine, "Dockerfile.triton-cpu", build.NGC_LIKE, EXTRAS="")
    build.build(engine, "Dockerfile.triton", build.GPU, BASE=build.NGC_LIKE)
    return build.GPU
