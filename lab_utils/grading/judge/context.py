"""The context of a check in the judge: as in a student's kernel, but for what a submission can change."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lab_utils.errors import LabError
from lab_utils.grading.judge.remote import RemoteObject, each
from lab_utils.grading.judge.scripts import Program, Workshop
from lab_utils.paths import project_root, work_dir
from lab_utils.progress import probes
from lab_utils.progress.context import LabContext


@dataclass
class JudgeContext(LabContext):
    """A lab's surroundings, asked from outside of the student's kernel.

    Attributes:
        workshop: Where a student's programs are run.
    """

    workshop: Workshop | None = None

    @classmethod
    def made(cls, lab: str, workshop: Workshop) -> JudgeContext:
        """The context of a lab in this process's work folder."""
        work = work_dir() / f"lab{lab}"
        return cls(lab, work, work / "model_repository", workshop=workshop)

    def reference(self, images: NDArray[np.float32], model: str = "mnist_mlp") -> NDArray[np.float32]:
        """As `LabContext.reference`, by the course's own file: the lab's may be another one."""
        try:
            folder = probes.latest_version(project_root() / "model_repository", model)
        except LabError:
            return super().reference(images, model)  # not a model of the course
        if not (folder / "model.onnx").is_file():
            return super().reference(images, model)
        return probes.onnx_reference(folder / "model.onnx", images)

    def call_all(self, function: Any, cases: Any, *, timeout: float = 30.0) -> list[Any]:
        """As `LabContext.call_all`, in one message for all cases."""
        if not isinstance(function, RemoteObject) or not callable(function):
            return super().call_all(function, cases, timeout=timeout)

        def all_cases() -> list[Any]:
            return each(function, cases)

        all_cases.__name__ = getattr(function, "__name__", "the function")
        found: list[Any] = self.call(all_cases, timeout=timeout)
        return found

    def read_program(self, file: Path) -> Any:
        """A torch.export program that a student's function wrote, for calling: read in the workshop."""
        if self.workshop is None:
            raise LabError("this context has no workshop")
        return Program(self.workshop, self.workshop.do("load_program", str(file)))
