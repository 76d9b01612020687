"""Real handwritten digits: scikit-learn's bundled set, scaled from 8 x 8 to 28 x 28.

The set is the test part of the UCI "Optical Recognition of Handwritten Digits" (1797 digits of 13
people, 8 x 8 counts from 0 to 16). It ships inside scikit-learn, so nothing is downloaded.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.columns import Columns

Images = NDArray[np.float32]
Labels = NDArray[np.int64]

SIZE = 28
_SHADES = " ░▒▓█"


@dataclass(frozen=True)
class Split:
    """The fixed split: every fourth digit is for testing.

    Attributes:
        train_images: float32 `[1347, 1, 28, 28]`, 0 (paper) to 1 (ink).
        train_labels: int64 `[1347]`.
        test_images: float32 `[450, 1, 28, 28]`.
        test_labels: int64 `[450]`.
    """

    train_images: Images
    train_labels: Labels
    test_images: Images
    test_labels: Labels


@functools.cache
def _all() -> tuple[Images, Labels]:
    from sklearn.datasets import load_digits as bundled

    digits = bundled()
    scale = _interpolation(8, SIZE)
    images = scale @ (digits.images / 16.0) @ scale.T
    images = np.clip(images, 0, 1).astype(np.float32)[:, None]
    labels = digits.target.astype(np.int64)
    images.setflags(write=False)  # shared by every caller in the process
    labels.setflags(write=False)
    return images, labels


def _interpolation(small: int, large: int) -> NDArray[np.float64]:
    """Matrix `[large, small]` that scales one axis linearly, pixel centre to pixel centre."""
    centres = (np.arange(large) + 0.5) * small / large - 0.5
    return np.stack([np.interp(centres, np.arange(small), row) for row in np.eye(small)], axis=1)


def load_digits() -> tuple[Images, Labels]:
    """All 1797 digits in the order of the set.

    Returns:
        Images, float32 `[1797, 1, 28, 28]` between 0 and 1, and labels, int64 `[1797]`. Both are
        read-only; copy before changing.
    """
    return _all()


def split_digits() -> Split:
    """The digits for training and for testing; the same split on every machine.

    The test digits come from the same people as the training digits, so the accuracy says how
    well the model knows these hands, not how well it would read a stranger's.
    """
    images, labels = _all()
    test = np.arange(len(images)) % 4 == 0
    return Split(images[~test], labels[~test], images[test], labels[test])


def to_bytes(images: Images) -> NDArray[np.uint8]:
    """The pictures as a camera or a file gives them: the input of `digits_preprocess`.

    Args:
        images: float32 `[n, 1, 28, 28]`, 0 (paper) to 1 (ink).

    Returns:
        uint8 `[n, 28, 28]`, 0 (paper) to 255 (ink), rounded.
    """
    return np.rint(images[:, 0] * 255).astype(np.uint8)


def draw_digits(images: Images, captions: Sequence[object] | None = None) -> Figure:
    """Draw a row of digits with matplotlib, each with its caption above it.

    Args:
        images: float32 `[n, 1, 28, 28]`.
        captions: One per image, for example labels or answers; None draws none.

    Returns:
        The figure, as wide as the row; a notebook shows it when it is the cell's last value.
    """
    from lab_utils.models.picture import Picture  # matplotlib is imported when a picture is wanted

    count = len(images)
    figure = Picture(figsize=(1.1 * max(count, 1), 1.4), layout="constrained")
    for position, axes in enumerate(np.atleast_1d(figure.subplots(1, count)) if count else []):
        axes.imshow(images[position].reshape(SIZE, SIZE), cmap="gray_r", vmin=0, vmax=1)
        axes.set_axis_off()
        if captions is not None:
            axes.set_title(str(captions[position]), fontsize=11)
    return figure


def digit_text(image: Images) -> str:
    """One digit as 7 lines of 14 characters, from blank (paper) to a full block (ink).

    Args:
        image: float32 `[1, 28, 28]` or `[28, 28]`. One character stands for 4 x 2 pixels, because
            a terminal's characters are about twice as high as wide.
    """
    ink = image.reshape(7, 4, 14, 2).mean(axis=(1, 3))
    levels = np.rint(np.clip(ink, 0, 1) * (len(_SHADES) - 1)).astype(int)
    return "\n".join("".join(_SHADES[level] for level in row) for row in levels)


def rich_digits(images: Images, captions: Sequence[object] | None = None) -> Columns:
    """A row of digits for the terminal; wraps where the terminal ends, needs no colour.

    Args:
        images: float32 `[n, 1, 28, 28]`.
        captions: One per image, shown below it; None shows none.

    Returns:
        Something that `rich.print` prints.
    """
    from rich.columns import Columns
    from rich.text import Text

    pictures = []
    for position, image in enumerate(images):
        caption = "" if captions is None else f"\n{captions[position]!s:^14}"
        pictures.append(Text(digit_text(image) + caption, no_wrap=True))
    return Columns(pictures, padding=(1, 2, 0, 0))
