"""Strokes of a digit cut out: their width, and whether they are a digit's."""

from typing import NamedTuple

import numpy as np

from fdigits.data import paper

WIDTH = (2.0, 4.0)  # pixels: what MNIST's pens are wide
BLOT = 7.0  # pixels: what is wider is no pen's stroke
FINE = 5  # pixels of a cut-out digit for each of MNIST's


def penned(box: np.ndarray, longest: int) -> np.ndarray:
    """Ink [h,w] 0..1, cut out -> `longest * FINE` high or wide and a margin, strokes as MNIST's."""
    fine = np.pad(resized(paper.squares(box, 2 * longest * FINE), longest * FINE), 2 * FINE)
    width = stroke(fine)
    by = np.clip(width, *(FINE * limit for limit in WIDTH)) - width
    if width > FINE * BLOT:
        by = 0
    return widened(fine, by / 2) if by else np.clip(fine, 0, 1)


def fitted(fine: np.ndarray, longest: int) -> np.ndarray:
    """Ink [h,w] 0..1 -> at most `longest` high and wide, 0..255."""
    from PIL import Image

    inside = np.argwhere(fine > 0.3)
    (top, left), (bottom, right) = inside.min(0), inside.max(0) + 1
    cut = Image.fromarray(fine[top:bottom, left:right].astype(np.float32))
    scale = longest / max(cut.size)
    size = [max(1, round(side * scale)) for side in cut.size]
    small = np.asarray(cut.resize(size, Image.Resampling.BOX), np.float64)
    return 255 * np.clip(small / max(np.quantile(small, 0.98), 0.5), 0, 1)


def resized(box: np.ndarray, longest: int) -> np.ndarray:
    from PIL import Image

    scale = longest / max(box.shape)
    size = [max(1, round(side * scale)) for side in box.shape[::-1]]
    image = Image.fromarray(box.astype(np.float32))
    return np.asarray(image.resize(size, Image.Resampling.BICUBIC))


def stroke(box: np.ndarray) -> float:
    """Pixels that strokes are wide in the mean."""
    from scipy import ndimage
    from skimage.morphology import skeletonize

    mask = box > 0.5
    depth = ndimage.distance_transform_edt(mask)
    line = skeletonize(mask)
    return float(2 * np.median(depth[line]) - 1) if line.any() else 1.0


def widened(box: np.ndarray, by: float) -> np.ndarray:
    """Ink [h,w] 0..1 with its outline moved outward by `by` pixels, inward where negative."""
    from scipy import ndimage

    mask = box > 0.5
    inside, outside = map(ndimage.distance_transform_edt, (mask, ~mask))
    moved = np.clip(0.5 + np.where(mask, inside - 0.5, 0.5 - outside) + by, 0, 1)
    if by > 0:
        return np.maximum(moved, box)
    return moved


class Shape(NamedTuple):
    """What the strokes of a digit have little of; lengths in heights of the digit."""

    length: float  # of the strokes' middle line
    widest: float
    ends: int
    crossings: int
    holes: int
    pieces: int


# MNIST's digits and those written for other programs lie below, but for a few in a thousand.
MOST = Shape(length=3.5, widest=0.5, ends=7, crossings=20, holes=3, pieces=3)


def shape(fine: np.ndarray) -> Shape:
    from scipy import ndimage
    from skimage.measure import euler_number, label
    from skimage.morphology import skeletonize

    mask = ndimage.gaussian_filter(fine, FINE / 3) > 0.5
    line = skeletonize(mask)
    around = ndimage.convolve(line.astype(np.uint8), np.ones((3, 3), np.uint8), mode="constant")
    pieces = int(label(mask, connectivity=2).max())
    height = max(fine.shape) - 4 * FINE
    return Shape(
        length=float(line.sum() / height),
        widest=float(2 * ndimage.distance_transform_edt(mask).max() / height),
        ends=int((around[line] == 2).sum()),
        crossings=int((around[line] > 3).sum()),
        holes=pieces - int(euler_number(mask, 2)),
        pieces=pieces,
    )


def doubts(fine: np.ndarray) -> tuple[str, ...]:
    """Why the strokes [h,w], of MNIST's width, are no digit's; none where they may be."""
    found = shape(fine)
    beyond = any(value > most for value, most in zip(found, MOST, strict=True))
    return ("what stands out from the ground is not drawn like a digit",) if beyond else ()
