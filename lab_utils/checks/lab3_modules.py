"""Small PyTorch modules that the checks of Lab 3 export: each has one trap. Importing it imports PyTorch."""

from __future__ import annotations

import torch
from torch import nn


class Modes(nn.Module):
    """Answers differently in training and in evaluation."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Linear(width, 32)
        self.normalize = nn.BatchNorm1d(32)
        self.dropout = nn.Dropout(0.5)
        self.last = nn.Linear(32, 5)
        with torch.no_grad():
            self.normalize.running_mean.normal_()
            self.normalize.running_var.uniform_(0.5, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`[n, width]` to `[n, 5]`."""
        return self.last(self.dropout(torch.relu(self.normalize(self.first(x)))))


class Branch(nn.Module):
    """Takes one of two ways, by the data."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.above = nn.Linear(width, 4)
        self.below = nn.Linear(width, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`[n, width]` to `[n, 4]`."""
        if bool(x.mean() > 0):
            return self.above(x)
        return self.below(x)


class Steps(nn.Module):
    """A loop over the length of its input."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.step = nn.Linear(width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`[n, length, width]` to `[n, width]`."""
        state = torch.zeros_like(x[:, 0])
        for place in range(x.shape[1]):
            state = torch.tanh(self.step(state) + x[:, place])
        return state


class Towers(nn.Module):
    """Finds its layers by computed names: torch.jit.script cannot compile that, a trace does not see it."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.names = [f"tower{number}" for number in range(3)]
        for size, name in enumerate(self.names, start=2):
            self.add_module(name, nn.Linear(width, size))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`[n, width]` to `[n, 9]`."""
        return torch.cat([getattr(self, name)(x) for name in self.names], dim=1)


class Stubborn(Towers):
    """Cannot be compiled, and a trace of it is right for one batch size alone."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`[n, width]` to `[n, 9]`."""
        return super().forward(x) / len(x)


class Late(nn.Module):
    """Two inputs of the same shape that must not change places, and two answers of different types."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layer = nn.Linear(width, 3)

    def forward(self, present: torch.Tensor, absent: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Two `[n, width]` to scores `[n, 3]` and the number of the best, int64 `[n, 1]`."""
        scores = self.layer(present - 2 * absent)
        return scores, scores.argmax(dim=1, keepdim=True)


class Look(nn.Module):
    """Rows of a table, chosen by whole numbers and weighed by doubles; where a mask says so."""

    def __init__(self, rows: int) -> None:
        super().__init__()
        self.table = nn.Embedding(rows, 4)

    def forward(self, weights: torch.Tensor, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Float64 `[n, k]`, int64 `[n, k]`, bool `[n, k]` to float64 `[n, k, 4]`."""
        return self.table(ids).double() * (weights * mask.double()).unsqueeze(-1)


class Only(nn.Module):
    """One picture in, one half precision number per row and column out."""

    def forward(self, picture: torch.Tensor) -> torch.Tensor:
        """Uint8 `[n, 1, h, w]` to float16 `[n, h, w]`."""
        return (picture[:, 0].float() / 255).half()


class Named(Modes):
    """As `Modes`, with one more method and one attribute for whoever loads the file."""

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.limit = width

    @torch.jit.export
    def scaled(self, x: torch.Tensor) -> torch.Tensor:
        """`[n, width]` to `[n, 5]`, each row between 0 and 1."""
        return torch.softmax(self.forward(x), dim=1)


class Pair(nn.Module):
    """Two inputs that share their batch."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.left = nn.Linear(width, 6)
        self.right = nn.Linear(3, 6)

    def forward(self, values: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        """`[n, width]` and `[n, 3]` to `[n, 6]`."""
        return torch.tanh(self.left(values)) * self.right(context)


class Convolution(nn.Module):
    """A small network for the digits. `lab3_faulty` is the same one in NumPy, and can be told to be wrong."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(1, 4, 5, stride=3)
        self.normalize = nn.BatchNorm2d(4)
        self.last = nn.Linear(4 * 8 * 8, 10)
        with torch.no_grad():
            self.normalize.running_mean.normal_(0, 0.1)
            self.normalize.running_var.uniform_(0.02, 0.1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """`[n, 1, 28, 28]` to `[n, 10]`."""
        return self.last(torch.relu(self.normalize(self.convolution(images))).flatten(1))
