"""Three kiosks: the same pipeline of two steps, each with one bottleneck. Used by Lab 4 and its checks.

All sleep instead of computing, so their times are foreseeable on any machine. `plant` puts one into a model
repository; which cause it has stands in the `Kiosk` that it returns, and not in any name.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from lab_utils.errors import LabError

if TYPE_CHECKING:
    from lab_utils.lab_repository import RepositoryTools

CAUSES = ("no batching", "slow step", "too many instances")
"""What can be wrong with a step."""

CLIENTS = 8
"""Requests at once that show each bottleneck, and that a mended kiosk can serve together."""

_STEP = Path(__file__).parent / "step" / "model.py"
_TENSORS = """max_batch_size: {batch}
input [ {{ name: "data" data_type: TYPE_FP32 dims: [ 4 ] }} ]
output [ {{ name: "echo" data_type: TYPE_FP32 dims: [ 4 ] }} ]
"""
_CONFIG = (
    """name: "{name}"
backend: "python"
"""
    + _TENSORS
    + """instance_group [ {{ kind: KIND_CPU count: {count} }} ]
parameters [
  {{ key: "execution_ms" value: {{ string_value: "{execution_ms}" }} }},
  {{ key: "device" value: {{ string_value: "{device}" }} }}
]
{batching}"""
)
_ENSEMBLE = (
    """name: "{name}"
platform: "ensemble"
"""
    + _TENSORS
    + """ensemble_scheduling {{
  step [
    {{
      model_name: "{first}"
      model_version: -1
      input_map {{ key: "data" value: "data" }}
      output_map {{ key: "echo" value: "prepared" }}
    }},
    {{
      model_name: "{second}"
      model_version: -1
      input_map {{ key: "data" value: "prepared" }}
      output_map {{ key: "echo" value: "echo" }}
    }}
  ]
}}
"""
)
_BATCHING = "dynamic_batching { }\n"


@dataclass(frozen=True)
class _Plan:
    """How a step is served: what an execution takes, and the three knobs.

    Attributes:
        execution_ms: Milliseconds of an execution that runs alone, however large its batch.
        device: What it shares with the other instances of the model; empty: nothing.
        batch: `max_batch_size`.
        count: Instances.
        batching: The config's block for dynamic batching; empty: there is none.
    """

    execution_ms: int
    device: str
    batch: int = 8
    count: int = 1
    batching: str = _BATCHING

    def config(self, name: str) -> str:
        """The text of config.pbtxt for a model of this name."""
        return _CONFIG.format(name=name, **vars(self))


_PREPARE = _Plan(execution_ms=2, device="")


@dataclass(frozen=True)
class Kiosk:
    """A pipeline of two steps that was put into a repository.

    Attributes:
        name: The ensemble, which clients ask: `data` FP32 `[4]` in, `echo` FP32 `[4]` out.
        steps: The names of its two steps in order.
        culprit: The step that is to blame. Like the cause it is not shown when a cell prints a kiosk.
        cause: One of `CAUSES`.
        folder: The model repository.
    """

    name: str
    steps: tuple[str, str]
    culprit: str = field(repr=False)
    cause: str = field(repr=False)
    folder: Path = field(repr=False)

    @property
    def config(self) -> Path:
        """The config.pbtxt of the culprit."""
        return self.folder / self.culprit / "config.pbtxt"


# Letter → cause, the plan of `prepare`, the plan of `answer`. With 8 clients:
# a: six executions share the device, and each takes 21 times as long (one row each: no batch can hide it);
# b: two rows per 100 ms, the rest waits;  c: one row per 20 ms, the rest waits.
KIOSKS: dict[str, tuple[str, _Plan, _Plan]] = {
    "a": ("too many instances", _PREPARE, _Plan(20, "shared", batch=1, count=6)),
    "b": ("slow step", _Plan(100, "", batch=2), _Plan(10, "shared")),
    "c": ("no batching", _PREPARE, _Plan(20, "shared", batching="")),
}


def plant(where: RepositoryTools | Path, which: str, *, name: str = "") -> Kiosk:
    """Put a kiosk with its bottleneck into a model repository. Files that are there already are replaced.

    Args:
        where: A lab, for its own repository, or the folder of a repository.
        which: `"a"`, `"b"` or `"c"`.
        name: The name of the ensemble; default: `kiosk_a`, … Its steps are `NAME_prepare`, `NAME_answer`.

    Returns:
        The kiosk. The server loads the ensemble, and with it the two steps.

    Raises:
        LabError: There is no such kiosk.
    """
    if which not in KIOSKS:
        raise LabError(f"There is no kiosk {which!r}.", fix=f"They are called {', '.join(KIOSKS)}.")
    folder = where if isinstance(where, Path) else where.repository
    cause, prepare, answer = KIOSKS[which]
    name = name or f"kiosk_{which}"
    steps = (f"{name}_prepare", f"{name}_answer")
    for step, plan in zip(steps, (prepare, answer), strict=True):
        version = folder / step / "1"
        version.mkdir(parents=True, exist_ok=True)
        shutil.copy(_STEP, version / "model.py")
        (folder / step / "config.pbtxt").write_text(plan.config(step))
    (folder / name / "1").mkdir(parents=True, exist_ok=True)
    text = _ENSEMBLE.format(name=name, batch=1, first=steps[0], second=steps[1])
    (folder / name / "config.pbtxt").write_text(text)
    return Kiosk(name, steps, steps[0] if cause == "slow step" else steps[1], cause, folder)
