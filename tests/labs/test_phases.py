"""The phase picture: it measures a real server, and shows what it measured."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tritonclient.http as httpclient

from lab_utils import server as triton
from lab_utils.load.phases import SERVER_PHASES, Phases, draw_phases, measure
from lab_utils.models.build import build_models
from lab_utils.paths import project_root


def test_the_bars_are_the_phases_and_the_labels_are_ratios() -> None:
    fast = Phases("fast", 0.01, dict.fromkeys(SERVER_PHASES, 0.002))
    slow = Phases("slow", 0.03, dict.fromkeys(SERVER_PHASES, 0.002))
    figure = draw_phases([slow, fast])
    axes = figure.axes[0]
    assert [text.get_text().strip() for text in axes.texts] == ["3.0 x", "1.0 x"]
    first_bar = [patch.get_width() for patch in axes.patches[:5]]
    assert first_bar == pytest.approx([22, 2, 2, 2, 2])
    assert figure._repr_png_().startswith(b"\x89PNG")


def test_transport_is_never_negative() -> None:
    assert Phases("odd clock", 0.001, dict.fromkeys(SERVER_PHASES, 0.001)).transport == 0


@pytest.mark.live
def test_measured_phases_fit_into_the_measured_time() -> None:
    build_models()
    repository: Path = project_root() / "model_repository"
    options = ["--model-control-mode=explicit", "--load-model=mnist_mlp"]
    server = triton.start(
        repository, name="phases", options=options, wait_for=["mnist_mlp"], lifetime="kernel"
    )
    try:
        images = np.zeros((2048, 1, 28, 28), np.float32)
        with httpclient.InferenceServerClient(server.endpoints.http) as client:
            tensor = httpclient.InferInput("input", images.shape, "FP32").set_data_from_numpy(images)
            calls = []
            way = measure(
                "HTTP",
                lambda: calls.append(client.infer("mnist_mlp", [tensor])),
                server.endpoints.http,
                repeat=3,
            )
    finally:
        server.stop()
    assert len(calls) == 4, "one to warm up, three to measure"
    assert way.server["compute_infer"] > 0
    assert 0 < sum(way.server.values()) < way.total
