"""Pictures of one digit, brought to MNIST's form."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from fdigits.data import ink, paper, picture_files
from fdigits.data.corpus import SIDE

BOX = 20  # MNIST: pixels of the digit's longer side
STROKE = (2.0, 4.0)  # pixels: what MNIST's pens are wide
FINE = 5  # pixels of a cut-out digit for each of MNIST's


class Seen(NamedTuple):
    """A picture as a model reads it: image [28,28] uint8, ink 255.

    `digit` is False where there is none, or more than one; `warnings` say in words what is doubtful.
    """

    image: np.ndarray
    digit: bool
    warnings: tuple[str, ...]


def read(path: Path) -> Seen:
    """A picture file, whatever its kind: photograph, scan, drawing.

    Raises:
      UserError: no picture, a broken or a huge one.
    """
    return bring(picture_files.load(path))


def bring(picture: np.ndarray) -> Seen:
    """A picture [h,w,3] 0..1 of one digit in any colours, brought to MNIST's form.

    A picture that is in that form stays as it is. Of others the ink is found, cut out, scaled to 20
    pixels with its aspect kept and its strokes as wide as MNIST's, and centred by mass (LeCun 1998).
    """
    if is_mnist(picture):
        return Seen(np.round(255 * picture[..., 0]).astype(np.uint8), True, ())
    found = ink.find(picture)
    if found.ink is None:
        return Seen(np.zeros((SIDE, SIDE), np.uint8), False, found.warnings)
    return Seen(centre(drawn(found.ink)), found.digit, found.warnings)


def is_mnist(picture: np.ndarray) -> bool:
    """Whether a picture has MNIST's form: light on black, in a box of 20 pixels, mass centred."""
    if picture.shape[:2] != (SIDE, SIDE) or np.ptp(picture, 2).any():
        return False
    grey = 255 * picture[..., 0]
    lit = np.argwhere(grey > 32)
    if grey.max() < 128 or np.median(grey) > 8 or not len(lit):
        return False
    middle = (grey[..., None] * np.mgrid[:SIDE, :SIDE].transpose(1, 2, 0)).sum((0, 1)) / grey.sum()
    box = np.ptp(lit, 0).max() + 1
    return BOX - 2 <= box <= BOX + 1 and bool((np.abs(middle - SIDE / 2 + 0.25) < 1.3).all())


def drawn(box: np.ndarray) -> np.ndarray:
    """Ink [h,w] 0..1, cut out -> at most `BOX` high and wide, 0..255, strokes of MNIST's width."""
    from PIL import Image

    fine = resized(paper.squares(box, 2 * BOX * FINE), BOX * FINE)
    fine = np.pad(fine, 2 * FINE)
    wider = within(stroke(fine) / FINE) * FINE
    changed = np.clip(fine, 0, 1) if not wider else widened(fine, wider / 2)
    inside = np.argwhere(changed > 0.3)
    (top, left), (bottom, right) = inside.min(0), inside.max(0) + 1
    cut = Image.fromarray(changed[top:bottom, left:right].astype(np.float32))
    scale = BOX / max(cut.size)
    size = [max(1, round(side * scale)) for side in cut.size]
    small = np.asarray(cut.resize(size, Image.Resampling.BOX), np.float64)
    top = np.quantile(small, 0.98)
    return 255 * np.clip(small / max(top, 0.5), 0, 1)


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


def within(width: float) -> float:
    """What a stroke of that width lacks to be as MNIST's."""
    return float(np.clip(width, *STROKE) - width)


def widened(box: np.ndarray, by: float) -> np.ndarray:
    """Ink [h,w] 0..1 with its outline moved outward by `by` pixels, inward where negative."""
    from scipy import ndimage

    mask = box > 0.5
    inside, outside = map(ndimage.distance_transform_edt, (mask, ~mask))
    moved = np.clip(0.5 + np.where(mask, inside - 0.5, 0.5 - outside) + by, 0, 1)
    if by > 0:
        return np.maximum(moved, box)
    return moved


def centre(digit: np.ndarray) -> np.ndarray:
    """A digit [h,w], at most 28 high and wide, 0..255 -> [28,28] uint8, its mass in the middle."""
    from scipy import ndimage

    frame = np.zeros((3 * SIDE, 3 * SIDE))
    row, column = ndimage.center_of_mass(digit)
    row, column = round(1.5 * SIDE - row), round(1.5 * SIDE - column)
    frame[row : row + digit.shape[0], column : column + digit.shape[1]] = digit
    return np.round(frame[SIDE : 2 * SIDE, SIDE : 2 * SIDE]).astype(np.uint8)
