"""Commands for model repositories: tree, config."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from lab_utils.cli import output
from lab_utils.cli.servers import JsonFlag
from lab_utils.errors import LabError


def tree(
    directory: Annotated[
        Path | None, typer.Argument(help="A model repository or one model. Default: model_repository/.")
    ] = None,
) -> None:
    """Draw a model repository: versions, files, sizes, what is served and what Triton ignores."""
    from lab_utils import paths
    from lab_utils.repository import draw_tree

    output.say(draw_tree(directory or paths.project_root() / "model_repository"))


def config(
    model: Annotated[str, typer.Argument(help="Name of a loaded model, or a model folder or config.pbtxt.")],
    server: Annotated[
        str | None, typer.Option(help="Name of the server, as `triton-lab status` shows it.")
    ] = None,
    diff: Annotated[
        Path | None, typer.Option(help="Show only what differs from this config.pbtxt or model folder.")
    ] = None,
    json: JsonFlag = False,
) -> None:
    """Show a model's config as the server reports it: your file plus auto-complete and defaults."""
    from google.protobuf import json_format

    from lab_utils.repository import diff_configs, draw_diff, format_config, read_config, served_config

    if server is None and Path(model).exists():
        found = read_config(Path(model))
    else:
        found = served_config(_address(server), model)
    if diff is not None:
        differences = diff_configs(read_config(diff), found)
        if json:
            rows: list[dict[str, Any]] = [vars(one) for one in differences]
            output.print_json(rows)
        else:
            output.say(draw_diff(differences, before=diff.name, after=model))
        return
    if json:
        output.print_json(json_format.MessageToDict(found, preserving_proto_field_name=True))
    else:
        output.say(format_config(found).rstrip())


def _address(name: str | None) -> str:
    """HTTP address of the named server, or of the only one that runs."""
    from lab_utils import server as triton

    running = [s for s in triton.running() if name in (None, s.name)]
    if len(running) == 1:
        return running[0].endpoints.http
    if not running:
        raise LabError(
            f"No server `{name}` of ours runs." if name else "No server of ours runs.",
            fix="Start one with `triton-lab start`; `triton-lab status` shows the running ones.",
        )
    raise LabError(
        "More than one server runs.",
        fix=f"Say which one: --server {running[0].name} (or {', '.join(s.name for s in running[1:])}).",
    )
