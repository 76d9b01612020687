"""The checkpoints of Lab 2. Importing this module registers all of them."""

from __future__ import annotations

import lab_utils.checks.lab2_batching
import lab_utils.checks.lab2_cache
import lab_utils.checks.lab2_config
import lab_utils.checks.lab2_control
import lab_utils.checks.lab2_gallery
import lab_utils.checks.lab2_layout
import lab_utils.checks.lab2_measuring
import lab_utils.checks.lab2_pipeline
import lab_utils.checks.lab2_queue
import lab_utils.checks.lab2_sequence
import lab_utils.checks.lab2_shapes
import lab_utils.checks.lab2_versions  # noqa: F401
