"""What a check of the doctor answers, and the run of all checks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lab_utils.doctor.facts import Facts


class Status(StrEnum):
    """PASS: fine. WARN: the labs work, but not all of them, or not well. FAIL: mend this first."""

    PASS = "PASS"
    WARN = "WARN"
    FAIL = "FAIL"


@dataclass(frozen=True)
class Finding:
    """The answer of one check.

    Attributes:
        check: Stable name of the check, for example `"numpy"`.
        status: PASS, WARN or FAIL.
        detail: What was found.
        fix: What to do about it. Empty for PASS alone.
    """

    check: str
    status: Status
    detail: str
    fix: str = ""

    def as_dict(self) -> dict[str, str]:
        """The four fields as JSON values, the shape of `triton-lab doctor --json`."""
        return {"check": self.check, "status": self.status.value, "detail": self.detail, "fix": self.fix}


Check = Callable[["Facts"], Finding]


def passed(check: str, detail: str) -> Finding:
    """Nothing to do."""
    return Finding(check, Status.PASS, detail)


def warned(check: str, detail: str, fix: str) -> Finding:
    """The labs work, but not all of them, or not well."""
    return Finding(check, Status.WARN, detail, fix)


def failed(check: str, detail: str, fix: str) -> Finding:
    """The labs cannot work like this."""
    return Finding(check, Status.FAIL, detail, fix)


def run_doctor(facts: Facts | None = None) -> list[Finding]:
    """Run every check, over the given facts or those of this machine.

    A check that breaks is a FAIL of its own: it must never hide the others.
    """
    from lab_utils.doctor.containers import CONTAINER_CHECKS
    from lab_utils.doctor.facts import collect
    from lab_utils.doctor.software import SOFTWARE_CHECKS
    from lab_utils.doctor.system import SYSTEM_CHECKS

    facts = facts or collect()
    findings = []
    for name, check in (SYSTEM_CHECKS | SOFTWARE_CHECKS | CONTAINER_CHECKS).items():
        try:
            findings.append(check(facts))
        except Exception as error:
            fault = f"the check itself failed: {type(error).__name__}: {error}"
            findings.append(failed(name, fault, "Report this message to the course's maintainers."))
    return findings
