"""The ink of one digit, found in a picture of any kind."""

from typing import NamedTuple

import numpy as np

COARSE = 96  # pixels of the longer side at which light and paper are judged
WINDOW = 0.35  # of the longer side: what is narrower than this may be a stroke


class Found(NamedTuple):
    """Ink [h,w] 0..1 cut out, None where there is none; whether it is one digit; what is doubtful."""

    ink: np.ndarray | None
    digit: bool
    warnings: tuple[str, ...]


def find(picture: np.ndarray) -> Found:
    """The ink of a picture [h,w,3] 0..1 that belongs to one digit."""
    grey = evened(picture)
    level = threshold(grey)
    if level is None:
        return Found(None, False, ("nothing stands out from the ground",))
    mask = hysteresis(grey, level)
    label, parts = components(mask, grey)
    if not parts:
        return Found(None, False, ("nothing stands out from the ground",))
    chosen, others = choose(parts)
    keep = np.isin(label, [part.number for part in chosen])
    return Found(cut(grey, keep, level), *verdict(chosen, others, keep))


# ---------------------------------------------------------------- paper and light


def evened(picture: np.ndarray) -> np.ndarray:
    """Grey [h,w] of a picture [h,w,3]: 0 on the ground however it is lit, higher the more ink.

    Along the line of colours from ground to ink, so that a coloured pen on any ground stands out;
    less the ground, which is what a grey opening leaves, over the ground's light.
    """
    from scipy import ndimage

    small = coarse(picture)
    towards = direction(small)
    window = max(3, round(WINDOW * max(small.shape)) | 1)
    ground = ndimage.grey_opening(small @ towards, (window, window))
    light = ndimage.grey_closing(small.mean(2), (window, window)) if towards.sum() < 0 else None
    grey = picture @ towards - grown(ground, picture.shape[:2])
    if light is not None:
        grey /= grown(np.maximum(light / max(light.max(), 1e-3), 0.2), picture.shape[:2])
    return grey - np.median(grey)


def coarse(picture: np.ndarray, longest: int = COARSE) -> np.ndarray:
    """Means of squares, at most `longest` squares high and wide."""
    factor = -(-max(picture.shape[:2]) // longest)
    if factor == 1:
        return picture
    height, width = (max(1, side // factor) * factor for side in picture.shape[:2])
    if min(picture.shape[:2]) < factor:
        return picture
    blocks = picture[:height, :width].reshape(height // factor, factor, width // factor, factor, -1)
    return blocks.mean((1, 3))


def grown(small: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    from PIL import Image

    image = Image.fromarray(small.astype(np.float32))
    return np.asarray(image.resize(shape[::-1], Image.Resampling.BILINEAR))


def direction(small: np.ndarray) -> np.ndarray:
    """The colour [3], of length 1, that leads from the ground to the ink in a picture [h,w,3].

    What deviates from a smooth ground on one side more than on the other is ink: the third moment.
    """
    residual = small - smooth(small)
    moment = ((residual**2).sum(2, keepdims=True) * residual).mean((0, 1))
    length = np.linalg.norm(moment)
    return moment / length if length > 0 else np.full(3, -(3**-0.5))


def smooth(small: np.ndarray) -> np.ndarray:
    """A quadratic surface through most of a picture [h,w,c]: least absolute deviations."""
    height, width = small.shape[:2]
    y, x = (
        a.ravel()
        for a in np.meshgrid(np.linspace(-1, 1, height), np.linspace(-1, 1, width), indexing="ij")
    )
    basis = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], 1)
    values = small.reshape(len(x), -1)
    fit = np.median(values, 0) + 0 * values
    for _ in range(8):  # least squares, weighted anew by what deviates
        weight = 1 / (np.linalg.norm(values - fit, axis=1, keepdims=True) + 0.02)
        gram = (basis * weight).T @ basis + 1e-3 * np.eye(6) * weight.sum() * 1e-3
        fit = basis @ np.linalg.solve(gram, (basis * weight).T @ values)
    return fit.reshape(small.shape)


# ---------------------------------------------------------------- ink and its components


def threshold(grey: np.ndarray) -> float | None:
    """The level between ground and ink; None where the two do not stand apart.

    Otsu's, of maxima over squares, where a thin stroke has as many pixels as it needs.
    """
    from skimage.filters import threshold_otsu
    from skimage.measure import block_reduce

    factor = -(-max(grey.shape) // COARSE)
    most = block_reduce(grey, factor, np.max) if factor > 1 else grey
    if np.ptp(most) < 0.04:
        return None
    level = threshold_otsu(np.clip(most, 0, None))
    return float(level)


def hysteresis(grey: np.ndarray, level: float) -> np.ndarray:
    from skimage.filters import apply_hysteresis_threshold

    return apply_hysteresis_threshold(grey, 0.7 * level, level)


class Part(NamedTuple):
    """A connected component: its number, box (top, left, bottom, right), pixels, ink, at the edge."""

    number: int
    box: tuple[int, int, int, int]
    area: int
    mass: float
    edge: float

    @property
    def size(self) -> int:
        return max(self.box[2] - self.box[0], self.box[3] - self.box[1])


def components(mask: np.ndarray, grey: np.ndarray) -> tuple[np.ndarray, list[Part]]:
    from scipy import ndimage
    from skimage.measure import label as labelled

    label = labelled(mask, connectivity=2)
    count = label.max() + 1
    area = np.bincount(label.ravel(), minlength=count)
    mass = np.bincount(label.ravel(), grey.ravel(), minlength=count)
    rim = np.concatenate([label[0], label[-1], label[1:-1, 0], label[1:-1, -1]])
    edge = np.bincount(rim, minlength=count)
    parts = [
        Part(
            number,
            (s[0].start, s[1].start, s[0].stop, s[1].stop),
            int(area[number]),
            float(mass[number]),
            float(edge[number] / (2 * (s[0].stop - s[0].start + s[1].stop - s[1].start))),
        )
        for number, s in enumerate(ndimage.find_objects(label), 1)
    ]
    return label, parts


def choose(parts: list[Part]) -> tuple[list[Part], list[Part]]:
    """The components of one digit, and those that are left."""
    inner = [part for part in parts if part.edge < 0.33] or parts
    first = max(inner, key=lambda part: part.mass * part.size)
    speck = 0.01 * first.area
    rest = [part for part in inner if part is not first and part.area > speck]
    chosen, others = [first], []
    for part in sorted(rest, key=lambda part: -part.area):
        (chosen if belongs(part, chosen) else others).append(part)
    return chosen, others


def belongs(part: Part, chosen: list[Part]) -> bool:
    """Whether a component is a stroke of the digit and not a neighbour."""
    top, left, bottom, right = around(chosen)
    size = max(bottom - top, right - left)
    down = max(part.box[0] - bottom, top - part.box[2], 0)
    along = max(part.box[1] - right, left - part.box[3], 0)
    if max(down, along) > 0.25 * size:
        return False
    return not (along > 0 and part.size > 0.55 * size)


def around(parts: list[Part]) -> tuple[int, int, int, int]:
    boxes = np.array([part.box for part in parts])
    return (*boxes[:, :2].min(0), *boxes[:, 2:].max(0))


def verdict(chosen, others, keep) -> tuple[bool, tuple[str, ...]]:
    first = chosen[0]
    like = [part for part in others if part.size > 0.5 * first.size]
    if len(others) > 20 or len(chosen) > 12:
        return False, ("no digit stands out: many marks",)
    if like:
        return False, (f"{len(like) + 1} digits or marks: give a picture of one digit",)
    return True, ()


def cut(grey: np.ndarray, keep: np.ndarray, level: float) -> np.ndarray:
    """The chosen ink [h,w] 0..1: its outline, softened by one pixel, at half."""
    from scipy import ndimage

    box = np.argwhere(keep)
    (top, left), (bottom, right) = np.maximum(box.min(0) - 1, 0), box.max(0) + 2
    grey, keep = grey[top:bottom, left:right], keep[top:bottom, left:right]
    near = ndimage.binary_dilation(keep, np.ones((3, 3)))
    full = np.median(grey[keep])
    return np.where(near, np.clip(grey / max(full, 1e-6), 0, 1), 0)
