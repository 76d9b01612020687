"""`triton-lab doctor`: what this machine has, what it lacks, and the mend for each fault."""

from lab_utils.doctor.facts import Facts, collect
from lab_utils.doctor.finding import Finding, Status, run_doctor

__all__ = ["Facts", "Finding", "Status", "collect", "run_doctor"]
