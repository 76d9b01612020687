"""A Prometheus on loopback: its configuration and its command line."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

import yaml

from lab_utils import web
from lab_utils.files import write_text
from lab_utils.monitoring.program import Program
from lab_utils.monitoring.tools import MonitoringError, find_tool
from lab_utils.paths import project_root
from lab_utils.server.ports import LOOPBACK

SETTINGS = project_root() / "docker" / "prometheus" / "prometheus.yml"
"""The course's configuration; the notebooks' Prometheus differs in its targets, files and interval."""
_RELOAD_TIMEOUT = 20.0


class Prometheus:
    """One Prometheus of ours.

    Args:
        targets: URL of a metrics page by the name of its job.
        folder: For its configuration, its rules, its log and, while it runs, its data.
        rules: The text of its rule file.
        every: Seconds between two readings of a page, and between two evaluations of the rules.
        alertmanager: `host:port` of the Alertmanager, or None.
    """

    def __init__(
        self,
        targets: Mapping[str, str],
        *,
        folder: Path,
        rules: str,
        every: float = 1.0,
        alertmanager: str | None = None,
    ) -> None:
        self._every = every
        self._alertmanager = alertmanager
        self._config_path = folder / "prometheus.yml"
        self._rules_path = folder / "rules.yml"
        write_text(self._rules_path, rules)
        write_text(self._config_path, config(targets, self._rules_path, every, alertmanager))
        binary = find_tool("prometheus")
        self._data = ""

        def command(port: int, data: Path) -> list[str]:
            self._data = str(data)
            return [
                str(binary),
                f"--config.file={self._config_path}",
                f"--storage.tsdb.path={data}",
                f"--web.listen-address={LOOPBACK}:{port}",
                "--web.enable-lifecycle",  # reload of the rules by HTTP
            ]

        self.program = Program("prometheus", folder, command, self._is_ours)

    def _is_ours(self, url: str) -> bool:
        flags = web.get(f"{url}/api/v1/status/flags", 5.0).json()["data"]
        return flags["storage.tsdb.path"] == self._data

    def set_rules(self, text: str) -> None:
        """Replace the rule file and let the running Prometheus read it. Alerts of rules that go end.

        Raises:
            MonitoringError: Prometheus refuses the rules. Then it goes on with those it had.
        """
        self._replace(self._rules_path, text)

    def set_targets(self, targets: Mapping[str, str]) -> None:
        """Read other pages from now on: URL of a metrics page by the name of its job."""
        self._replace(self._config_path, config(targets, self._rules_path, self._every, self._alertmanager))

    def _replace(self, path: Path, text: str) -> None:
        before = path.read_text()
        write_text(path, text)
        answer = web.post(f"{self.program.url}/-/reload", _RELOAD_TIMEOUT)
        if answer.status_code != 200:
            write_text(path, before)
            raise MonitoringError(
                f"Prometheus refuses the new {path.name}.",
                why="Its words stand below.",
                fix="Mend the place they name.",
                details=answer.text.strip(),
            )


def config(targets: Mapping[str, str], rules: Path, every: float, alertmanager: str | None) -> str:
    """The text of a configuration: the course's, with these targets and this interval.

    Args:
        targets: URL of a metrics page by the name of its job.
        rules: The rule file.
        every: Interval in seconds.
        alertmanager: `host:port`, or None.
    """
    data = yaml.safe_load(SETTINGS.read_text())
    interval = f"{max(1, round(every * 1000))}ms"
    # The limit of one reading may not be longer than the interval.
    data["global"] |= {
        "scrape_interval": interval,
        "scrape_timeout": interval,
        "evaluation_interval": interval,
    }
    data["rule_files"] = [str(rules)]
    managers = [{"static_configs": [{"targets": [alertmanager]}]}] if alertmanager else []
    data["alerting"] = {"alertmanagers": managers}
    data["scrape_configs"] = []
    for job, url in targets.items():
        parts = urlsplit(url)
        data["scrape_configs"].append(
            {
                "job_name": job,
                "scheme": parts.scheme,
                "metrics_path": parts.path,
                "static_configs": [{"targets": [parts.netloc]}],
            }
        )
    return yaml.safe_dump(data, sort_keys=False)
