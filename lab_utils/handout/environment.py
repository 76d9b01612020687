"""What a teacher wants to know about the machine that a notebook was written on."""

from __future__ import annotations

import importlib.metadata
import platform
from pathlib import Path
from typing import Any

from lab_utils.doctor import run_doctor
from lab_utils.paths import project_root


def environment_report() -> dict[str, Any]:
    """System, versions of the packages, and the findings of the doctor.

    The student's home folder and the course's folder are written as `~` and `COURSE`: who they are and
    where they keep their files is nobody's business.
    """
    findings = [finding.as_dict() for finding in run_doctor()]
    report = {
        "system": f"{platform.system()} {platform.machine()}",
        "kernel": platform.release(),
        "libc": " ".join(platform.libc_ver()),
        "python": platform.python_version(),
        "packages": dict(sorted(_packages())),
        "doctor": findings,
    }
    return _private(report)


def _packages() -> list[tuple[str, str]]:
    found = []
    for one in importlib.metadata.distributions():
        name = one.metadata["Name"]
        if name:
            found.append((name.lower(), one.version))
    return found


def _private(value: Any) -> Any:
    """The same JSON value without the student's own folders."""
    if isinstance(value, dict):
        return {key: _private(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_private(one) for one in value]
    if isinstance(value, str):
        for folder, word in ((project_root(), "COURSE"), (Path.home(), "~")):
            if str(folder) != "/":
                value = value.replace(str(folder), word)
    return value
