"""The table of labs: number, title, checks module, models, notebook."""

from __future__ import annotations

import importlib
import importlib.util
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
        packages: Packages without which the lab cannot be done, all of the extra `torch`.
    """

    number: str
    title: str
    module: str
    models: tuple[str, ...]
    notebook: str
    packages: tuple[str, ...] = ()

    def require_packages(self) -> None:
        """See that the lab's packages are installed.

        Raises:
            LabError: With the packages that are missing, and how to get them.
        """
        missing = [name for name in self.packages if importlib.util.find_spec(name) is None]
        if missing:
            raise LabError(
                f"Lab {int(self.number)} needs {', '.join(missing)}, not installed in this environment.",
                fix="`make lab` (or: pip install -e '.[torch]' -c constraints.txt), then restart the kernel.",
            )

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
            ("torch", "transformers", "tokenizers", "safetensors"),
        ),
        LabSpec(
            "04",
            "Monitoring and performance",
            "lab_utils.checks.lab4",
            ("mnist_mlp", "timed", "digits_preprocess"),
            "04-Monitoring_and_Performance",
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
