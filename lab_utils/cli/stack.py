"""Commands for the stack in containers: up and down."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lab_utils.cli import output
from lab_utils.cli.servers import JsonFlag, choose_models

if TYPE_CHECKING:
    from lab_utils.stack.state import StackState

_NAMES = {
    "jupyter": "JupyterLab",
    "triton.http": "Triton HTTP",
    "triton.grpc": "Triton gRPC",
    "triton.metrics": "metrics",
    "prometheus": "Prometheus",
    "alertmanager": "Alertmanager",
    "grafana": "Grafana",
}
# All models of the repository, and no requests to load others.
CLOSED = "--model-control-mode=none"


def up(
    services: Annotated[
        list[str] | None,
        typer.Argument(help="Only these: jupyter, triton, prometheus, alertmanager, grafana. Default: all."),
    ] = None,
    gpu: Annotated[bool, typer.Option("--gpu", help="Give Triton the GPUs of this machine.")] = False,
    build: Annotated[
        bool, typer.Option("--build", help="Build the course's images first: JupyterLab and Triton.")
    ] = False,
    pull: Annotated[
        bool, typer.Option("--pull", help="Fetch missing images of Prometheus, Alertmanager and Grafana.")
    ] = False,
    file: Annotated[
        list[Path] | None,
        typer.Option(
            help="A compose file of your own, laid over ours. Repeatable.", exists=True, dir_okay=False
        ),
    ] = None,
    repository: Annotated[
        Path | None,
        typer.Option(help="What Triton serves. Default: the project's model_repository/.", exists=True),
    ] = None,
    timeout: Annotated[float, typer.Option(help="Seconds to wait until everything is healthy.")] = 120.0,
    json: JsonFlag = False,
) -> None:
    """Start JupyterLab, Triton, Prometheus, Alertmanager and Grafana in containers; print the addresses.

    A second call starts what is missing. All ports are on loopback. `triton-lab down` removes everything.
    """
    from lab_utils.server.keys import shared_host
    from lab_utils.stack.run import Wish, up

    options, left_out = "", list[str]()
    if repository is not None:
        options = CLOSED if shared_host() else "--model-control-mode=explicit --load-model=*"
    elif not services or "triton" in services:
        repository, options, left_out = _examples()
    wish = Wish(
        services=tuple(services or ()),
        gpu=gpu,
        build=build,
        pull=pull,
        files=tuple(file or ()),
        options=options,
        repository=repository,
        timeout=timeout,
    )
    stack, notes = up(wish, say=(lambda _text: None) if json else output.say)
    if json:
        output.print_json({**stack.as_dict(), "notes": notes})
        return
    output.say("The stack runs:")
    for key, label in _NAMES.items():
        if key in stack.urls:
            output.say(f"  {label:<13} {_address(stack, key)}")
    for note in notes:
        output.say(f"Note: {note}")
    if left_out and "triton.http" in stack.urls:
        for line in not_loaded(repository, left_out, stack.urls["triton.http"]):
            output.say(line)
    output.say("Stop: triton-lab down")


def _examples() -> tuple[Path, str, list[str]]:
    """The worked examples: their folder, tritonserver's options, and the models that are not loaded at once.

    Where users share this machine, everybody reaches loopback, and whoever may load models runs code in the
    container. So the server then gets a folder with its models alone, and takes no requests to load others.
    """
    from lab_utils import paths
    from lab_utils.models.build import build_models
    from lab_utils.progress.repository import copy_models
    from lab_utils.server.keys import shared_host
    from lab_utils.stack import state

    build_models()
    repository = paths.project_root() / "model_repository"
    words, left_out = choose_models(repository, [])
    if not shared_host():
        return repository, " ".join(words), left_out
    copy = state.folder() / "model_repository"
    copy_models([word.partition("=")[2] for word in words if word.startswith("--load-model=")], copy)
    return copy, CLOSED, []


def not_loaded(repository: Path | None, left_out: list[str], url: str) -> list[str]:
    """What to do about models that are not loaded: some can be at once, others must be made first."""
    ready = [name for name in left_out if repository is not None and _has_version(repository / name)]
    lines = []
    if ready:
        load = f"curl -X POST {url}/v2/repository/models/MODEL/load"
        lines.append(f"Not loaded: {', '.join(ready)}. Load one when you want it: {load}")
    for name in left_out:
        if name not in ready:
            make = f"triton-lab models build{' --llama' if name.startswith('llama') else ''}"
            lines.append(f"Not made yet: {name}. `{make}` makes it, with PyTorch on this machine.")
    return lines


def _has_version(model: Path) -> bool:
    """Whether a folder of a model has a version that holds a file: only such a model can be loaded."""
    return any(
        folder.name.isdigit() and any(path.is_file() for path in folder.rglob("*"))
        for folder in model.glob("*/")
    )


def _address(stack: StackState, key: str) -> str:
    """An address as a student needs it: JupyterLab's with its token, Grafana's with where the password is."""
    url = stack.urls[key]
    if key == "jupyter":
        return f"{url}/lab?token={Path(stack.secrets['jupyter_token']).read_text()}"
    if key == "triton.metrics":
        return f"{url}/metrics"
    if key == "grafana":
        return f"{url}  (user admin, password in {stack.secrets['grafana_password']})"
    return url


def down(
    keep_volumes: Annotated[
        bool,
        typer.Option(
            "--keep-volumes", help="Leave what Prometheus, Alertmanager and Grafana have stored, and secrets."
        ),
    ] = False,
    json: JsonFlag = False,
) -> None:
    """Stop and remove the stack: no container, network, volume or port stays. Your work/ stays."""
    from lab_utils.stack.run import down

    removed = down(keep_volumes=keep_volumes, say=(lambda _text: None) if json else output.say)
    if json:
        output.print_json({"removed": removed})
        return
    for one in removed:
        output.say(f"removed: {one}")
    output.say("The stack is down." if removed else "The stack was not running.")
