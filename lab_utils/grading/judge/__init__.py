"""The judge of a graded run: checks run in a process of ours, only the student's functions run in the kernel.

`lab.check("1.5")` in the kernel (`client`) asks the judge (`server`) over a unix socket, and then serves
calls. What the judge sends is pickled, for the kernel trusts us. What the kernel sends is a closed set of
values (`codec`): nothing that a student patches in the kernel can run code in the judge, or make a verdict.
"""

from lab_utils.grading.judge.server import Judge, Report

__all__ = ["Judge", "Report"]
