"""The checkpoints of Lab 4. Importing this module registers all of them."""

from __future__ import annotations

import lab_utils.checks.lab4_alert
import lab_utils.checks.lab4_bottleneck
import lab_utils.checks.lab4_budget
import lab_utils.checks.lab4_capacity
import lab_utils.checks.lab4_failures
import lab_utils.checks.lab4_incident
import lab_utils.checks.lab4_increase
import lab_utils.checks.lab4_little
import lab_utils.checks.lab4_loops
import lab_utils.checks.lab4_mend
import lab_utils.checks.lab4_page
import lab_utils.checks.lab4_promql
import lab_utils.checks.lab4_tokens
import lab_utils.checks.lab4_traces  # noqa: F401
