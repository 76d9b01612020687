"""What to say when a metrics page does not hold what was asked for."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping

from lab_utils.errors import LabError
from lab_utils.monitoring.labels import Labels


class MetricsError(LabError):
    """A metrics page could not be read, or does not hold what was asked for."""


def no_such_name(name: str, known: Collection[str]) -> MetricsError:
    """The page has no metric of this name."""
    near = difflib.get_close_matches(name, sorted(known), n=3, cutoff=0.6)
    near = near or [n for n in sorted(known) if name in n][:3]
    return MetricsError(
        f"This page has no metric `{name}`.",
        why="The name is not exact, or the server does not export it: some metrics come with an option "
        "of the server, with a GPU, or with a model.",
        fix=f"Did you mean {' or '.join(f'`{n}`' for n in near)}?"
        if near
        else "`scrape(...).names()` lists all names.",
    )


def no_series(name: str, kind: str, parts: Collection[str]) -> MetricsError:
    """The page declares the metric, and no series has exactly this name.

    Args:
        name: The metric.
        kind: Its kind.
        parts: Names of samples that begin with it: those of a histogram.
    """
    if parts:
        return MetricsError(
            f"`{name}` is a {kind}: it has no value of its own.",
            why=f"Its values stand under {', '.join(f'`{n}`' for n in sorted(parts))}.",
            fix="Ask for one of these.",
        )
    return MetricsError(
        f"`{name}` has no series at the moment.",
        why="The page declares it, but nothing was counted: no model is loaded, or nobody has asked.",
        fix="Send a request, then read the page again.",
    )


def no_such_labels(name: str, there: Collection[Labels], labels: Mapping[str, str]) -> MetricsError:
    """The metric has series, and none carries these labels.

    Args:
        name: The metric.
        there: The labels of its series.
        labels: What was wanted.
    """
    names = sorted({label for found in there for label in found})
    for label, value in labels.items():
        values = sorted({found[label] for found in there if label in found})
        if not values:
            return MetricsError(
                f"`{name}` has no label `{label}`.",
                why=f"Its labels are: {', '.join(names)}." if names else "It has no labels at all.",
                fix="Leave the label out, or use one of these."
                if names
                else f"Ask for `{name}` without labels.",
            )
        if value not in values:
            return MetricsError(
                f'`{name}` has no series with {label}="{value}".',
                why="A model that is not loaded has no series, and a name must be exact.",
                fix=f"There are: {', '.join(values)}.",
            )
    wanted = ", ".join(f'{label}="{value}"' for label, value in labels.items())
    return MetricsError(
        f"`{name}` has no series with {wanted} together.",
        why="Each label occurs with that value, but in different series.",
        fix=f"There are: {', '.join(map(repr, there))}.",
    )
