"""constraints.txt, pyproject.toml and environment.yml agree, and name no host."""

from __future__ import annotations

import re
import tomllib

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from lab_utils import paths
from lab_utils.doctor.facts import read_constraints, wanted_packages

ROOT = paths.project_root()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PINS = {canonicalize_name(n): v for n, v in read_constraints(ROOT / "constraints.txt").items()}
LINES = [
    line for line in (ROOT / "constraints.txt").read_text().splitlines() if line and not line.startswith("#")
]
REQUIREMENTS = [
    Requirement(text)
    for group in (PROJECT["dependencies"], *PROJECT["optional-dependencies"].values())
    for text in group
]


@pytest.mark.parametrize("requirement", REQUIREMENTS, ids=lambda r: r.name)
def test_every_dependency_is_pinned_to_a_version_it_allows(requirement):
    name = canonicalize_name(requirement.name)
    assert name in PINS, f"{name} is not in constraints.txt: see scripts/pin.py"
    assert requirement.specifier.contains(PINS[name], prereleases=True)


def test_every_line_is_a_plain_pin():
    """No host, no url, no option, no local version, no marker: nothing but name==version."""
    odd = [line for line in LINES if not re.fullmatch(r"[a-z0-9.-]+==[0-9][a-z0-9.!]*", line)]
    assert odd == []


def test_no_package_is_pinned_twice():
    assert len(PINS) == len(LINES)


def test_numpy_stays_below_2():
    assert Version(PINS["numpy"]) < Version("2")
    numpy = next(r for r in REQUIREMENTS if r.name == "numpy")
    assert not numpy.specifier.contains("2.0.0")


def test_the_server_is_the_one_that_the_labs_name():
    assert PINS["nvidia-pytriton"] == "0.7.0"


def test_every_python_that_the_readme_names_may_have_the_pins():
    """Debian 12 has Python 3.11.2: a package that wants 3.11.5 ends `make lab` there."""
    from importlib.metadata import distributions

    excluded = {
        one.metadata["Name"]: wanted
        for one in distributions()
        if (wanted := one.metadata.get("Requires-Python")) and not SpecifierSet(wanted).contains("3.11.2")
    }
    assert {name: text for name, text in excluded.items() if canonicalize_name(name) in PINS} == {}


def test_what_is_installed_pulls_nothing_that_is_not_pinned():
    """Follows the dependencies of the installed packages: a transitive package may not float either."""
    from importlib.metadata import PackageNotFoundError, requires

    todo, seen = [(r.name, frozenset(r.extras)) for r in REQUIREMENTS], set()
    while todo:
        name, extras = todo.pop()
        if (canonicalize_name(name), extras) in seen:
            continue
        seen.add((canonicalize_name(name), extras))
        try:
            found = requires(name) or []
        except PackageNotFoundError:
            continue  # for another platform, or an extra that is not installed
        for text in found:
            requirement = Requirement(text)
            if requirement.marker is None or any(
                requirement.marker.evaluate({"extra": e}) for e in ("", *extras)
            ):
                todo.append((requirement.name, frozenset(requirement.extras)))
    # PyTorch's CUDA build pins its own NVIDIA parts exactly; they are not ours to repeat.
    floating = {n for n, _ in seen if n not in PINS and not n.startswith(("nvidia-", "triton", "cuda-"))}
    assert floating == set()


def test_environment_yml_agrees_with_pyproject():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    conda = [d for d in environment["dependencies"] if isinstance(d, str)]
    (pip,) = [d["pip"] for d in environment["dependencies"] if isinstance(d, dict)]
    names = {re.split(r"[<>=! ]", d)[0]: d for d in conda}
    assert set(names) == {"python", "pip"}, "conda brings Python and pip only; the rest is pinned by pip"
    assert SpecifierSet(names["python"].removeprefix("python")) == SpecifierSet(PROJECT["requires-python"])
    assert pip[0] == "-c constraints.txt"
    extras = re.fullmatch(r"-e \.\[([a-z,]+)\]", pip[1])
    assert extras, pip[1]
    assert set(extras[1].split(",")) == set(PROJECT["optional-dependencies"])
    assert len(pip) == 2
    assert environment["name"] == PROJECT["name"]


def test_the_doctor_compares_with_the_same_pins():
    wanted = wanted_packages()
    assert {canonicalize_name(n) for n in wanted} == {
        canonicalize_name(Requirement(t).name) for t in PROJECT["dependencies"]
    }
    assert wanted["numpy"] == PINS["numpy"]
    assert None not in wanted.values()
