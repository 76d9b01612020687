"""What a running server tells about itself: metrics, derived quantities, Prometheus, alerts, live panels."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lab_utils.monitoring.client import ClientMetrics
    from lab_utils.monitoring.dashboard import Dashboard
    from lab_utils.monitoring.pictures import draw_alert, draw_frame
    from lab_utils.monitoring.quantities import QUANTITIES, Quantity, quantity, report
    from lab_utils.monitoring.readiness import ReadinessExporter
    from lab_utils.monitoring.receiver import Notification
    from lab_utils.monitoring.rules import RULES, check_rules, test_rules
    from lab_utils.monitoring.samples import Labels, MetricsError, Scrape, parse, scrape
    from lab_utils.monitoring.stack import Monitoring
    from lab_utils.monitoring.tools import MonitoringError, find_tool, has_prometheus
    from lab_utils.monitoring.window import Watcher, Window, watch

__all__ = [
    "QUANTITIES",
    "RULES",
    "ClientMetrics",
    "Dashboard",
    "Labels",
    "MetricsError",
    "Monitoring",
    "MonitoringError",
    "Notification",
    "Quantity",
    "ReadinessExporter",
    "Scrape",
    "Watcher",
    "Window",
    "check_rules",
    "draw_alert",
    "draw_frame",
    "find_tool",
    "has_prometheus",
    "parse",
    "quantity",
    "report",
    "scrape",
    "test_rules",
    "watch",
]

_PLACES = {
    "QUANTITIES": "quantities",
    "RULES": "rules",
    "ClientMetrics": "client",
    "Dashboard": "dashboard",
    "Labels": "samples",
    "MetricsError": "samples",
    "Monitoring": "stack",
    "MonitoringError": "tools",
    "Notification": "receiver",
    "Quantity": "quantities",
    "ReadinessExporter": "readiness",
    "Scrape": "samples",
    "Watcher": "window",
    "Window": "window",
    "check_rules": "rules",
    "draw_alert": "pictures",
    "draw_frame": "pictures",
    "find_tool": "tools",
    "has_prometheus": "tools",
    "parse": "samples",
    "quantity": "quantities",
    "report": "quantities",
    "scrape": "samples",
    "test_rules": "rules",
    "watch": "window",
}


def __getattr__(name: str) -> Any:
    """Import on first use: most callers need one of these, and some bring pandas or widgets."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"lab_utils.monitoring.{_PLACES[name]}"), name)
