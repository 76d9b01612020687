"""Prometheus and Alertmanager out of images of a real engine, and each way in which that fails."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path
from typing import Any

import pytest

from lab_utils.monitoring import tools
from lab_utils.monitoring.images import IMAGES
from lab_utils.monitoring.tools import MonitoringError
from lab_utils.server.docker_errors import EngineError

SCRIPT = "#!/bin/sh\necho {}\n"


def image_with(client: Any, tag: str, *programs: str) -> None:
    """An image with these programs in /bin, as the official images have them."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name in programs:
            content = SCRIPT.format(name).encode()
            member = tarfile.TarInfo(f"bin/{name}")
            member.size, member.mode = len(content), 0o755
            tar.addfile(member, io.BytesIO(content))
    repository, _, version = tag.partition(":")
    client.api.import_image_from_data(buffer.getvalue(), repository=repository, tag=version)


@pytest.fixture(autouse=True)
def nothing_yet(in_network: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with the engine, and without any of the programs."""
    for setting in (*tools.SETTINGS.values(), *tools.IMAGE_SETTINGS.values()):
        monkeypatch.delenv(setting, raising=False)
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("TRITON_LAB_CACHE", str(tmp_path / "cache"))


def test_the_programs_are_copied_out_of_the_usual_images(client: Any) -> None:
    assert "triton-lab fetch-prometheus --from-images" in tools.how_to_get()
    with pytest.raises(MonitoringError, match=r"docker pull prom/prometheus:v"):
        tools.fetch(from_images=True)
    assert not tools.packages_root().exists()
    for image, programs in IMAGES.items():
        image_with(client, image, *programs)
    try:
        assert tools.fetch(from_images=True) == tools.packages_root()
        for name in tools.SETTINGS:
            assert tools.find_tool(name).read_text() == SCRIPT.format(name)
        assert tools.has_prometheus()
        assert tools.has_alertmanager()
        assert client.containers.list(all=True) == []
    finally:
        for image in IMAGES:
            client.images.remove(image)


def test_an_image_without_the_program_is_named(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    image_with(client, "half:1", "prometheus")
    monkeypatch.setenv("TRITON_LAB_PROMETHEUS_IMAGE", "half:1")
    try:
        with pytest.raises(MonitoringError) as caught:
            tools.fetch(from_images=True)
        assert "`half:1` has no program /bin/promtool" in str(caught.value)
        assert "TRITON_LAB_PROMETHEUS_IMAGE" in str(caught.value)
        assert not tools.packages_root().exists()
        assert client.containers.list(all=True) == []
    finally:
        client.images.remove("half:1")


def test_a_name_that_cannot_be_an_image_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRITON_LAB_PROMETHEUS_IMAGE", "Not A Name")
    with pytest.raises(MonitoringError, match="No container can be made of the image `Not A Name`"):
        tools.fetch(from_images=True)


def test_without_an_engine_the_engine_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    with pytest.raises(EngineError):
        tools.fetch(from_images=True)
    assert "--from-images" not in tools.how_to_get()
