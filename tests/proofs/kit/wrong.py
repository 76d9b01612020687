"""What a lab says about wrong answers: `tests/labs/lab0N_wrong.py` holds WRONG and EQUIVALENT_MUTANTS.

    WRONG = {"1.4": [WrongAnswer("asks live, not ready", "def health(url): ...", "not ready"), ...]}
    EQUIVALENT_MUTANTS = {"1.4 number: 200 -> 201 in health": "why no check can or should see it"}

The keys of EQUIVALENT_MUTANTS are printed by the fifth proof for every survivor.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class WrongAnswer:
    """A plausible wrong answer to one exercise.

    Attributes:
        name: What the student got wrong, in a few words.
        code: Python source that defines the exercise's names; it may use the lab's imports and the
            right answers of the other exercises.
        message: Words that the verdict must contain, and no other wrong answer's verdict may.
    """

    name: str
    code: str
    message: str
