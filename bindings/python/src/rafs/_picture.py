# SPDX-License-Identifier: Apache-2.0
"""Figures that notebooks show, whether pyplot is imported or not."""
from __future__ import annotations

import io

from matplotlib.figure import Figure


class Picture(Figure):
    """A figure of matplotlib; IPython asks it for its picture."""

    def _repr_png_(self) -> bytes:
        out = io.BytesIO()
        self.savefig(out, format="png")
        return out.getvalue()


__all__ = ["Picture"]
