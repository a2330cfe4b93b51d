"""The dashboard and the alerts speak of exactly the metrics there are."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from memorial_tasks.observability.metrics import METRICS, Metric

GRAFANA = Path(__file__).resolve().parents[3] / "infra" / "grafana"
_SERIES = re.compile(r"\b(memorial_[a-z_]+)(?:\{([^}]*)\})?")


def series(metric: Metric) -> set[str]:
    """The names a scraper sees."""
    if metric.kind == "counter":
        return {f"{metric.name}_total"}
    if metric.kind == "histogram":
        return {f"{metric.name}_{suffix}" for suffix in ("bucket", "sum", "count")}
    return {metric.name}


BY_SERIES = {name: metric for metric in METRICS for name in series(metric)}


@pytest.fixture(scope="module")
def dashboard() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((GRAFANA / "memorial-studio.json").read_text("utf-8"))
    return found


def expressions(dashboard: dict[str, Any]) -> list[str]:
    return [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", [])]


def alerts() -> list[dict[str, Any]]:
    groups = yaml.safe_load((GRAFANA / "alerts.yaml").read_text("utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def test_every_metric_is_shown_and_every_shown_metric_exists(dashboard: dict[str, Any]) -> None:
    shown = {name for expr in expressions(dashboard) for name, _ in _SERIES.findall(expr)}
    assert shown <= set(BY_SERIES)
    assert {BY_SERIES[name].name for name in shown} == {metric.name for metric in METRICS}


def test_every_alert_is_about_a_metric_that_exists() -> None:
    for rule in alerts():
        names = {name for name, _ in _SERIES.findall(rule["expr"])}
        assert names
        assert names <= set(BY_SERIES), rule["alert"]
        assert set(rule["annotations"]) == {"summary", "description"}
        assert rule["labels"]["severity"] in {"page", "ticket"}
        assert rule["for"]


def test_selectors_and_legends_name_labels_the_metric_has(dashboard: dict[str, Any]) -> None:
    targets = [target for panel in dashboard["panels"] for target in panel.get("targets", [])]
    for expr, legend in [(t["expr"], t["legendFormat"]) for t in targets] + [(rule["expr"], "") for rule in alerts()]:
        known: set[str] = set()
        for name, selector in _SERIES.findall(expr):
            labels = set(BY_SERIES[name].labels)
            known |= labels
            assert set(re.findall(r"([a-z_]+)\s*[=!]~?", selector)) <= labels, expr
        assert set(re.findall(r"\{\{([a-z_]+)\}\}", legend)) <= known, legend
        for grouped in re.findall(r"by \(([^)]*)\)", expr):
            assert {label.strip() for label in grouped.split(",")} <= known | {"le"}, expr


def test_panels_lie_beside_each_other_and_have_ids_of_their_own(dashboard: dict[str, Any]) -> None:
    """What Grafana's dashboard JSON model asks for: 24 columns, unique ids, a data source on every query."""
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(set(ids)) == len(ids)
    taken: set[tuple[int, int]] = set()
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert place["x"] + place["w"] <= 24
        assert not cells & taken, panel["title"]
        taken |= cells
        for target in panel.get("targets", []):
            assert target["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    for key in ("title", "uid", "schemaVersion", "panels", "templating", "time", "annotations"):
        assert key in dashboard


def test_no_query_names_an_order() -> None:
    text = (GRAFANA / "memorial-studio.json").read_text("utf-8") + (GRAFANA / "alerts.yaml").read_text("utf-8")
    assert not re.search(r"order(_id)?\s*=", text)
    assert "{{order" not in text
