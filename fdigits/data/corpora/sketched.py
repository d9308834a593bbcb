"""Digits sketched from strokes, in the forms that schools teach and MNIST's writers seldom use.

A 1 with a flag, or a flag and a foot; a 7 with a bar; a closed 4; a 0 with a slash; an 8 of two
rings. Each form is a few strokes through points of the unit square (x to the right, y down), drawn
anew with every point moved, another width and another pen. Seeded, so always the same.
"""

import numpy as np

from fdigits.data.corpus import CLASSES, Corpus
from fdigits.data.pictures import BOX, centre

VARIANTS = 24  # of each form; the last 4 test
TESTING = 4
MOVED = 0.035  # standard deviation of a point, of the height
WIDTHS = (0.45, 0.9)  # of the height
PENS = (0.08, 0.17)  # of the height
_HEIGHT = 8 * BOX  # drawn so large, then reduced

Stroke = tuple[str, str]  # "line" or "curve", "x,y x,y ..."
_RING = "0.5,0 0.06,0.25 0,0.6 0.45,1 0.95,0.65 0.95,0.3 0.5,0 0.3,0.05"
FORMS: dict[int, tuple[tuple[Stroke, ...], ...]] = {
    0: (
        (("curve", _RING),),
        (("curve", _RING), ("line", "0.95,0.05 0.05,0.95")),
    ),
    1: (
        (("line", "0.5,0 0.5,1"),),
        (("line", "0.1,0.3 0.5,0 0.5,1"),),
        (("line", "0,0.5 0.55,0 0.5,1"),),
        (("line", "0.2,0.2 0.55,0 0.55,1"), ("line", "0.1,1 1,1")),
    ),
    2: (
        (("curve", "0.05,0.25 0.4,0 0.9,0.2 0.6,0.6 0,1"), ("line", "0,1 1,1")),
        (("curve", "0,0.2 0.5,0 0.9,0.3 0.4,0.8 0.1,1 0.05,0.85 0.4,0.85 1,1"),),
    ),
    3: (
        (("curve", "0.05,0.15 0.5,0 0.9,0.22 0.4,0.47"), ("curve", "0.4,0.47 1,0.7 0.5,1 0,0.85")),
        (("line", "0,0 0.9,0 0.4,0.4"), ("curve", "0.4,0.4 0.95,0.65 0.5,1 0,0.85")),
        (
            ("curve", "0.15,0.3 0.2,0.05 0.6,0 0.8,0.25 0.5,0.45"),
            ("curve", "0.5,0.45 1,0.75 0.5,1 0,0.8 0.2,0.65"),
        ),
    ),
    4: (
        (("line", "0.1,0 0,0.55 1,0.55"), ("line", "0.75,0.15 0.7,1")),
        (("line", "0.7,1 0.7,0 0,0.65 1,0.65"),),
        (("line", "0.75,0 0.75,1"), ("line", "0.7,0 0,0.4 0.8,0.42")),
    ),
    5: (
        (("line", "0.9,0 0.2,0 0.15,0.45"), ("curve", "0.15,0.45 0.6,0.35 1,0.68 0.5,1 0,0.85")),
        (
            ("line", "0.8,0 0.3,0 0.3,0.4"),
            ("curve", "0.3,0.4 0.7,0.3 1,0.7 0.4,1 0,0.8 0.25,0.62"),
        ),
    ),
    6: (
        (("curve", "0.8,0 0.25,0.35 0,0.75 0.5,1 0.95,0.75 0.5,0.5 0.08,0.7"),),
        (("curve", "0.5,0 0.1,0.5 0.1,0.85 0.5,1 0.9,0.8 0.55,0.58 0.1,0.8"),),
    ),
    7: (
        (("line", "0,0 0.95,0 0.35,1"),),
        (("line", "0,0 0.95,0 0.35,1"), ("line", "0.2,0.5 0.9,0.5")),
        (("line", "0,0.2 0,0 0.95,0 0.4,1"),),
        (("curve", "0,0.1 0.5,0 0.95,0.05 0.6,0.5 0.45,1"), ("line", "0.2,0.5 0.9,0.5")),
    ),
    8: (
        (
            ("curve", "0.5,0 0.1,0.22 0.5,0.47 0.9,0.22 0.5,0"),
            ("curve", "0.5,0.47 0,0.75 0.5,1 1,0.75 0.5,0.47"),
        ),
        (("curve", "0.85,0.15 0.4,0 0.1,0.25 0.85,0.7 0.5,1 0.1,0.75 0.8,0.3 0.85,0.15"),),
    ),
    9: (
        (("curve", "0.9,0.25 0.5,0 0.05,0.25 0.4,0.5 0.9,0.25"), ("line", "0.9,0.15 0.85,1")),
        (("curve", "0.9,0.25 0.5,0 0.05,0.25 0.4,0.5 0.9,0.25 0.95,0.7 0.5,1 0.1,0.9"),),
    ),
}


def read(name: str) -> dict[str, Corpus]:
    """`VARIANTS` of each form, in MNIST's form."""
    held = [
        (sketched(form, np.random.default_rng([digit, number, variant])), digit, number, variant)
        for digit in range(CLASSES)
        for number, form in enumerate(FORMS[digit])
        for variant in range(VARIANTS)
    ]
    image, label, _, variant = (np.array(column) for column in zip(*held, strict=True))
    ids = np.array([f"{d}/{n}/{v}" for _, d, n, v in held])
    part = np.where(variant < VARIANTS - TESTING, "train", "test")
    label = label.astype(np.int32)
    return {"image": Corpus(name, image, label, ids, np.full(len(label), ""), part)}


def sketched(form: tuple[Stroke, ...], rng: np.random.Generator) -> np.ndarray:
    """A digit [28,28] uint8: 20 pixels on its longer side, its mass in the middle."""
    from PIL import Image, ImageDraw

    pen, width = _HEIGHT * rng.uniform(*PENS), rng.uniform(*WIDTHS)
    paper = Image.new("L", (2 * _HEIGHT, 2 * _HEIGHT))
    drawing = ImageDraw.Draw(paper)
    for kind, text in form:
        points = np.array([point.split(",") for point in text.split()], float)
        points += rng.normal(0, MOVED, points.shape)
        points = smooth(points) if kind == "curve" else points
        places = [(x, y) for x, y in _HEIGHT * (points * [width, 1] + 0.3)]
        drawing.line(places, 255, round(pen), joint="curve")
        for x, y in places:
            drawing.ellipse([x - pen / 2, y - pen / 2, x + pen / 2, y + pen / 2], 255)
    ink = paper.crop(paper.getbbox())
    size = [max(1, round(side * BOX / max(ink.size))) for side in ink.size]
    return centre(np.asarray(ink.resize(size, Image.Resampling.BOX), np.float64))


def smooth(points: np.ndarray) -> np.ndarray:
    """Points [P,2] -> [8 P,2] on a cubic spline through them, along the way between them."""
    from scipy.interpolate import CubicSpline

    steps = np.linalg.norm(np.diff(points, axis=0), axis=1)
    way = np.append(0, np.cumsum(np.maximum(steps, 1e-3)))
    return CubicSpline(way, points)(np.linspace(0, way[-1], 8 * len(points)))
