"""The server on which incidents happen: a museum's, with six models that wait and one ensemble.

`ticket` and `audio` do one thing each. `floor` and `menu` answer the same few questions again and again,
from the response cache. `guide` is an ensemble of `hear` and `reply`.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

STATION = Path(__file__).with_name("station.py")
ENSEMBLE = "guide"
STEPS = ("hear", "reply")


@dataclass(frozen=True)
class Setting:
    """All that may be right or wrong about one model.

    Attributes:
        execution_ms: Milliseconds of one execution, whatever its batch.
        instances: How many run at the same time.
        delay_us: How long a request may wait for others to share its execution; None: no batching.
        timeout_us: How long a request may wait in the queue; None: for ever.
        cache: Whether answers are kept.
        fault: What is wrong with the second release, by the names of `station.py`; empty: there is none.
    """

    execution_ms: int
    instances: int = 1
    delay_us: int | None = None
    timeout_us: int | None = None
    cache: bool = False
    fault: Mapping[str, int] = field(default_factory=dict)


HEALTHY: dict[str, Setting] = {
    "audio": Setting(50, instances=2),
    "floor": Setting(60, cache=True),
    "hear": Setting(10),
    "menu": Setting(60, cache=True),
    "reply": Setting(10),
    "ticket": Setting(50, instances=2),
}
"""The settings when all is well."""

OPTIONS = (
    "--model-control-mode=explicit",
    "--load-model=*",
    "--disable-auto-complete-config",
    "--cache-config=local,size=4194304",
    "--exit-timeout-secs=0",
)
"""The options of its server."""

_GUIDE = """name: "guide"
platform: "ensemble"
max_batch_size: 16
input [ { name: "data" data_type: TYPE_FP32 dims: [ 4 ] } ]
output [ { name: "echo" data_type: TYPE_FP32 dims: [ 4 ] } ]
ensemble_scheduling {
  step [
    {
      model_name: "hear"
      model_version: -1
      input_map { key: "data" value: "data" }
      output_map { key: "echo" value: "heard" }
    },
    {
      model_name: "reply"
      model_version: -1
      input_map { key: "data" value: "heard" }
      output_map { key: "echo" value: "echo" }
    }
  ]
}
"""


def config_text(name: str, setting: Setting) -> str:
    """The config.pbtxt of a model with these settings."""
    # Late requests are refused one by one: in a batch the next one would leave with them, in time.
    batch = 1 if setting.timeout_us is not None else 16
    text = f"""name: "{name}"
backend: "python"
max_batch_size: {batch}
input [ {{ name: "data" data_type: TYPE_FP32 dims: [ 4 ] }} ]
output [ {{ name: "echo" data_type: TYPE_FP32 dims: [ 4 ] }} ]
instance_group [ {{ kind: KIND_CPU count: {setting.instances} }} ]
parameters [ {{ key: "execution_ms" value: {{ string_value: "{setting.execution_ms}" }} }} ]
"""
    if setting.delay_us is not None:
        text += f"dynamic_batching {{ max_queue_delay_microseconds: {setting.delay_us} }}\n"
    if setting.timeout_us is not None:
        text += (
            "dynamic_batching { default_queue_policy { timeout_action: REJECT "
            f"default_timeout_microseconds: {setting.timeout_us} }} }}\n"
        )
    if setting.cache:
        text += "response_cache { enable: true }\n"
    return text


def write_model(repository: Path, name: str, setting: Setting) -> None:
    """Write one model's folder: its config, version 1, and version 2 when there is a second release."""
    folder = repository / name
    folder.mkdir(parents=True, exist_ok=True)
    for number, fault in ((1, {}), (2, dict(setting.fault))):
        version = folder / str(number)
        shutil.rmtree(version, ignore_errors=True)
        if number == 1 or fault:
            version.mkdir()
            shutil.copy(STATION, version / "model.py")
            (version / "release.json").write_text(json.dumps(fault))
    (folder / "config.pbtxt").write_text(config_text(name, setting))


def write_museum(repository: Path) -> None:
    """Write the whole repository, with all models healthy."""
    for name, setting in HEALTHY.items():
        write_model(repository, name, setting)
    (repository / ENSEMBLE / "1").mkdir(parents=True, exist_ok=True)
    (repository / ENSEMBLE / "config.pbtxt").write_text(_GUIDE)


def changed(setting: Setting, **changes: object) -> Setting:
    """The same setting with some fields changed."""
    return replace(setting, **changes)  # type: ignore[arg-type]
