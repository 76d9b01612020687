"""The command lint."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lab_utils.cli import output
from lab_utils.cli.servers import JsonFlag


def lint(
    directory: Annotated[
        Path | None,
        typer.Argument(metavar="DIR", help="A model repository or one model. Default: model_repository/."),
    ] = None,
    server: Annotated[
        str | None, typer.Option(help="Check for this running server (its options, GPUs and backends).")
    ] = None,
    json: JsonFlag = False,
) -> None:
    """Say what Triton will refuse in a model repository, and what it will silently not do.

    Exit code 1 when Triton will refuse a model. docs/lint-rules.md lists the rules.
    """
    from lab_utils import paths
    from lab_utils.errors import LabError
    from lab_utils.repository.lint import ServerFacts, Severity, lint_repository, render_findings

    facts = ServerFacts()
    if server is not None:
        from lab_utils import server as triton

        running = triton.find(server)
        if running is None:
            raise LabError(
                f"No server `{server}` is running.", fix="`triton-lab status` shows the running servers."
            )
        facts = ServerFacts.of(running)
    findings = lint_repository(directory or paths.project_root() / "model_repository", facts=facts)
    if json:
        output.print_json([finding.as_dict() for finding in findings])
    else:
        output.say(render_findings(findings))
    if any(finding.severity is Severity.ERROR for finding in findings):
        raise typer.Exit(1)
