"""Writes the course's Grafana dashboard: `python -m lab_utils.monitoring.grafana_build`.

It needs the package grafana-foundation-sdk, which only the tests install: `pip install -e ".[test]"`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab_utils.errors import LabError
from lab_utils.monitoring.grafana import ROWS, Panel
from lab_utils.paths import project_root

if TYPE_CHECKING:
    from grafana_foundation_sdk.builders.dashboard import Dashboard
    from grafana_foundation_sdk.builders.stat import Panel as Stat
    from grafana_foundation_sdk.builders.timeseries import Panel as TimeSeries

FILE = project_root() / "docker" / "grafana" / "dashboards" / "triton-labs.json"
UID = "triton-labs"
_HEIGHTS = {"stat": 4, "timeseries": 8}


def dashboard_json() -> str:
    """The dashboard as Grafana reads it.

    Raises:
        LabError: grafana-foundation-sdk is not installed.
    """
    try:
        from grafana_foundation_sdk.cog.encoder import JSONEncoder
    except ImportError:
        raise LabError(
            "The package grafana-foundation-sdk is not installed.",
            why="Only who changes the dashboard needs it: Grafana reads the finished file.",
            fix='Run `pip install -e ".[test]"`.',
        ) from None
    return JSONEncoder(indent=2, sort_keys=True, ensure_ascii=False).encode(_dashboard().build()) + "\n"


def panel_queries(dashboard: dict[str, Any]) -> list[tuple[str, str]]:
    """(title, PromQL) of every query of a dashboard, also of one that somebody else made.

    Args:
        dashboard: Its parsed JSON.
    """
    found = []
    for panel in dashboard.get("panels", []):
        found += [
            (panel.get("title", ""), target["expr"])
            for target in panel.get("targets", [])
            if target.get("expr")
        ]
        found += panel_queries(panel)  # a collapsed row holds its panels
    return found


def _dashboard() -> Dashboard:
    from grafana_foundation_sdk.builders import dashboard as builders
    from grafana_foundation_sdk.models import dashboard as models

    source = models.DataSourceRef(type_val="prometheus", uid="${datasource}")
    everything = models.VariableOption(selected=True, text="All", value="$__all")
    built = (
        builders.Dashboard("Triton Labs")
        .uid(UID)
        .description(
            "Made by lab_utils/monitoring/grafana_build.py. Change it there: docs/dashboards.md says how."
        )
        .tags(["triton"])
        .refresh("5s")
        .time("now-15m", "now")
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
        .with_variable(builders.DatasourceVariable("datasource").label("Prometheus").type("prometheus"))
        .with_variable(
            builders.QueryVariable("model")
            .label("Model")
            .datasource(source)
            .query("label_values(nv_inference_request_success, model)")
            .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
            .sort(models.VariableSort.ALPHABETICAL_ASC)
            .multi(True)
            .include_all(True)
            .all_value(".*")
            .current(everything)
        )
    )
    number = 0
    for row in ROWS:
        number += 1
        built.with_row(builders.Row(row.title).id(number))
        for panel in row.panels:
            number += 1
            built.with_panel(_panel(panel, source).id(number))
    return built


def _panel(panel: Panel, source: Any) -> Stat | TimeSeries:
    from grafana_foundation_sdk.builders import prometheus

    built = _stat(panel) if panel.kind == "stat" else _time_series(panel)
    built.title(panel.title).description(panel.about).unit(panel.unit).min(0)
    built.datasource(source).height(_HEIGHTS[panel.kind]).span(panel.width)
    if panel.highest is not None:
        built.max(panel.highest)
    for place, query in enumerate(panel.queries):
        built.with_target(
            prometheus.Dataquery()
            .expr(query.promql)
            .legend_format(query.legend)
            .ref_id(chr(ord("A") + place))
            .range()
        )
    return built


def _stat(panel: Panel) -> Stat:
    from grafana_foundation_sdk.builders import common as builders
    from grafana_foundation_sdk.builders import stat
    from grafana_foundation_sdk.models import common, dashboard

    built = (
        stat.Panel()
        .graph_mode(common.BigValueGraphMode.NONE if panel.states else common.BigValueGraphMode.AREA)
        # Without this the panel shows nothing.
        .reduce_options(builders.ReduceDataOptions().calcs(["lastNotNull"]))
    )
    if panel.states:
        words = {
            str(value): dashboard.ValueMappingResult(text=word) for value, word in enumerate(panel.states)
        }
        built.mappings([dashboard.ValueMap(options=words)])
    return built


def _time_series(panel: Panel) -> TimeSeries:
    from grafana_foundation_sdk.builders import common as builders
    from grafana_foundation_sdk.builders import timeseries
    from grafana_foundation_sdk.models import common

    return (
        timeseries.Panel()
        .show_points(common.VisibilityMode.AUTO)
        .fill_opacity(10)
        .legend(
            builders.VizLegendOptions()
            .display_mode(common.LegendDisplayMode.LIST)
            .placement(common.LegendPlacement.BOTTOM)
            .show_legend(True)
        )
        .tooltip(builders.VizTooltipOptions().mode(common.TooltipDisplayMode.MULTI))
    )


def write(path: Path = FILE) -> None:
    """Write the dashboard."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(dashboard_json())


def main(arguments: list[str]) -> int:
    """Write the file; with `--check` only say whether it is up to date. Returns the exit status."""
    if "--check" not in arguments:
        write()
        print(f"Written: {FILE.relative_to(project_root())}")
        return 0
    made = json.loads(dashboard_json())
    same = FILE.exists() and json.loads(FILE.read_text()) == made
    print("Up to date." if same else "Not up to date: run `python -m lab_utils.monitoring.grafana_build`.")
    return 0 if same else 1


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except LabError as error:
        sys.exit(str(error))
