"""Colours safe for the colour-blind, one matplotlib style, and PNG of bounded size."""

import io

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from fdigits.data.corpus import CLASSES

# Okabe and Ito's palette, the strongest contrasts first, for runs.
RUNS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#444444")
# Paul Tol's "muted" palette and a grey, for the ten digits.
DIGITS = (
    "#332288", "#CC6677", "#117733", "#DDCC77", "#88CCEE",
    "#882255", "#44AA99", "#999933", "#AA4499", "#777777",
)  # fmt: skip
RIGHT, WRONG = "#0072B2", "#D55E00"
INK, PALE = "#222222", "#D9D9D9"
STYLE = {
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.labelsize": 9,
    "axes.edgecolor": "#888888",
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": False,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "figure.facecolor": "white",
    "figure.constrained_layout.use": True,
}
LIMIT = 200_000  # bytes of a PNG


def png(figure: Figure, limit: int = LIMIT) -> bytes:
    """The figure as PNG at 200 dpi, with fewer colours, then dots, where it exceeds `limit`."""
    for dpi in (200, 170, 140, 110, 80):
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=dpi)
        if buffer.tell() <= limit:
            return buffer.getvalue()
        picture = Image.open(buffer).convert("RGB")
        for colours in (256, 96):
            small = io.BytesIO()
            picture.quantize(colours, dither=Image.Dither.NONE).save(small, "PNG", optimize=True)
            if small.tell() <= limit:
                return small.getvalue()
    raise ValueError(f"figure does not fit {limit} bytes")


def first_of_each(label_N: np.ndarray, count: int) -> list[list[int]]:
    """For each class its first `count` rows."""
    return [np.flatnonzero(label_N == digit)[:count].tolist() for digit in range(CLASSES)]
