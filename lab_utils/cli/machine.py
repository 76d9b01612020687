"""Commands that look at the machine: doctor and demo."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.text import Text

from lab_utils.cli import output
from lab_utils.cli.servers import JsonFlag


def doctor(json: JsonFlag = False) -> None:
    """Look for everything the labs need, and say how to mend what is missing. Exit code 1 on any FAIL."""
    from lab_utils.doctor import Status, run_doctor

    findings = run_doctor()
    if json:
        output.print_json([finding.as_dict() for finding in findings])
    else:
        rows: list[list[str | Text]] = []
        for finding in findings:
            text = finding.detail + (f"\nNext: {finding.fix}" if finding.fix else "")
            rows.append([output.status_text(finding.status), finding.check, text])
        output.show_table(["", "check", "found"], rows)
        counts = {s: sum(f.status is s for f in findings) for s in Status}
        after = {Status.WARN: " (the labs work, some parts may not)", Status.FAIL: " (mend these first)"}
        shown = (Status.PASS, Status.WARN, Status.FAIL)
        output.say(", ".join(f"{counts[s]} {s}{after.get(s, '') if counts[s] else ''}" for s in shown))
    if any(finding.status is Status.FAIL for finding in findings):
        raise typer.Exit(1)


def demo() -> None:
    """Start a Triton, classify ten real digits over HTTP and gRPC, read the metrics, stop it."""
    from lab_utils.demo import run_demo

    if not run_demo():
        raise typer.Exit(1)


def pull(
    image: Annotated[
        str | None, typer.Argument(help="Default: TRITON_LAB_IMAGE, else NVIDIA's Triton (about 15 GB).")
    ] = None,
) -> None:
    """Pull the image of the docker runtime, and say in plain words why when it does not come."""
    from lab_utils.server.docker_pull import pull as pull_image
    from lab_utils.server.docker_settings import DockerSettings

    wanted = image or DockerSettings.from_environment().image
    output.say(f"Pulling {wanted} ...")
    pull_image(wanted, output.say)
    output.say(f"The image {wanted} is here.")


def fetch_prometheus(
    from_images: Annotated[
        bool,
        typer.Option("--from-images", help="Out of the container images instead of Debian's packages."),
    ] = False,
) -> None:
    """Get Prometheus and Alertmanager for Lab 4, unless they are here, and say where they are."""
    from lab_utils.monitoring import tools

    if not (tools.has_prometheus() and tools.has_alertmanager()):
        tools.fetch(from_images)
    for name in tools.SETTINGS:  # no table: it would shorten long paths
        typer.echo(f"{name:<12} {tools.find_tool(name)}")
