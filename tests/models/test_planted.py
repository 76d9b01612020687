"""The planted kiosks: each shows its own fault in the metrics, and the right mend makes it much faster."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tritonclient.grpc as grpcclient

from lab_utils import server as triton
from lab_utils.checks.lab4_bottleneck import batch, diagnose, ms
from lab_utils.checks.lab4_live import load_model, under_load
from lab_utils.errors import LabError
from lab_utils.monitoring import Window
from lab_utils.planted import CAUSES, KIOSKS, Kiosk, plant
from lab_utils.planted.kiosks import CLIENTS
from lab_utils.repository import parse_config, read_config
from lab_utils.server.base import Server

_DONE = "nv_inference_request_success"
_MENDS = {
    "too many instances": ("count: 6", "count: 1"),
    "slow step": ("count: 1", "count: 4"),
    "no batching": ("instance_group", "dynamic_batching { }\ninstance_group"),
}


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("planted") / "models"


@pytest.fixture(scope="module")
def kiosks(repository: Path) -> dict[str, Kiosk]:
    return {kiosk.cause: kiosk for kiosk in (plant(repository, which) for which in KIOSKS)}


@pytest.fixture(scope="module")
def server(repository: Path, kiosks: dict[str, Kiosk]) -> Iterator[Server]:
    options = ["--model-control-mode=explicit", "--disable-auto-complete-config", "--exit-timeout-secs=0"]
    server = triton.start(repository, name="planted", options=options, lifetime="kernel")
    for kiosk in kiosks.values():
        load_model(server, kiosk.name)
    yield server
    server.stop(0)


def share(window: Window, step: str) -> float:
    """The part of a request's time in a step that it waits."""
    return ms(window, "queue", step) / ms(window, "request", step)


def test_each_cause_is_planted_once_and_no_file_names_it(kiosks: dict[str, Kiosk], repository: Path) -> None:
    assert sorted(kiosks) == sorted(CAUSES)
    for kiosk in kiosks.values():
        assert kiosk.culprit in kiosk.steps
        assert kiosk.cause not in repr(kiosk)
        assert kiosk.culprit not in repr(kiosk).replace(repr(kiosk.steps), "")
        texts = [
            path.read_text()
            for path in repository.glob(f"{kiosk.name}*/**/*")
            if path.suffix != ".board" and path.is_file()
        ]
        assert texts
        assert not any(cause in text.lower() for cause in CAUSES for text in texts)


def test_all_kiosks_are_the_same_pipeline(kiosks: dict[str, Kiosk], repository: Path) -> None:
    ensembles = {kiosk.name: read_config(repository / kiosk.name) for kiosk in kiosks.values()}
    shapes = {str(config).replace(name, "NAME") for name, config in ensembles.items()}
    assert len(shapes) == 1
    models = {path.read_text() for path in repository.glob("kiosk_*/1/model.py")}
    assert len(models) == 1


def test_a_name_of_ones_own_and_a_kiosk_that_is_not_there(tmp_path: Path) -> None:
    kiosk = plant(tmp_path, "b", name="till")
    assert kiosk.steps == ("till_prepare", "till_answer")
    assert parse_config(kiosk.config.read_text()).name == kiosk.culprit
    with pytest.raises(LabError, match="They are called a, b, c"):
        plant(tmp_path, "d")


@pytest.mark.live
def test_a_kiosk_gives_back_what_it_gets(server: Server, kiosks: dict[str, Kiosk]) -> None:
    data = np.arange(4, dtype=np.float32).reshape(1, 4)
    with grpcclient.InferenceServerClient(server.endpoints.grpc) as client:
        for kiosk in kiosks.values():
            tensor = grpcclient.InferInput("data", data.shape, "FP32").set_data_from_numpy(data)
            answer = client.infer(kiosk.name, [tensor]).as_numpy("echo")
            np.testing.assert_array_equal(answer, data)


@pytest.mark.live
@pytest.mark.alone
def test_the_metrics_show_each_fault_and_the_mend_helps(server: Server, kiosks: dict[str, Kiosk]) -> None:
    for cause, kiosk in kiosks.items():
        step = kiosk.culprit
        light, heavy = under_load(server, kiosk.name, 1, 0.8), under_load(server, kiosk.name, CLIENTS, 1.2)
        assert diagnose(light, heavy, kiosk.steps) == (step, cause)
        growth = ms(heavy, "compute_infer", step) / ms(light, "compute_infer", step)
        if cause == "too many instances":
            assert growth > 3  # in each other's way: 21 times when six run
            assert share(heavy, step) < 0.5
            assert heavy.rate(_DONE, model=kiosk.name) < light.rate(_DONE, model=kiosk.name)
        else:
            assert growth < 2
            assert share(heavy, step) > 0.5
        assert math.isclose(batch(heavy, step), 2 if cause == "slow step" else 1, rel_tol=0.1)

        text = kiosk.config.read_text()
        kiosk.config.write_text(text.replace(*_MENDS[cause], 1))
        load_model(server, step)
        after = under_load(server, kiosk.name, CLIENTS, 1.2)
        assert after.rate(_DONE, model=kiosk.name) > 1.8 * heavy.rate(_DONE, model=kiosk.name)
        assert ms(after, "request", kiosk.name) < ms(heavy, "request", kiosk.name) / 1.8


@pytest.mark.live
@pytest.mark.alone
def test_more_instances_do_not_mend_the_missing_batching(server: Server, kiosks: dict[str, Kiosk]) -> None:
    kiosk = plant(kiosks["no batching"].folder, "c", name="kiosk_more")
    load_model(server, kiosk.name)
    before = under_load(server, kiosk.name, CLIENTS, 0.8)
    kiosk.config.write_text(kiosk.config.read_text().replace("count: 1", "count: 3"))
    load_model(server, kiosk.culprit)
    after = under_load(server, kiosk.name, CLIENTS, 0.8)
    assert after.rate(_DONE, model=kiosk.name) < 1.2 * before.rate(_DONE, model=kiosk.name)
