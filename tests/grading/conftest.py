"""For all tests of grading."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _labs_of_the_course(labs_of_the_course: None) -> None:
    """A class is graded in the labs of the course, whatever labs other tests have made."""
