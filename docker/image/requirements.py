"""Print what an image must install, one requirement a line, out of pyproject.toml.

    python3 requirements.py pyproject.toml --extras torch,test
    python3 requirements.py pyproject.toml --only numpy,onnxruntime --extras torch

So the images follow pyproject.toml, and the layer of packages does not depend on the course's own files.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10, which NVIDIA's image has
    from pip._vendor import tomli as tomllib


def requirements(project: Path, extras: list[str], only: list[str]) -> list[str]:
    """The requirements of the project and of some of its extras.

    Args:
        project: `pyproject.toml`.
        extras: Names of extras.
        only: Of the project's own requirements take these alone; empty: all.

    Raises:
        SystemExit: There is no such extra or requirement.
    """
    table = tomllib.loads(project.read_text())["project"]
    own = {name_of(line): line for line in table["dependencies"]}
    optional = table["optional-dependencies"]
    for kind, asked, there in (("extra", extras, optional), ("requirement", only, own)):
        unknown = [name for name in asked if name not in there]
        if unknown:
            raise SystemExit(f"pyproject.toml has no {kind} {', '.join(unknown)}; it has {', '.join(there)}")
    chosen = [own[name] for name in only or own]
    return chosen + [line for extra in extras for line in optional[extra]]


def name_of(requirement: str) -> str:
    """The package's name in a requirement."""
    return re.split(r"[\[<>=!~ ;]", requirement, maxsplit=1)[0]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("project", type=Path)
    parser.add_argument("--extras", default="")
    parser.add_argument("--only", default="")
    given = parser.parse_args()
    lists = [[name for name in text.split(",") if name] for text in (given.extras, given.only)]
    print("\n".join(requirements(given.project, *lists)))
