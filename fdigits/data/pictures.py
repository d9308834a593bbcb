"""Pictures of one digit, brought to MNIST's form."""

from pathlib import Path

import numpy as np

from fdigits.data.corpus import SIDE
from fdigits.errors import UserError

BOX = 20  # MNIST: pixels of the digit's longer side


def read(path: Path) -> np.ndarray:
    """A picture file of one digit, dark on light or light on dark -> [28,28] uint8, ink 255.

    A picture of 28 x 28 with a dark margin is taken as it is. Others are cut to the ink, scaled to
    20 pixels with their aspect kept, and centred by mass, as MNIST was made (LeCun 1998).

    Raises:
      UserError: no picture, or an empty one.
    """
    from PIL import Image

    try:
        with Image.open(path) as image:
            picture = np.asarray(image.convert("L"), np.float64)
    except OSError as error:
        raise UserError(
            f"{path} cannot be read as a picture ({error}): give a PNG or JPEG"
        ) from None
    margin = np.concatenate([picture[0], picture[-1], picture[:, 0], picture[:, -1]])
    background = np.median(margin)
    if picture.shape == (SIDE, SIDE) and background < 64:
        return picture.astype(np.uint8)
    ink = np.clip(np.abs(picture - background) - 20, 0, None)  # paper is never quite even
    if not ink.any():
        raise UserError(f"{path} shows nothing but its background: give a picture of one digit")
    rows, columns = (
        np.flatnonzero(ink.max(1) > ink.max() / 4),
        np.flatnonzero(ink.max(0) > ink.max() / 4),
    )
    box = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] * (255 / ink.max())
    scale = BOX / max(box.shape)
    size = [max(1, round(side * scale)) for side in box.shape[::-1]]
    resized = Image.fromarray(box.astype(np.uint8)).resize(size, Image.Resampling.LANCZOS)
    return centre(np.asarray(resized, np.float64))


def centre(digit: np.ndarray) -> np.ndarray:
    """A digit [h,w], at most 28 high and wide, 0..255 -> [28,28] uint8, its mass in the middle."""
    from scipy import ndimage

    frame = np.zeros((3 * SIDE, 3 * SIDE))
    row, column = ndimage.center_of_mass(digit)
    row, column = round(1.5 * SIDE - row), round(1.5 * SIDE - column)
    frame[row : row + digit.shape[0], column : column + digit.shape[1]] = digit
    return np.round(frame[SIDE : 2 * SIDE, SIDE : 2 * SIDE]).astype(np.uint8)
