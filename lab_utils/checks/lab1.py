"""The checkpoints of Lab 1. Importing this module registers all of them."""

from __future__ import annotations

import lab_utils.checks.lab1_async
import lab_utils.checks.lab1_classify
import lab_utils.checks.lab1_deploy
import lab_utils.checks.lab1_docker
import lab_utils.checks.lab1_faults
import lab_utils.checks.lab1_health
import lab_utils.checks.lab1_memory
import lab_utils.checks.lab1_start  # noqa: F401
