"""Pictures of one digit, brought to MNIST's form."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from fdigits.data import ink, picture_files, strokes
from fdigits.data.corpus import SIDE

BOX = 20  # MNIST: pixels of the digit's longer side
GREYS = 20  # levels that a negative of MNIST's has; a drawing on white has few
NOTHING = "nothing stands out from the ground: give a picture of one digit"


class Seen(NamedTuple):
    """A picture as a model reads it: image [28,28] uint8, ink 255.

    `digit` is False where there is none, or more than one; `warnings` say what is doubtful.
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

    A picture in that form, or whose negative is, stays as it is. Of others the ink is found,
    cut out, scaled to 20 pixels with its aspect kept, its strokes as wide as MNIST's, and centred
    by mass (LeCun 1998).
    """
    if is_mnist(picture):
        return Seen(np.round(255 * picture[..., 0]).astype(np.uint8), True, ())
    if is_mnist(1 - picture) and len(np.unique(picture)) >= GREYS:
        return bring(1 - picture)
    tried = (seen(marks) for marks in ink.candidates(picture))
    first = next(tried, Seen(np.zeros((SIDE, SIDE), np.uint8), False, (NOTHING,)))
    return first if first.digit else next((one for one in tried if one.digit), first)


def seen(marks: ink.Marks) -> Seen:
    """A digit's ink in MNIST's form, and whether it is a digit's."""
    fine = strokes.penned(marks.cut(), BOX)
    doubts = marks.doubts() + strokes.doubts(fine)
    left_out = (f"{len(marks.others)} other marks are left out",) if marks.others else ()
    return Seen(centre(strokes.fitted(fine, BOX)), not doubts, doubts or left_out)


def is_mnist(picture: np.ndarray) -> bool:
    """Whether a picture has MNIST's form: light on black, in a box of 20 pixels, mass centred."""
    if picture.shape[:2] != (SIDE, SIDE) or np.ptp(picture, 2).any():
        return False
    grey = 255 * picture[..., 0]
    lit = np.argwhere(grey > 32)
    if grey.max() < 128 or np.median(grey) > 8:
        return False
    middle = (grey[..., None] * np.mgrid[:SIDE, :SIDE].transpose(1, 2, 0)).sum((0, 1)) / grey.sum()
    box = np.ptp(lit, 0).max() + 1
    return BOX - 2 <= box <= BOX + 1 and bool((np.abs(middle - SIDE / 2 + 0.25) < 1.3).all())


def centre(digit: np.ndarray) -> np.ndarray:
    """A digit [h,w], at most 28 high and wide, 0..255 -> [28,28] uint8, its mass in the middle."""
    from scipy import ndimage

    frame = np.zeros((3 * SIDE, 3 * SIDE))
    row, column = ndimage.center_of_mass(digit)
    row, column = round(1.5 * SIDE - row), round(1.5 * SIDE - column)
    frame[row : row + digit.shape[0], column : column + digit.shape[1]] = digit
    return np.round(frame[SIDE : 2 * SIDE, SIDE : 2 * SIDE]).astype(np.uint8)
