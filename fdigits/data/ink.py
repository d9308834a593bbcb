"""The ink of one digit, found in a picture of any kind."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from fdigits.data import paper

FAINT = 0.1  # of the 1.7 between black and white
NOISY = 4  # standard deviations of the ground
EDGE = 0.3  # of a component's box that lies at the picture's edge
MUCH = 0.3  # of a picture: so much ink may be the ground


def candidates(picture: np.ndarray) -> Iterator["Marks"]:
    """What may be the ink of a picture [h,w,3] 0..1, the likeliest first.

    The ground is what there is more of, or else the other way round. Of what may be a sheet of
    paper its inside comes first.
    """
    small = paper.coarse(picture)
    towards = paper.direction(small)
    found = [marks(paper.evened(picture, small, towards))]
    if found[0] and found[0].share > MUCH:
        found.append(marks(paper.evened(picture, small, -towards)))
    for one in sorted((one for one in found if one), key=lambda one: -one.whole):
        if one.is_sheet():
            inner = candidates(sheet(picture, one))
            yield from (marks for marks in inner if not marks.chosen[0].edge)
        yield one


def sheet(picture: np.ndarray, one: "Marks") -> np.ndarray:
    """A sheet of paper that lies on something else, cut out, with paper for what is around it."""
    from scipy import ndimage

    top, left, bottom, right = one.chosen[0].box
    page = one.label[top:bottom, left:right] == one.chosen[0].number
    inner = ndimage.binary_erosion(ndimage.binary_fill_holes(page), iterations=3)
    cut = picture[top:bottom, left:right]
    return np.where(inner[..., None], cut, np.median(cut[page], 0))


# ---------------------------------------------------------------- ink and its components


def threshold(grey: np.ndarray) -> float | None:
    """The level between ground and ink; None where the two do not stand apart.

    Otsu's, of maxima over squares, where a thin stroke has as many pixels as it needs.
    """
    from skimage.filters import threshold_otsu

    most = paper.squares(grey, paper.COARSE)
    if np.ptp(most) < 0.04:
        return None
    above = most > threshold_otsu(most)
    return float((most[above].mean() + most[~above].mean()) / 2)


class Part(NamedTuple):
    """A connected component; its box is top, left, bottom, right."""

    number: int
    box: tuple[int, int, int, int]
    area: int
    mass: float
    edge: float

    @property
    def size(self) -> int:
        return max(self.box[2] - self.box[0], self.box[3] - self.box[1])


def components(mask: np.ndarray, grey: np.ndarray, level: float) -> tuple[np.ndarray, list[Part]]:
    """Components [h,w] by number, and those that reach the level somewhere."""
    from scipy import ndimage
    from skimage.measure import label as labelled

    label = labelled(mask, connectivity=2)
    count = label.max() + 1
    reach = np.bincount(label[grey > level], minlength=count)
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
        if reach[number]
    ]
    return label, parts


def choose(parts: list[Part]) -> tuple[list[Part], list[Part]]:
    """The components of one digit, and those that are left."""
    first = max(
        [part for part in parts if part.edge < EDGE] or parts,
        key=lambda part: part.mass * part.size,
    )
    rest = [part for part in parts if part is not first and of_one_pen(part, first)]
    chosen, others = [first], []
    for part in sorted(rest, key=lambda part: -part.area):
        (chosen if belongs(part, chosen) else others).append(part)
    return chosen, others


def of_one_pen(part: Part, first: Part) -> bool:
    """Whether a component is more than a speck or a hair beside the digit's largest."""
    if part.edge and not first.edge:
        return False
    pen = first.area / (2.5 * first.size)  # a digit's line is about so many times its height
    return part.area > 0.03 * first.area and part.area / part.size > 0.4 * pen


def belongs(part: Part, chosen: list[Part]) -> bool:
    """Whether a component is a stroke of the digit and not a neighbour."""
    top, left, bottom, right = around(chosen)
    size = max(bottom - top, right - left)
    down = max(part.box[0] - bottom, top - part.box[2], 0)
    along = max(part.box[1] - right, left - part.box[3], 0)
    if max(down, along) > 0.25 * size:
        return False
    return along <= 0.08 * size or part.size <= 0.55 * size


def around(parts: list[Part]) -> tuple[int, int, int, int]:
    boxes = np.array([part.box for part in parts])
    return (*boxes[:, :2].min(0), *boxes[:, 2:].max(0))


class Marks(NamedTuple):
    """What is ink in a picture: grey [h,w], components [h,w] by number, the digit's and others."""

    grey: np.ndarray
    label: np.ndarray
    chosen: list[Part]
    others: list[Part]

    @property
    def share(self) -> float:
        """Of the picture that is ink."""
        return float((self.label > 0).mean())

    @property
    def whole(self) -> float:
        """Of the ink that is the digit's."""
        return sum(part.area for part in self.chosen) / (self.label > 0).sum()

    @property
    def contrast(self) -> float:
        """Between ink and ground, of the 1.7 between black and white."""
        return float(np.median(self.grey[self.label == self.chosen[0].number]))

    @property
    def clearness(self) -> float:
        """Contrast over the ground's standard deviation, as told by its darker half."""
        low, middle = np.quantile(self.grey[self.label == 0], [0.16, 0.5])
        return self.contrast / (float(middle - low) + 1e-6)

    def is_sheet(self) -> bool:
        """Whether the largest component may be a sheet of paper: large, and most of its box."""
        top, left, bottom, right = self.chosen[0].box
        box = (bottom - top) * (right - left)
        part = box / self.label.size
        return self.chosen[0].area > 0.7 * box > 200 and 0.04 < part < 0.9

    def cut(self) -> np.ndarray:
        """The digit's ink [h,w] 0..1: what lies outside its outline by more than a pixel is 0."""
        from scipy import ndimage

        keep = np.isin(self.label, [part.number for part in self.chosen])
        (top, left), (bottom, right) = (
            np.maximum(np.argwhere(keep).min(0) - 1, 0),
            np.argwhere(keep).max(0) + 2,
        )
        grey, keep = self.grey[top:bottom, left:right], keep[top:bottom, left:right]
        near = ndimage.binary_dilation(keep, np.ones((3, 3)))
        return np.where(near, np.clip(grey / max(np.median(grey[keep]), 1e-6), 0, 1), 0)

    def doubts(self) -> tuple[str, ...]:
        """Why this is not the ink of one digit; none where it may be."""
        first = self.chosen[0]
        like = [part for part in self.others if part.size > 0.5 * first.size]
        told = {
            "no digit stands out among many marks": len(self.others) > 20 or len(self.chosen) > 5,
            f"{len(like) + 1} digits or marks stand beside each other": bool(like),
            "what stands out is faint": self.contrast < FAINT or self.clearness < NOISY,
            "what stands out leads out of the picture": first.edge > EDGE,
        }
        return tuple(text for text, true in told.items() if true)


def marks(grey: np.ndarray) -> Marks | None:
    """Ink of an evened picture [h,w], None where there is none."""
    level = threshold(grey)
    if level is None:
        return None
    label, parts = components(paper.unruled(grey > 0.7 * level), grey, level)
    return Marks(grey, label, *choose(parts)) if parts else None
