"""A step of a kiosk: gives back what it gets, after the time that its config says.

With the parameter `device`, all instances of the model share one thing that only exists once, as models on a
GPU or a bus do. Executions that overlap then slow each other down, by more than their number: they also lose
time when the device turns from one to the next. Nothing is computed, so no core is needed to show it.
"""

import json
import os
import re
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

SLICE_S = 0.004
"""How often an execution looks who else runs."""

GONE_S = 0.25
"""Who has not been seen for so long does not run: its process was killed, or has no core."""

SEATS = 64


def slowdown(running: int) -> float:
    """How many times as long each execution takes when so many overlap: 1, 3, 6, 10, 15, 21 and so on."""
    return running * (running + 1) / 2


class Device:
    """What the instances share. Each writes into its seat of a small file when it was last seen at work.

    Args:
        board: The file; every instance maps it into its memory.
        seat: The number of this instance.
    """

    def __init__(self, board: Path, seat: int) -> None:
        with board.open("ab") as file:
            file.truncate(8 * SEATS)  # nothing happens to a file that has this size
        self.seen = np.memmap(board, np.float64, "r+", shape=(SEATS,))
        self.seat = seat

    def work(self, seconds: float) -> None:
        """Return after so many seconds of the device's time."""
        now = time.monotonic()  # one clock for all processes of a machine
        while seconds > 0:
            self.seen[self.seat] = now
            share = slowdown(int((np.abs(self.seen - now) < GONE_S).sum()))
            time.sleep(min(SLICE_S, seconds * share))
            before, now = now, time.monotonic()
            seconds -= (now - before) / share
        self.seen[self.seat] = 0.0


class TritonPythonModel:
    """Sleeps once per execution, however large the batch."""

    def initialize(self, args: dict[str, str]) -> None:
        """Read `execution_ms` and `device` from the parameters in config.pbtxt."""
        parameters = json.loads(args["model_config"])["parameters"]
        self.seconds = float(parameters["execution_ms"]["string_value"]) / 1000
        self.device: Device | None = None
        if parameters["device"]["string_value"]:
            board = Path(args["model_repository"]) / args["model_version"] / "device.board"
            if not os.access(board.parent, os.W_OK):
                # Mounted read-only: then this is a container, and its own folder for such files ends with it.
                board = Path(tempfile.gettempdir()) / f"{args['model_name']}-{args['model_version']}.board"
            number = re.search(r"(\d+)$", args["model_instance_name"])
            self.device = Device(board, int(number[1]) % SEATS if number else 0)

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer all requests that Triton batched together: `data` FP32 `[rows, 4]` each."""
        if self.device is None:
            time.sleep(self.seconds)
        else:
            self.device.work(self.seconds)
        rows = [pb_utils.get_input_tensor_by_name(request, "data").as_numpy() for request in requests]
        return [pb_utils.InferenceResponse([pb_utils.Tensor("echo", row)]) for row in rows]
