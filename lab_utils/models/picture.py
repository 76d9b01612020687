"""A matplotlib figure that a notebook shows without `%matplotlib` and without pyplot's global state."""

from __future__ import annotations

import io

from matplotlib.figure import Figure

_DPI = 100


class Picture(Figure):
    """A figure that IPython can show by itself, as the last value of a cell.

    IPython learns to show a plain `Figure` only when pyplot is imported in the kernel.
    """

    def _repr_png_(self) -> bytes:
        content = io.BytesIO()
        self.savefig(content, format="png", dpi=_DPI)
        return content.getvalue()
