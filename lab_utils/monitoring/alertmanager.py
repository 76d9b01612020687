"""An Alertmanager on loopback: its configuration and its command line."""

from __future__ import annotations

from pathlib import Path

import yaml

from lab_utils import web
from lab_utils.files import write_text
from lab_utils.monitoring.packages import relocated
from lab_utils.monitoring.program import Program
from lab_utils.monitoring.tools import find_tool
from lab_utils.paths import project_root
from lab_utils.server.ports import LOOPBACK

SETTINGS = project_root() / "docker" / "alertmanager" / "alertmanager.yml"
"""The course's configuration; the notebooks' Alertmanager differs in the address of its receiver."""


class Alertmanager:
    """One Alertmanager of ours that sends to one webhook.

    Args:
        receiver_url: The webhook.
        folder: For its configuration, its log and, while it runs, its data.
    """

    def __init__(self, receiver_url: str, *, folder: Path) -> None:
        self._receiver_url = receiver_url
        config_path = folder / "alertmanager.yml"
        write_text(config_path, config(receiver_url))
        binary, cwd = relocated(find_tool("alertmanager"))

        def command(port: int, data: Path) -> list[str]:
            return [
                str(binary),
                f"--config.file={config_path}",
                f"--storage.path={data}",
                f"--web.listen-address={LOOPBACK}:{port}",
                "--cluster.listen-address=",  # else it opens port 9094 to all the world
            ]

        self.program = Program("alertmanager", folder, command, self._is_ours, cwd=cwd)

    @property
    def address(self) -> str:
        """Its `host:port`."""
        return self.program.url.removeprefix("http://")

    def _is_ours(self, url: str) -> bool:
        status = web.get(f"{url}/api/v2/status", 5.0).json()
        return self._receiver_url in status["config"]["original"]


def config(receiver_url: str) -> str:
    """The text of a configuration: the course's, with this receiver."""
    data = yaml.safe_load(SETTINGS.read_text())
    data["receivers"][0]["webhook_configs"][0]["url"] = receiver_url
    return yaml.safe_dump(data, sort_keys=False)
