"""How a batch runs notebooks: the sandbox of this machine, and one prepared stage for all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lab_utils.errors import LabError
from lab_utils.grading.limits import Limits
from lab_utils.grading.plan import CoursePlan
from lab_utils.grading.results import LabResult
from lab_utils.grading.run import RunOptions, grade_notebook
from lab_utils.grading.sandbox import Sandbox, find_sandbox
from lab_utils.grading.stage import prepare_stage
from lab_utils.paths import project_root
from lab_utils.progress.labs import lab_spec


@dataclass
class SandboxRunner:
    """Runs one notebook after the other, or several at the same time, all of them alike.

    Attributes:
        plan: The course's plan.
        stage: Folder for what all runs share; filled by `prepare`.
        sandbox: How code is confined; None: not at all.
        secrets: Folders that no run may see.
    """

    plan: CoursePlan
    stage: Path
    sandbox: Sandbox | None
    secrets: tuple[Path, ...] = ()
    _options: RunOptions | None = field(default=None, repr=False)

    @classmethod
    def of(cls, plan: CoursePlan, stage: Path, secrets: Sequence[Path], *, confined: bool) -> SandboxRunner:
        """A runner for a plan.

        Args:
            plan: The course's plan.
            stage: Folder for what all runs share.
            secrets: Submissions, results and plan. The course's own folder is added.
            confined: False runs the students' code as this user, with all that this user may do.

        Raises:
            LabError: There is no sandbox on this machine, or a lab's packages are missing.
        """
        for lab in plan.labs:
            lab_spec(lab.lab).require_packages()
        sandbox = find_sandbox() if confined else None
        hidden = tuple(dict.fromkeys(path.resolve() for path in [*secrets, project_root()]))
        return cls(plan, stage, sandbox, hidden)

    def prepare(self) -> None:
        """Fill the stage: the student package, trained models, backends. Minutes the first time.

        Raises:
            LabError: Something cannot be built.
        """
        labs = [lab.lab for lab in self.plan.labs]
        stage = prepare_stage(self.stage, labs, self.sandbox)
        limits = Limits.of(self.plan.limits)
        self._options = RunOptions(stage, self.sandbox, self.plan, limits, self.secrets, lean=True)

    def __call__(self, lab: str, notebook: Path) -> tuple[LabResult, bytes | None]:
        """Run one notebook."""
        if self._options is None:
            raise LabError("The stage is not prepared.", fix="Call `prepare` first.")
        graded = grade_notebook(lab, notebook, self._options)
        return graded.result, graded.notebook
