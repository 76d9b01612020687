"""The lab's own model repository: a copy, so that a student can break it and get it back."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from lab_utils.errors import LabError
from lab_utils.paths import project_root


def copy_models(models: Sequence[str], target: Path) -> list[str]:
    """Copy models from the project's `model_repository/` into a lab's own one, if they are missing.

    A model folder that is there already is the student's and stays as it is.

    Args:
        models: Names of model folders.
        target: The lab's repository; made when it is missing.

    Returns:
        The names that were copied now.

    Raises:
        LabError: A model cannot be built, or the folder cannot be written.
    """
    missing = [name for name in models if not (target / name).exists()]
    if missing:
        from lab_utils.models.build import build_models

        build_models()
    try:
        target.mkdir(parents=True, exist_ok=True)
        for name in missing:
            _copy(project_root() / "model_repository" / name, target / name)
    except OSError as error:
        raise LabError(
            f"the models {', '.join(missing)} could not be copied to {target}",
            why=str(error),
            fix="See that the folder is yours and that the disk is not full, then run the cell again.",
        ) from error
    return missing


def _copy(source: Path, target: Path) -> None:
    """Copy a folder so that it appears whole or not at all (a running Triton may be polling)."""
    if not source.is_dir():
        raise LabError(
            f"the project has no model {source.name!r} at {source}", fix="Run `triton-lab models build`."
        )
    # Outside the repository: a half copied folder inside it would be a model for Triton.
    with tempfile.TemporaryDirectory(prefix=".copy-", dir=target.parent.parent) as folder:
        whole = Path(folder) / source.name
        shutil.copytree(source, whole, ignore=shutil.ignore_patterns(".ipynb_checkpoints", "__pycache__"))
        whole.rename(target)
