"""What an alert did, second by second, out of the series `ALERTS` that Prometheus keeps about its alerts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lab_utils.monitoring.queries import Queries, column_names
from lab_utils.monitoring.samples import Labels

if TYPE_CHECKING:
    import pandas as pd

STATES = ("inactive", "pending", "firing", "resolved")


def alert_states(queries: Queries, name: str, seconds: float = 60, step: float = 1.0) -> pd.DataFrame:
    """The state of an alert over the last `seconds`.

    `resolved` is an alert that has fired in this time and does not any more. Prometheus keeps no series for
    an inactive alert, so one that was never pending has a single column `NAME`, inactive throughout.

    Args:
        queries: The Prometheus.
        name: The name of the alert rule.
        seconds: How far to look back.
        step: Seconds between two rows.

    Returns:
        A frame with the time (UTC) as index and one column of words per alert, named by those labels in which
        the alerts differ; a single one by the rule.
    """
    import pandas as pd

    # Asked with a series that is always there, so that the times without an alert are in the answer too.
    result = queries.ranges(f'ALERTS{{alertname="{name}"}} or vector(0)', seconds, step)
    times = sorted({at for _, values in result for at in values})
    alerts: dict[Labels, dict[float, str]] = {}
    for labels, values in result:
        if "alertstate" in labels:
            own = Labels({k: v for k, v in labels.items() if k not in ("alertstate", "__name__")})
            alerts.setdefault(own, {}).update(dict.fromkeys(values, labels["alertstate"]))
    names = column_names(list(alerts)) if len(alerts) > 1 else [name]
    states = list(alerts.values()) or [{}]
    return pd.DataFrame(
        {column: _words(states_of_one, times) for column, states_of_one in zip(names, states, strict=True)},
        index=pd.to_datetime(times, unit="s", utc=True).rename("time"),
    )


def _words(states: dict[float, str], times: list[float]) -> list[str]:
    words, fired = [], False
    for at in times:
        fired = fired or states.get(at) == "firing"
        words.append(states.get(at, "resolved" if fired else "inactive"))
    return words
