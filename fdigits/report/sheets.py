"""Sheets of small pictures in rows and columns."""

from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from fdigits.report.style import STYLE, WRONG

GAP = 2  # pixels between pictures


def tiled(image_RxCxHxW: np.ndarray) -> np.ndarray:
    """One picture of R rows and C columns, with gaps of paper (0) on all sides."""
    around = ((0, 0), (0, 0), (GAP, 0), (GAP, 0))
    rows, columns, high, wide = (spaced := np.pad(image_RxCxHxW, around)).shape
    whole = spaced.swapaxes(1, 2).reshape(rows * high, columns * wide)
    return np.pad(whole, (0, GAP))


@matplotlib.rc_context(STYLE)
def sheet(
    image_RxCxHxW: np.ndarray,
    top: Sequence[str],
    left: Sequence[str] = (),
    wrong_RxC: np.ndarray | None = None,
) -> Figure:
    """Pictures in rows and columns with words beside them; the `wrong` ones have a frame."""
    rows, columns, high, wide = image_RxCxHxW.shape
    figure = Figure(figsize=(0.68 * columns + 0.4, 0.68 * rows + 0.3))
    axes = figure.subplots()
    axes.imshow(tiled(image_RxCxHxW), cmap="gray_r", vmin=0, vmax=255, interpolation="nearest")
    middle = [GAP + (wide + GAP) * np.arange(columns) + wide / 2,
              GAP + (high + GAP) * np.arange(rows) + high / 2]  # fmt: skip
    axes.xaxis.tick_top()
    axes.set_xticks(middle[0] if top else [], top)
    axes.set_yticks(middle[1] if left else [], left)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    for row, column in np.argwhere(wrong_RxC) if wrong_RxC is not None else ():
        corner = (column * (wide + GAP) + 0.5, row * (high + GAP) + 0.5)
        frame = dict(fill=False, edgecolor=WRONG, linewidth=1.6)
        axes.add_patch(Rectangle(corner, wide + GAP, high + GAP, **frame))
    return figure
