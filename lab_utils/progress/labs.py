"""The table of labs: number, title, checks module, models, notebook."""

from __future__ import annotations

import importlib
from dataclasses import dataclass

from lab_utils.errors import LabError
from lab_utils.progress.registry import Checkpoint, checkpoints


@dataclass(frozen=True)
class LabSpec:
    """What belongs to one lab.

    Attributes:
        number: Two digits.
        title: As on the notebook's first line.
        module: The module whose import registers the lab's checkpoints.
        models: Models that are copied into the lab's own repository and waited for at start.
        notebook: The notebook's file name without its ending.
    """

    number: str
    title: str
    module: str
    models: tuple[str, ...]
    notebook: str

    def checkpoints(self) -> list[Checkpoint]:
        """The lab's checkpoints in order; imports its checks module."""
        importlib.import_module(self.module)
        return checkpoints(self.number)


LABS: dict[str, LabSpec] = {
    spec.number: spec
    for spec in (
        LabSpec(
            "01",
            "Triton setup and installation",
            "lab_utils.checks.lab1",
            ("mnist_mlp",),
            "01-Triton_Setup_and_Installation",
        ),
        LabSpec(
            "02",
            "Model repository design",
            "lab_utils.checks.lab2",
            ("mnist_mlp", "digits_preprocess", "timed"),
            "02-Model_Repository_Design",
        ),
        LabSpec(
            "03",
            "PyTorch backend deployment",
            "lab_utils.checks.lab3",
            ("digits_cnn",),
            "03-PyTorch_Backend_Deployment",
        ),
    )
}


def lab_spec(lab: str | int) -> LabSpec:
    """The lab of a number such as `"01"`, `"1"` or `1`.

    Raises:
        LabError: There is no such lab.
    """
    text = str(lab).strip()
    number = f"{int(text):02d}" if text.isdigit() else text
    if number not in LABS:
        raise LabError(f"there is no lab {lab!r}", fix=f"The labs are {', '.join(sorted(LABS))}.")
    return LABS[number]
