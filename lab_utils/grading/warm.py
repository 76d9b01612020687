"""Fill the cache with all that the labs would otherwise build in every run."""

from __future__ import annotations

import compileall
import contextlib
import importlib
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from lab_utils.models.build import build_models, has_torch, version_file
from lab_utils.monitoring import tools
from lab_utils.monitoring.packages import relocated
from lab_utils.paths import project_root
from lab_utils.server.install import backend_directory

_WITH_LLAMA = {"03", "04"}


def warm(labs: Sequence[str]) -> None:
    """Build models and backends of these labs in the cache of this process; compile the course."""
    compileall.compile_dir(project_root() / "lab_utils", quiet=2)
    build_models()
    version_file()
    backend_directory()
    importlib.import_module("matplotlib.font_manager")  # lists this machine's fonts once
    with contextlib.suppress(tools.MonitoringError):
        relocated(tools.find_tool("alertmanager"))
    if has_torch() and _WITH_LLAMA & set(labs):
        _llama()


def _llama() -> None:
    from lab_utils.llama.export import MODEL, build_logits
    from lab_utils.llama.small import small_llama

    small_llama()
    with tempfile.TemporaryDirectory() as name:
        # The file in a repository is the student's to make; its cached copy saves the export.
        shutil.copytree(project_root() / "model_repository" / MODEL, Path(name) / MODEL)
        build_logits(Path(name), "small")
