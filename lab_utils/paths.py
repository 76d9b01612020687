"""Where the course keeps its files. Every folder can be moved with an environment variable."""

from __future__ import annotations

import os
from pathlib import Path


def project_root() -> Path:
    """The folder that holds `labs/`, `model_repository/` and `lab_utils/`."""
    return Path(__file__).resolve().parent.parent


def work_dir() -> Path:
    """The student's own folder: notebook copies, model repositories, progress.

    `TRITON_LAB_WORK` names another one. The default is `work/` in the project.
    """
    return Path(os.environ.get("TRITON_LAB_WORK") or project_root() / "work").resolve()


def state_home() -> Path:
    """State of running servers (one record and one log per server), private to this user.

    `TRITON_LAB_HOME` names another one. The default follows the XDG base directory
    specification: `$XDG_STATE_HOME/triton-lab`, else `~/.local/state/triton-lab`.
    """
    own = os.environ.get("TRITON_LAB_HOME")
    if own:
        return Path(own).resolve()
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(base).resolve() / "triton-lab"


def cache_home() -> Path:
    """Files that can be made again at any time: assembled backends, trained models.

    `TRITON_LAB_CACHE` names another one. The default is `$XDG_CACHE_HOME/triton-lab`,
    else `~/.cache/triton-lab`.
    """
    own = os.environ.get("TRITON_LAB_CACHE")
    if own:
        return Path(own).resolve()
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base).resolve() / "triton-lab"
