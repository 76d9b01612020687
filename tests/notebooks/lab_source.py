"""A small lab source that keeps the whole form, and ways to spoil it."""

from __future__ import annotations

from pathlib import Path

from lab_utils.progress.registry import Checkpoint, passed

START = """# %% [markdown]
# # Lab 1 · Sample
#
# One promise.

# %%
from lab_utils import Lab

lab = Lab("01")
"""

EXERCISE = '''# %% [markdown]
# ### Exercise 1.{n} · Add {n}
# *{minutes} minutes · difficulty 2 of 3 · 3 points*
#
# Write a function that adds {n}.
#
# You must:
# - return the sum

# %%
def add_{n}(value: int) -> int:
    """Add {n}."""
    ### BEGIN SOLUTION
    #: 1. compute the sum
    #: 2. return it
    total_{n} = value + {n}
    return total_{n}
    ### END SOLUTION

# %%
lab.check("1.{n}")

# %% [markdown]
# <details><summary>Hint 1: where to look</summary>
#
# At the plus sign.
# </details>
# <details><summary>Hint 2: nearly the answer</summary>
#
# `value + …`
# </details>
'''

SECTION = """# %% [markdown]
# ## Section {n}
# Text.

# %%
print("show {n}", 1)

# %%
print("show {n}", 2)
"""

END = """# %% [markdown]
# ## What you learned
# Much.

# %% [markdown]
# ## Go further
# There.

# %%
lab.stop()
"""


def sample(exercises: int = 3, sections: int = 8) -> str:
    """A source of 41 cells that the generator accepts."""
    parts = [START]
    parts += [SECTION.format(n=n) for n in range(1, sections + 1)]
    parts += [EXERCISE.format(n=n, minutes=10) for n in range(1, exercises + 1)]
    return "\n".join([*parts, END])


def checkpoints(exercises: int = 3) -> list[Checkpoint]:
    return [
        Checkpoint(
            id=f"1.{n}",
            title=f"Add {n}",
            points=3,
            minutes=10,
            difficulty=2,
            answers=(f"add_{n}",),
            function=lambda ctx, answers: passed("yes"),
        )
        for n in range(1, exercises + 1)
    ]


def write_lab(root: Path, text: str | None = None) -> Path:
    path = root / "labs_solutions" / "01-Sample.py"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text if text is not None else sample(), encoding="utf-8")
    return path
