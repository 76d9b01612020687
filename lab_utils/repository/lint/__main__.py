"""`python -m lab_utils.repository.lint`: write docs/lint-rules.md again."""

from __future__ import annotations

from lab_utils import paths
from lab_utils.repository.lint.document import document

if __name__ == "__main__":
    target = paths.project_root() / "docs" / "lint-rules.md"
    target.write_text(document(), encoding="utf-8")
    print(f"written: {target}")
