"""For authors: hand the forty in, or compare what a batch found with what they must earn.

python -m tests.grading.forty make CLASS [NAME ...]      # then: triton-lab grade CLASS --out OUT --jobs 2
python -m tests.grading.forty compare OUT [NAME ...]
"""

from __future__ import annotations

import sys
from pathlib import Path

from lab_utils.paths import project_root
from tests.grading.forty.compare import problems_of, seconds_of
from tests.grading.forty.submissions import forty


def main(what: str, folder: Path, names: list[str]) -> int:
    """Make or compare; 1 when something is not as it must be."""
    class_ = [
        one for one in forty(9, [str(project_root() / "labs_solutions")]) if not names or one.name in names
    ]
    if what == "make":
        folder.mkdir(parents=True, exist_ok=True)
        for one in class_:
            one.write(folder)
        return 0
    problems = problems_of(class_, folder)
    print(seconds_of(folder), *problems, f"{len(problems)} problems", sep="\n")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2]), sys.argv[3:]))
