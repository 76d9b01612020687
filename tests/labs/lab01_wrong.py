"""Plausible wrong answers to the exercises of Lab 1, each with words that its verdict must hold.

The code replaces one or more answers of the complete notebook; all other names stay as they are there.
"""

from __future__ import annotations

from tests.labs.lab01_wrong_clients import CLIENTS
from tests.labs.lab01_wrong_deploy import DEPLOY
from tests.labs.lab01_wrong_load import LOAD
from tests.labs.lab01_wrong_start import START
from tests.proofs.kit.wrong import WrongAnswer

WRONG: dict[str, list[WrongAnswer]] = START | CLIENTS | LOAD | DEPLOY
