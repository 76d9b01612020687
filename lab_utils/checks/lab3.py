"""The checkpoints of Lab 3. Importing this module registers all of them."""

from __future__ import annotations

import lab_utils.checks.lab3_continuous
import lab_utils.checks.lab3_equivalence
import lab_utils.checks.lab3_export
import lab_utils.checks.lab3_figures
import lab_utils.checks.lab3_files
import lab_utils.checks.lab3_freeze
import lab_utils.checks.lab3_llama
import lab_utils.checks.lab3_loop
import lab_utils.checks.lab3_memory
import lab_utils.checks.lab3_names
import lab_utils.checks.lab3_program
import lab_utils.checks.lab3_slo
import lab_utils.checks.lab3_stream
import lab_utils.checks.lab3_tuning  # noqa: F401
