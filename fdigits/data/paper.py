"""The paper of a picture taken away: its colour, its light, its lines."""

import numpy as np

COARSE = 96  # pixels of the longer side at which light and paper are judged
WINDOW = 0.35  # of the longer side: what is narrower than this may be a stroke
NEAR = 0.15  # of the longer side: standard deviation of a neighbourhood
LINE = 0.05  # of the longer side: how thick a ruled line is at most
TILT = 0.12  # radians: how far from level it lies at most


def evened(picture: np.ndarray, small: np.ndarray, towards: np.ndarray) -> np.ndarray:
    """Grey [h,w] of a picture [h,w,3]: 0 on the ground however it is lit, higher the more ink.

    Along the line of colours from ground to ink, so that a coloured pen on any ground stands out;
    less the ground, which is what a grey opening leaves, over the ground's light.
    """
    from scipy import ndimage

    window = max(3, round(WINDOW * max(small.shape)) | 1)
    ground = ndimage.grey_opening(small @ towards, (window, window))
    light = ndimage.grey_closing(small.mean(2), (window, window)) if towards.sum() < 0 else None
    grey = picture @ towards - grown(ground, picture.shape[:2])
    if light is not None:
        grey /= grown(np.maximum(light / max(light.max(), 1e-3), 0.2), picture.shape[:2])
    return grey - np.median(grey[::4, ::4] if grey.size > 10_000 else grey)


def squares(picture: np.ndarray, longest: int, of: np.ufunc = np.maximum) -> np.ndarray:
    """The maximum (or sum) of each square of a picture [h,w,...]: at most `longest` in a row."""
    factor = -(-max(picture.shape[:2]) // longest)
    if factor == 1:
        return picture
    rows, columns = (np.arange(0, side, factor) for side in picture.shape[:2])
    return of.reduceat(of.reduceat(picture, rows, axis=0), columns, axis=1)


def coarse(picture: np.ndarray, longest: int = COARSE) -> np.ndarray:
    """The mean of each square of a picture [h,w,3]."""
    pixels = squares(np.ones_like(picture[..., :1]), longest, np.add)
    return squares(picture, longest, np.add) / pixels


def grown(small: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    from PIL import Image

    image = Image.fromarray(small.astype(np.float32))
    return np.asarray(image.resize(shape[::-1], Image.Resampling.BILINEAR))


def direction(small: np.ndarray) -> np.ndarray:
    """The colour [3], of length 1, that leads from the ground to the ink in a picture [h,w,3].

    What deviates from its neighbourhood on one side more than on the other is ink: the third
    moment, which is 0 for the edge of a shadow.
    """
    from scipy import ndimage

    small = coarse(small, COARSE // 2)
    reach = NEAR * max(small.shape)
    residual = small - ndimage.gaussian_filter(small, (reach, reach, 0))
    moment = ((residual**2).sum(2, keepdims=True) * residual).mean((0, 1))
    length = np.linalg.norm(moment)
    towards = moment / length if length > 0 else np.full(3, -(3**-0.5))
    return towards.astype(np.float32)


def unruled(mask: np.ndarray) -> np.ndarray:
    """Ink [h,w] without the lines that lead from edge to edge of a large picture.

    Where what is left lies at the edge, the picture is cut to the digit, and its strokes may lead
    from edge to edge: then all stays.
    """
    if max(mask.shape) < COARSE:
        return mask
    left = without_rows(without_rows(mask).T).T
    return left if (left != mask).any() and is_inside(left) else mask


def is_inside(mask: np.ndarray) -> bool:
    """Whether the largest component of ink [h,w] lies off the picture's edge."""
    from skimage.measure import label

    number = label(mask, connectivity=2)
    if not number.any():
        return False
    largest = number == np.bincount(number[mask]).argmax()
    return not (largest[[0, -1]].any() or largest[:, [0, -1]].any())


def without_rows(mask: np.ndarray) -> np.ndarray:
    """Ink [h,w] without the nearly level lines that span it."""
    from skimage.transform import hough_line, hough_line_peaks

    small = squares(mask, 2 * COARSE)
    factor = -(-max(mask.shape) // (2 * COARSE))
    if not small[:, 0].any() and not small[:, -1].any():
        return mask
    votes = hough_line(small, np.pi / 2 + np.linspace(-TILT, TILT, 41))
    peaks = hough_line_peaks(*votes, 3, 3, 0.2 * small.shape[1], num_peaks=60)
    reach = round(LINE * max(mask.shape) / 2) + 1
    padded = np.pad(mask, ((reach, reach), (0, 0)))
    for _, angle, distance in zip(*peaks, strict=True):
        row_W = (factor * distance - np.arange(mask.shape[1]) * np.cos(angle)) / np.sin(angle)
        erase(padded, row_W.round().astype(int), reach)
    return padded[reach:-reach]


def erase(padded: np.ndarray, row_W: np.ndarray, reach: int) -> None:
    """Takes a thin line out of ink [reach+h+reach,w] that it spans, but not strokes across it."""
    column = np.flatnonzero((row_W >= 0) & (row_W < len(padded) - 2 * reach))
    if len(column) < 0.2 * len(row_W):
        return
    row = row_W[column] + np.arange(2 * reach + 1)[:, None]
    thick = padded[row, column].sum(0)
    end = max(1, len(column) // 20)
    if min((thick > 0).mean(), (thick[:end] > 0).mean(), (thick[-end:] > 0).mean()) < 0.7:
        return
    usual = np.quantile(thick[thick > 0], 0.25)
    if usual <= 1.5 * reach:
        thin = thick <= 1.5 * usual + 1
        padded[row[:, thin], column[thin]] = False
