"""Incidents: each cause shows where the catalogue says, and its mend ends it, on a real server."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator

import pytest

from lab_utils.errors import LabError
from lab_utils.incidents import (
    CAUSES,
    MENDS,
    Incident,
    Museum,
    Observation,
    catalogue,
    still_wrong,
    suffering,
)
from lab_utils.incidents.causes import mended
from lab_utils.incidents.incident import choose
from lab_utils.incidents.layout import HEALTHY, config_text
from lab_utils.incidents.view import clients_table, metrics_table
from lab_utils.monitoring import report

SECONDS, LOOKS = 1.2, 3
CASES = {
    "too_few_instances": "ticket",
    "batch_delay": "reply",
    "error_responses": "audio",
    "execute_raises": "ticket",
    "queue_timeout": "audio",
    "slow_step": "hear",
    "not_ready": "menu",
    "cache_off": "floor",
}
"""One model for each cause."""

DONE = "nv_inference_request_success"

pytestmark = pytest.mark.alone


@pytest.fixture(scope="module")
def museum(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Museum]:
    museum = Museum(tmp_path_factory.mktemp("museum"))
    yield museum
    museum.stop()


@pytest.fixture(scope="module")
def healthy(museum: Museum) -> Observation:
    return museum.observe(SECONDS)


@pytest.fixture(autouse=True)
def restored(museum: Museum, healthy: Observation) -> None:
    """Each test begins with all models as they should be, and nobody looks before that."""
    museum.restore()


def failures(seen: Observation, model: str, reason: str) -> float:
    return seen.window.increase("nv_inference_request_failure", model=model, reason=reason)


def looked(look: Callable[[], Observation]) -> Observation:
    """Look again when something else kept the machine busy; a fault of ours stays."""
    for _ in range(LOOKS - 1):
        with contextlib.suppress(AssertionError):
            return look()
    return look()


def judge(cause: str, model: str, before: Observation, now: Observation) -> Observation:
    """What the catalogue says of this cause is there; what belongs to other causes is not."""
    states = {entry["name"] for entry in now.index if entry["state"] == "READY"}
    assert (model in states) == (cause != "not_ready")
    asked = model if model in now.clients else "guide"
    failed = {name for name, client in now.clients.items() if client.failed}
    fails = cause in ("error_responses", "execute_raises", "queue_timeout", "not_ready")
    assert failed == ({asked} if fails else set())
    if cause == "not_ready":
        assert "unloaded" in now.log
        assert not now.window.has(DONE, model=model) or now.window.increase(DONE, model=model) == 0
        return now
    raised, refused = failures(now, model, "BACKEND"), failures(now, model, "REJECTED")
    assert (raised > 0, refused > 0) == (cause == "execute_raises", cause == "queue_timeout")
    if fails:
        words = " ".join(now.clients[asked].messages.values())
        assert ("timeout expired" in words) == (cause == "queue_timeout")
        assert ("At:" in words) == (cause == "execute_raises")
        return now
    was, seen = report(before.window).loc[model], report(now.window).loc[model]
    assert seen["request_ms"] > was["request_ms"] + 25
    assert (seen["mean_batch"] > was["mean_batch"] + 0.5) == (cause == "batch_delay")
    hits = [0 if math.isnan(row["cache_hit_rate"]) else row["cache_hit_rate"] for row in (was, seen)]
    assert (hits[1] < hits[0]) == (cause == "cache_off")
    grown = seen["queue_ms"] - was["queue_ms"], seen["compute_infer_ms"] - was["compute_infer_ms"]
    assert (grown[0] > grown[1]) == (cause in ("too_few_instances", "batch_delay"))
    if cause == "slow_step":
        step = max((s for s in now.spans if s.model not in ("", "guide")), key=lambda span: span.seconds)
        assert step.name == model
    return now


@pytest.mark.parametrize("cause", CAUSES)
def test_a_cause_shows_where_it_should_and_its_mend_ends_it(
    museum: Museum, healthy: Observation, cause: str
) -> None:
    model = CASES[cause]
    museum.strike(cause, model, "audio" if model == "ticket" else "ticket")
    now = looked(lambda: judge(cause, model, healthy, museum.observe(SECONDS)))
    assert (model if model in now.clients else "guide") in suffering(healthy, now)
    assert still_wrong(healthy, now, now)
    museum.mend(CAUSES[cause].mend, model)
    assert any(not still_wrong(healthy, now, museum.observe(SECONDS)) for _ in range(LOOKS))


def test_a_wrong_mend_does_not_help(museum: Museum, healthy: Observation) -> None:
    museum.strike("error_responses", "ticket")
    for mend in ("add_instance", "cut_delay", "raise_timeout", "load_model"):
        museum.mend(mend, "ticket")
    now = museum.observe(SECONDS)
    assert any("fail" in problem for problem in still_wrong(healthy, now, now))


def test_an_incident_is_judged(museum: Museum, capsys: pytest.CaptureFixture[str]) -> None:
    incident = Incident(museum, 7, seconds=SECONDS)
    cause, model, mend = incident.truth
    assert choose(7)[:2] == (cause, model)
    other = next(name for name in CAUSES if name != cause)
    with pytest.raises(LabError, match="is no cause"):
        incident.judge("a ghost", model, mend)
    with pytest.raises(LabError, match="is no mend"):
        incident.judge(cause, model, "patience")
    with pytest.raises(LabError, match="is no model"):
        incident.judge(cause, "door", mend)
    assert not incident.judge(other, model, mend)
    assert "it was something else" in capsys.readouterr().out
    assert any(incident.judge(cause, model, mend) for _ in range(2))
    incident.show()
    printed = capsys.readouterr().out
    for word in ("all is well again", "Repository index now", "What the clients saw", "queue_ms", "guide"):
        assert word in printed


def test_a_seed_repeats_an_incident_and_seeds_reach_every_cause() -> None:
    assert choose(3) == choose(3)
    drawn = {choose(seed)[:2] for seed in range(300)}
    assert drawn == {(cause.name, model) for cause in CAUSES.values() for model in cause.models}
    assert all(choose(seed)[1] != choose(seed)[2] for seed in range(50))


def test_what_a_person_looks_at(museum: Museum, healthy: Observation) -> None:
    text = metrics_table(healthy, healthy).to_string() + clients_table(healthy, healthy).to_string()
    for word in ("queue_ms", "cache_hit_rate", "ticket", "guide", "before", "now", "failed"):
        assert word in text
    assert {span.name for span in healthy.spans} >= {"guide", "hear", "reply", "compute"}
    assert {len(client.messages) for client in healthy.clients.values()} == {0}


def test_every_cause_has_a_case_and_a_mend_that_undoes_it() -> None:
    assert set(CASES) == set(CAUSES)
    for name, cause in CAUSES.items():
        assert cause.mend in MENDS
        assert name in catalogue()
        for model in cause.models:
            struck = cause.strike(model)
            assert (struck == HEALTHY[model]) == (name == "not_ready")
            assert mended(struck, cause.mend).instances == HEALTHY[model].instances
            back = mended(struck, cause.mend)
            assert config_text(model, back) == config_text(model, HEALTHY[model])
            assert not back.fault


def test_the_catalogue_does_not_say_which_mend_belongs_to_which_cause() -> None:
    causes, _, mends = catalogue().partition("Mends")
    assert not any(mend in causes for mend in MENDS)
    assert not any(cause in mends for cause in CAUSES)
