"""Names, folders, secrets and variables of the stack: what `docker/compose.yaml` is filled in with."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lab_utils import paths
from lab_utils.server import docker_engine
from lab_utils.stack import state

STACK_LABEL = "triton-lab.stack"
"""The label of every container of the stack; its value is the state folder of the user who started it."""
SECRETS = ("jupyter_token", "grafana_password")
"""The files of the secrets folder: JupyterLab's token, and the password of Grafana's user `admin`."""
PORT_VARIABLES = {
    8888: "TRITON_LAB_JUPYTER_PORT",
    8000: "TRITON_LAB_HTTP_PORT",
    8001: "TRITON_LAB_GRPC_PORT",
    8002: "TRITON_LAB_METRICS_PORT",
    9090: "TRITON_LAB_PROMETHEUS_PORT",
    9093: "TRITON_LAB_ALERTMANAGER_PORT",
    3000: "TRITON_LAB_GRAFANA_PORT",
}
"""The variable that moves a port of this machine, by the port inside the container."""
_USUAL_UID = 1000


@dataclass(frozen=True)
class Owner:
    """The user that the containers with files of this machine run as."""

    uid: int
    gid: int


def compose_files(gpu: bool = False, more: tuple[Path, ...] = ()) -> tuple[Path, ...]:
    """The compose files, in the order in which they are laid over each other."""
    folder = paths.project_root() / "docker"
    own = [folder / "compose.yaml", *([folder / "gpu.yaml"] if gpu else [])]
    return (*own, *(path.resolve() for path in more))


def project_name() -> str:
    """Compose's project name for this user: other users of the engine have other ones."""
    name = docker_engine.container_name("stack").lower()
    return re.sub(r"[^a-z0-9_-]", "-", name)


def owner(*, mapped: bool = False) -> Owner:
    """Who owns the files that the containers share with this machine.

    Args:
        mapped: The engine runs as this user (rootless Docker): root inside a container is this user.

    Returns:
        This user; for root the user who called sudo, else the images' usual user: notebooks do not run
        as root.
    """
    if mapped:
        return Owner(0, 0)
    if os.getuid() != 0:
        return Owner(os.getuid(), os.getgid())
    named = os.environ.get("SUDO_UID", ""), os.environ.get("SUDO_GID", "")
    if all(text.isdigit() and int(text) for text in named):
        return Owner(int(named[0]), int(named[1]))
    return Owner(_USUAL_UID, _USUAL_UID)


def environment(who: Owner, *, options: str = "", repository: Path | None = None) -> dict[str, str]:
    """This process's environment with the variables of `docker/compose.yaml`.

    Args:
        who: The user of the containers.
        options: Options of tritonserver, as they are typed; empty: those of the compose file.
        repository: What the stack's Triton serves; None: the project's `model_repository/`.
    """
    own = {
        "COMPOSE_PROJECT_NAME": project_name(),
        # docker-compose 1.29 overlooks docker's contexts.
        "DOCKER_HOST": docker_engine.engine_address(),
        "TRITON_LAB_STACK_HOME": str(paths.state_home()),
        "TRITON_LAB_STACK_TARGETS": str(state.targets_folder()),
        "TRITON_LAB_SECRETS": str(secrets_folder()),
        "TRITON_LAB_UID": str(who.uid),
        "TRITON_LAB_GID": str(who.gid),
        "TRITON_LAB_WORK": str(paths.work_dir()),
    }
    if options:
        own["TRITON_LAB_STACK_OPTIONS"] = options
    if repository is not None:
        own["TRITON_LAB_STACK_REPOSITORY"] = str(repository.resolve())
    return {**os.environ, **own}


def secrets_folder() -> Path:
    """Where the secrets lie: in the state folder, for this user alone, never in the project."""
    return state.folder() / "secrets"


def make_folders(who: Owner) -> Mapping[str, Path]:
    """Make what the containers mount, as far as it is not there: secrets, the targets' folder, `work/`.

    Secrets are random, and are kept until `triton-lab down`.

    Returns:
        The file of each secret.
    """
    for folder, mode in ((state.folder(), 0o700), (secrets_folder(), 0o700), (state.targets_folder(), 0o755)):
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(mode)
    if not paths.work_dir().exists():
        paths.work_dir().mkdir(parents=True)
        _give(paths.work_dir(), who)
    _give(state.targets_folder(), who)
    files = {name: secrets_folder() / name for name in SECRETS}
    for file in files.values():
        if not file.exists():
            descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as opened:
                opened.write(secrets.token_urlsafe(24))
        _give(file, who)
    return files


def _give(path: Path, who: Owner) -> None:
    """Only root can hand a file to another user, and only root needs to."""
    if os.getuid() == 0 and who.uid:
        os.chown(path, who.uid, who.gid)
