"""The engine's numbers as custom metrics of Triton, beside its own on the metrics page."""

from __future__ import annotations

import logging
import os
import threading
from typing import Any

import triton_python_backend_utils as pb_utils

from lab_utils.llama.engine.engine import Engine
from lab_utils.llama.engine.histogram import ITL_BOUNDS, TTFT_BOUNDS
from lab_utils.llama.engine.stats import OUTCOMES

PERIOD_S = 0.25
_log = logging.getLogger(__name__)
# A name must keep its kind for the life of the server: creating one again with another kind once ended
# Triton. So names, kinds and bounds stand here, and no config can change them.
_COUNTERS = {
    "llama_prompt_tokens_total": "Prompt tokens read.",
    "llama_generated_tokens_total": "Tokens made.",
    "llama_requests_total": "Requests by outcome: stop, length, cancelled, error, refused.",
}
_GAUGES = {
    "llama_slots": "Requests that can run together.",
    "llama_active_slots": "Slots in use.",
    "llama_queue_length": "Requests that wait for a slot.",
    "llama_kv_cache_bytes": "Memory of the KV cache, taken at load.",
}
_HISTOGRAMS = {
    "llama_time_to_first_token_seconds": (
        TTFT_BOUNDS,
        "From the arrival of a request in the engine to its first token.",
    ),
    "llama_inter_token_seconds": (
        ITL_BOUNDS,
        "Between two tokens of the running requests, one observation per step.",
    ),
}


class MetricsExporter:
    """A thread that brings the engine's numbers to Triton a few times per second.

    Not the computing thread: every change of a metric is a message to another process.

    Args:
        engine: The engine.
        model: Name of the model, for the label `model`.
        version: Its version, for the label `version`.
    """

    def __init__(self, engine: Engine, model: str, version: str) -> None:
        self._engine = engine
        # The process id, too: when a model is loaded anew, the old and the new process live side by side for
        # a moment. With the same labels they would share one metric in the server, and the old one would
        # take it along when it goes: Triton 2.51 then crashes.
        self._labels = {"model": model, "version": version, "pid": str(os.getpid())}
        self._families: dict[str, Any] = {}
        self._metrics: dict[tuple[str, str], Any] = {}
        self._told: dict[tuple[str, str], float] = {}
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        try:
            self._create()
        except Exception as error:  # pybind11 raises RuntimeError or a TritonModelException
            _log.warning("No custom metrics (is the server running with --allow-metrics=false?): %s", error)
            return
        self._thread = threading.Thread(target=self._run, name="llama-metrics", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Tell the last numbers and end."""
        self._closing.set()
        if self._thread is not None:
            self._thread.join()
        # Triton wants metrics deleted before their families.
        self._metrics.clear()
        self._families.clear()

    def _create(self) -> None:
        kinds = pb_utils.MetricFamily
        for names, kind in ((_COUNTERS, kinds.COUNTER), (_GAUGES, kinds.GAUGE)):
            for name, text in names.items():
                self._families[name] = kinds(name=name, description=text, kind=kind)
                for outcome in (*OUTCOMES, "refused") if name == "llama_requests_total" else ("",):
                    labels = {**self._labels, "outcome": outcome} if outcome else self._labels
                    self._metrics[name, outcome] = self._families[name].Metric(labels=labels)
        for name, (bounds, text) in _HISTOGRAMS.items():
            self._families[name] = kinds(name=name, description=text, kind=kinds.HISTOGRAM)
            self._metrics[name, ""] = self._families[name].Metric(labels=self._labels, buckets=list(bounds))

    def _run(self) -> None:
        last = False
        while not last:
            last = self._closing.wait(PERIOD_S)
            try:
                self._tell()
            except Exception:
                _log.exception("The custom metrics stop here; the model goes on")
                return

    def _tell(self) -> None:
        stats = self._engine.stats()
        counters: dict[tuple[str, str], float] = {
            ("llama_prompt_tokens_total", ""): stats.prompt_tokens,
            ("llama_generated_tokens_total", ""): stats.generated_tokens,
            ("llama_requests_total", "refused"): stats.refused,
        }
        counters |= {("llama_requests_total", outcome): count for outcome, count in stats.ended.items()}
        gauges: dict[tuple[str, str], float] = {
            ("llama_slots", ""): stats.slots,
            ("llama_active_slots", ""): stats.active,
            ("llama_queue_length", ""): stats.waiting,
            ("llama_kv_cache_bytes", ""): stats.kv_bytes,
        }
        for key, value in counters.items():
            grown = value - self._told.get(key, 0)
            if grown > 0:
                self._metrics[key].increment(grown)
                self._told[key] = value
        for key, value in gauges.items():
            if value != self._told.get(key):
                self._metrics[key].set(value)
                self._told[key] = value
        ttft, itl = self._engine.new_times()
        for name, values in zip(_HISTOGRAMS, (ttft, itl), strict=True):
            for value in values:
                self._metrics[name, ""].observe(value)
