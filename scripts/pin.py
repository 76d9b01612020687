"""Write constraints.txt from pip's resolution reports, one per supported Python.

    python3.11 -m pip install --dry-run --ignore-installed --quiet --report r311.json -e ".[torch,test]"
    python3.12 -m pip install --dry-run --ignore-installed --quiet --report r312.json -e ".[torch,test]"
    python scripts/pin.py r311.json r312.json > constraints.txt

The result names no host and no local version (`2.13.0`, never `2.13.0+cpu`), so the same file works
with every package index and with every build of PyTorch. Two reports that disagree are refused.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

HEADER = """\
# Exact versions for Python 3.11 and 3.12, resolved together. Used by `make lab`, `make test` and conda.
# No host and no local version: any package index and any build of PyTorch will do.
# NumPy stays below 2: with NumPy 2 this Triton answers with empty tensors and no error.
# How to make this file again: scripts/pin.py."""


def normal(name: str) -> str:
    """A package name in its normal form (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def pins(reports: list[Path]) -> dict[str, str]:
    """Name to version, from pip's JSON reports.

    Raises:
        SystemExit: Two reports want different versions of one package.
    """
    found: dict[str, str] = {}
    for report in reports:
        for item in json.loads(report.read_text())["install"]:
            name, version = normal(item["metadata"]["name"]), item["metadata"]["version"].split("+")[0]
            if name == "triton-labs":
                continue
            if found.setdefault(name, version) != version:
                sys.exit(f"{name}: {found[name]} and {version}; constrain it so that both Pythons agree")
    return found


if __name__ == "__main__":
    print(HEADER)
    for name, version in sorted(pins([Path(a) for a in sys.argv[1:]]).items()):
        print(f"{name}=={version}")
