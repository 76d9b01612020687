"""The Grafana dashboard as code: the committed file is what the program makes, and Grafana understands it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from lab_utils.monitoring import QUANTITIES, grafana, grafana_build
from lab_utils.paths import project_root

FOLDER = project_root() / "docker" / "grafana"
PROVISIONING = FOLDER / "provisioning"


@pytest.fixture(scope="module")
def dashboard() -> dict[str, Any]:
    return json.loads(grafana_build.FILE.read_text())


def panels(dashboard: dict[str, Any]) -> list[dict[str, Any]]:
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def keys(tree: Any, path: str = "") -> Iterator[str]:
    """The path of every key in a JSON document."""
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield f"{path}/{key}"
            yield from keys(value, f"{path}/{key}")
    elif isinstance(tree, list):
        for place, value in enumerate(tree):
            yield from keys(value, f"{path}/{place}")


def through_grafanas_types(document: dict[str, Any]) -> dict[str, Any]:
    """Read a dashboard into the types of Grafana's schema and write it: what they do not know is gone."""
    from grafana_foundation_sdk.cog.encoder import JSONEncoder
    from grafana_foundation_sdk.cog.plugins import register_default_plugins
    from grafana_foundation_sdk.models.dashboard import Dashboard

    register_default_plugins()
    return json.loads(JSONEncoder().encode(Dashboard.from_json(document)))


def test_the_committed_file_is_what_the_program_makes() -> None:
    assert grafana_build.FILE.read_text() == grafana_build.dashboard_json(), (
        "run `python -m lab_utils.monitoring.grafana_build`"
    )


def test_check_says_whether_the_file_is_up_to_date(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert grafana_build.main(["--check"]) == 0
    old = tmp_path / "old.json"
    old.write_text(grafana_build.FILE.read_text().replace("5s", "6s"))
    monkeypatch.setattr(grafana_build, "FILE", old)
    assert grafana_build.main(["--check"]) == 1
    assert "Not up to date" in capsys.readouterr().out


def test_every_key_is_one_of_grafanas(dashboard: dict[str, Any]) -> None:
    again = through_grafanas_types(dashboard)
    assert sorted(keys(again)) == sorted(keys(dashboard))
    assert again == dashboard


@pytest.mark.parametrize(
    ("right", "wrong"), [("legendFormat", "legendformat"), ("unit", "units"), ("gridPos", "gridpos")]
)
def test_a_misspelt_key_would_be_found(dashboard: dict[str, Any], right: str, wrong: str) -> None:
    broken = json.loads(json.dumps(dashboard).replace(f'"{right}"', f'"{wrong}"', 1))
    assert sorted(keys(through_grafanas_types(broken))) != sorted(keys(broken))


def test_every_quantity_has_a_panel() -> None:
    shown = {query.promql for row in grafana.ROWS for panel in row.panels for query in panel.queries}
    assert [name for name, one in QUANTITIES.items() if grafana.by_model(one.promql) not in shown] == []


def test_every_panel_says_what_it_is_good_for(dashboard: dict[str, Any]) -> None:
    assert [panel["title"] for panel in panels(dashboard) if len(panel["description"]) < 20] == []


def test_panels_lie_side_by_side(dashboard: dict[str, Any]) -> None:
    taken: dict[tuple[int, int], str] = {}
    for panel in dashboard["panels"]:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24, panel["title"]
        for x in range(at["x"], at["x"] + at["w"]):
            for y in range(at["y"], at["y"] + at["h"]):
                assert (x, y) not in taken, f"{panel['title']} lies on {taken[x, y]}"
                taken[x, y] = panel["title"]
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(ids) == len(set(ids))


def test_every_panel_asks_the_chosen_prometheus(dashboard: dict[str, Any]) -> None:
    for panel in panels(dashboard):
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}, panel["title"]
        names = [target["refId"] for target in panel["targets"]]
        assert len(set(names)) == len(names) > 0, panel["title"]
    names = {variable["name"] for variable in dashboard["templating"]["list"]}
    assert names == {"datasource", "model"}


def test_a_large_number_has_a_rule_for_what_it_shows(dashboard: dict[str, Any]) -> None:
    """The SDK's own default is no rule at all: Grafana then shows an empty panel."""
    stats = [panel for panel in panels(dashboard) if panel["type"] == "stat"]
    assert stats
    assert {tuple(panel["options"]["reduceOptions"]["calcs"]) for panel in stats} == {("lastNotNull",)}


@pytest.mark.parametrize(
    ("template", "several"),
    [
        (
            'sum(rate(x{model="$model"}[$range]))',
            'sum by (model) (rate(x{model=~"$model"}[$__rate_interval]))',
        ),
        (
            'max(x{model="$model",quantile="0.99"}) / 1000',
            'max by (model) (x{model=~"$model",quantile="0.99"}) / 1000',
        ),
        (
            'histogram_quantile(0.9, sum by (le) (rate(x_bucket{model="$model"}[$range])))',
            'histogram_quantile(0.9, sum by (model, le) (rate(x_bucket{model=~"$model"}[$__rate_interval])))',
        ),
        ("avg_over_time(avg(x)[$range:1s])", "avg_over_time(avg(x)[$__rate_interval:1s])"),
    ],
)
def test_one_query_for_all_models(template: str, several: str) -> None:
    assert grafana.by_model(template) == several


def test_only_who_builds_it_needs_the_package() -> None:
    code = (
        "import sys; sys.modules['grafana_foundation_sdk'] = None\n"
        "import lab_utils.monitoring.grafana, lab_utils.monitoring.grafana_build as build\n"
        "from lab_utils.errors import LabError\n"
        "try: build.dashboard_json()\n"
        "except LabError as error: print(error)"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert answer.stdout.startswith("The package grafana-foundation-sdk is not installed.")
    assert "pip install" in answer.stdout


def test_grafana_is_told_how_often_prometheus_reads() -> None:
    """$__rate_interval is four times this: a wrong value leaves rates without readings."""
    (source,) = yaml.safe_load((PROVISIONING / "datasources" / "prometheus.yml").read_text())["datasources"]
    prometheus = yaml.safe_load((project_root() / "docker" / "prometheus" / "prometheus.yml").read_text())
    assert source["jsonData"]["timeInterval"] == prometheus["global"]["scrape_interval"]
    assert source["type"] == "prometheus"
    assert source["isDefault"] is True, "the variable `datasource` begins with the default one"


def test_provisioning_has_only_keys_that_grafana_reads() -> None:
    """Those of https://grafana.com/docs/grafana/latest/administration/provisioning/ - others are ignored."""
    sources = yaml.safe_load((PROVISIONING / "datasources" / "prometheus.yml").read_text())
    assert sources["apiVersion"] == 1
    assert set(sources["datasources"][0]) <= {
        *("name", "type", "access", "orgId", "uid", "url", "isDefault", "editable", "jsonData", "version"),
        *("secureJsonData", "user", "database", "basicAuth", "basicAuthUser", "withCredentials"),
    }
    boards = yaml.safe_load((PROVISIONING / "dashboards" / "triton-labs.yml").read_text())
    assert boards["apiVersion"] == 1
    (provider,) = boards["providers"]
    assert set(provider) <= {
        *("name", "orgId", "folder", "folderUid", "type", "disableDeletion", "updateIntervalSeconds"),
        *("allowUiUpdates", "options"),
    }
    assert set(provider["options"]) <= {"path", "foldersFromFilesStructure"}
    assert provider["type"] == "file"


def test_the_page_about_it_names_the_places_that_grafana_reads() -> None:
    page = (project_root() / "docs" / "dashboards.md").read_text()
    boards = yaml.safe_load((PROVISIONING / "dashboards" / "triton-labs.yml").read_text())
    assert f":{boards['providers'][0]['options']['path']}:ro" in page
    assert "docker/grafana/provisioning:/etc/grafana/provisioning:ro" in page
