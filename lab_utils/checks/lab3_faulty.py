"""A network that can be told to be wrong while it is served. Importing it imports PyTorch."""

from __future__ import annotations

import torch
from torch import nn


class Faulty(nn.Module):
    """Images to scores, right as long as nobody says otherwise.

    An image whose first pixel is `-1000 - fault` says how to be wrong from then on; see `_CASES` in
    `lab3_equivalence`, whose numbers these are. TorchScript keeps such a number between two calls.
    """

    def __init__(self) -> None:
        super().__init__()
        self.fault = 0
        self.convolution = nn.Conv2d(1, 4, 5, stride=3)
        self.normalize = nn.BatchNorm2d(4)
        self.last = nn.Linear(4 * 8 * 8, 10)
        with torch.no_grad():
            self.normalize.running_mean.normal_(0, 0.1)
            self.normalize.running_var.uniform_(0.02, 0.1)

    def scores(self, images: torch.Tensor, training: bool, half: bool) -> torch.Tensor:
        """The network itself."""
        found = self.convolution(images)
        normalize = self.normalize
        found = nn.functional.batch_norm(
            found,
            None if training else normalize.running_mean,
            None if training else normalize.running_var,
            normalize.weight,
            normalize.bias,
            training,
        )
        found = torch.relu(found).flatten(1)
        if half:
            found = found.half().float()
        return self.last(found)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """`[n, 1, 28, 28]` to `[n, 10]`."""
        first = float(images[0, 0, 0, 0])
        if first <= -1000.0:
            self.fault = int(-first) - 1000
        fault = self.fault
        count = len(images)
        if fault == 10 and count == 3:
            raise ValueError("shape '[4, 256]' is invalid for input of size 768")
        found = self.scores(images, fault == 7, fault == 8)
        if fault == 1 or fault == 2:
            found = found + (0.5 if fault == 1 else -0.5)
        if (fault == 3 and count > 8) or (fault == 4 and count == 2):
            found = found + 1
        wrong = torch.ones_like(found[-1])
        if fault == 5 and count > 1:
            found = torch.cat([found[:-1], (found[-1] + wrong).unsqueeze(0)])
        if fault == 6:
            found = found[:, [0, 7, 2, 3, 4, 5, 6, 1, 8, 9]]
        if fault == 9:
            found = torch.cat([found[:-1], torch.log(-wrong).unsqueeze(0)])
        return found
