"""The table of rules for docs/troubleshooting.md: `python -m lab_utils.diagnosis.documentation`."""

from __future__ import annotations

from pathlib import Path

from lab_utils.diagnosis.table import FAMILIES, RULES
from lab_utils.paths import project_root

TABLE_START = "<!-- rules: made by `python -m lab_utils.diagnosis.documentation` -->"
TABLE_END = "<!-- end of rules -->"


def table_markdown() -> str:
    """One row per class: what it is about, how many rules, and their names."""
    rows = ["| class | about | rules | faults |", "|---|---|---|---|"]
    for family, about in FAMILIES.items():
        names = [rule.id.partition(".")[2] for rule in RULES if rule.family == family]
        rows.append(f"| {family} | {about.rstrip('.')} | {len(names)} | {', '.join(names)} |")
    return "\n".join([*rows, "", f"{len(RULES)} rules in all."])


def write_table(path: Path) -> None:
    """Replace the table between the two marks of a Markdown file."""
    text = path.read_text()
    before, _, rest = text.partition(TABLE_START)
    after = rest.partition(TABLE_END)[2]
    path.write_text(f"{before}{TABLE_START}\n\n{table_markdown()}\n\n{TABLE_END}{after}")


if __name__ == "__main__":
    write_table(project_root() / "docs" / "troubleshooting.md")
