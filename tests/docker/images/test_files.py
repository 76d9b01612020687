"""What the images are made of, without an engine: public bases, pins, users, health, no needless files."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from lab_utils import paths
from lab_utils.doctor.facts import read_constraints

ROOT = paths.project_root()
FILES = {path.name: path.read_text() for path in sorted((ROOT / "docker").glob("Dockerfile*"))}
PUBLIC = {
    "Dockerfile": "python:3.11-slim-bookworm",
    "Dockerfile.triton": "nvcr.io/nvidia/tritonserver:24.10-py3",
    "Dockerfile.triton-cpu": "debian:bookworm-slim",
}
SCRIPTS = ["docker/image/install-packages", "docker/image/lab-entry", "docker/image/start-lab"]
SCRIPTS += ["binder/postBuild", "binder/start"]
files = pytest.mark.parametrize("name", FILES)


def instructions(name: str) -> list[tuple[str, str]]:
    """Word and rest of every instruction, continued lines joined, comments left out."""
    lines = [line for line in FILES[name].splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n", " ", "\n".join(lines))
    return [(line.split()[0], line.split(maxsplit=1)[1]) for line in joined.splitlines() if line.strip()]


def last_stage(name: str) -> list[tuple[str, str]]:
    found = instructions(name)
    return found[max(i for i, (word, _) in enumerate(found) if word == "FROM") :]


def arguments(name: str) -> dict[str, str]:
    return dict(rest.partition("=")[::2] for word, rest in instructions(name) if word == "ARG")


def test_there_is_one_for_the_notebooks_and_two_for_triton() -> None:
    assert set(FILES) == set(PUBLIC)


@files
def test_its_base_is_a_public_image_unless_a_build_argument_says_otherwise(name: str) -> None:
    given = arguments(name)
    assert given["BASE"] == PUBLIC[name]
    assert given["WHEELS"] == "scratch"
    froms = [rest.split()[0] for word, rest in instructions(name) if word == "FROM"]
    assert set(froms) <= {"${BASE}", "${WHEELS}", "system"}


@files
def test_it_ends_as_a_user_other_than_root_and_tells_its_health(name: str) -> None:
    given, last = arguments(name), dict(last_stage(name))
    assert last["USER"] == "${UID}:${GID}"
    assert given["UID"].isdigit()
    assert given["GID"].isdigit()
    assert int(given["UID"]) > 0
    assert "HEALTHCHECK" in last
    assert last["CMD"].startswith("["), "a shell in between would keep signals from the server"


@files
def test_pips_settings_stay_in_the_stage_that_is_thrown_away(name: str) -> None:
    assert {"PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_NO_INDEX", "PIP_FIND_LINKS"} <= set(arguments(name))
    words = " ".join(rest for _, rest in last_stage(name))
    assert "PIP_" not in words
    assert "/wheels" not in words
    # What BuildKit alone understands would shut out docker-compose 1.29.
    assert "--mount" not in FILES[name]
    assert "# syntax" not in FILES[name]


@files
def test_every_source_of_a_copy_exists_and_reaches_the_build(name: str) -> None:
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    allowed = {line[1:] for line in ignored if line.startswith("!")}
    assert ignored.index("*") < min(i for i, line in enumerate(ignored) if line.startswith("!"))
    for word, rest in instructions(name):
        if word == "COPY" and not rest.startswith("--from"):
            for source in rest.split()[:-1]:
                assert (ROOT / source).exists(), source
                assert source.split("/")[0] in allowed, source


def test_no_solution_no_test_and_nothing_of_a_student_reaches_the_build() -> None:
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert not allowed & {"labs_solutions", "tests", "work", ".git", ".venv"}


@pytest.mark.parametrize("path", SCRIPTS)
def test_scripts_are_executable_and_valid(path: str) -> None:
    script = ROOT / path
    assert script.stat().st_mode & 0o111
    shell = script.read_text().splitlines()[0].removeprefix("#!")
    answer = subprocess.run([shell, "-n", str(script)], capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr


@pytest.mark.parametrize("name", ["hub-constraints.txt", "ngc-constraints.txt"])
def test_further_pins_are_plain_pins(name: str) -> None:
    lines = (ROOT / "docker" / "image" / name).read_text().splitlines()
    odd = [
        li for li in lines if not li.startswith("#") and not re.fullmatch(r"[a-z0-9.-]+==[0-9][a-z0-9.]*", li)
    ]
    assert odd == []


def test_pins_of_the_hub_repeat_none_of_the_course() -> None:
    hub = read_constraints(ROOT / "docker" / "image" / "hub-constraints.txt")
    assert set(hub) & set(read_constraints(ROOT / "constraints.txt")) == set()


def test_pins_for_python_3_10_hold_what_the_models_need_and_agree_where_they_can() -> None:
    pins = read_constraints(ROOT / "docker" / "image" / "ngc-constraints.txt")
    own = read_constraints(ROOT / "constraints.txt")
    for name in ("torch", "transformers", "tokenizers", "safetensors", "numpy", "filelock", "psutil"):
        assert name in pins
    # The weights' own formats, and PyTorch: the small Llama is to be the same in both.
    assert [n for n in ("torch", "tokenizers", "safetensors", "numpy") if pins[n] != own[n]] == []


def listed(*options: str) -> list[Requirement]:
    """What the images' own program makes of pyproject.toml."""
    program = ROOT / "docker" / "image" / "requirements.py"
    answer = subprocess.run(
        [sys.executable, str(program), str(ROOT / "pyproject.toml"), *options],
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    return [Requirement(line) for line in answer.stdout.splitlines()]


def test_the_requirements_of_an_image_are_those_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    whole = [Requirement(text) for text in project["dependencies"]]
    torch = [Requirement(text) for text in project["optional-dependencies"]["torch"]]
    assert listed() == whole
    assert listed("--extras", "torch") == whole + torch
    assert [r.name for r in listed("--only", "numpy,psutil")] == ["numpy", "psutil"]
    for name, text in FILES.items():
        for only in re.findall(r"--only (\S+)", text):
            assert listed("--only", only), name


def test_an_unknown_extra_is_named() -> None:
    with pytest.raises(AssertionError, match=r"no extra tensorrt; it has torch, test"):
        listed("--extras", "tensorrt")


def test_the_dev_container_uses_the_image_of_the_notebooks() -> None:
    folder = ROOT / ".devcontainer"
    settings = json.loads((folder / "devcontainer.json").read_text())
    build = settings["build"]
    assert (folder / build["dockerfile"]).resolve() == ROOT / "docker" / "Dockerfile"
    assert (folder / build["context"]).resolve() == ROOT
    assert set(build["args"]) <= set(arguments("Dockerfile"))
    assert (
        f'useradd --uid "${{UID}}" --gid "${{GID}}" --create-home --shell /bin/bash {settings["remoteUser"]}'
        in (FILES["Dockerfile"])
    )
    assert any(option.startswith("--shm-size=") for option in settings["runArgs"])


def test_binder_installs_the_project_at_the_pinned_versions() -> None:
    folder = ROOT / "binder"
    environment = yaml.safe_load((folder / "environment.yml").read_text())
    (pip,) = [item["pip"] for item in environment["dependencies"] if isinstance(item, dict)]
    assert pip == ["-c ../constraints.txt", "-e .."]
    assert (folder / pip[0].split()[1]).resolve() == ROOT / "constraints.txt"
    assert (folder / pip[1].split()[1]).resolve() == ROOT
    conda = [item for item in environment["dependencies"] if isinstance(item, str)]
    assert conda == ["python=3.11", "pip"]


def test_the_page_about_containers_names_every_build_argument() -> None:
    page = (ROOT / "docs" / "containers.md").read_text()
    for name in FILES:
        assert f"docker/{name}" in page
        for argument in arguments(name):
            assert f"`{argument}`" in page, argument


def test_names_in_normal_form() -> None:
    for name in ("hub-constraints.txt", "ngc-constraints.txt"):
        pins = read_constraints(Path(ROOT / "docker" / "image" / name))
        assert [n for n in pins if n != canonicalize_name(n)] == []
