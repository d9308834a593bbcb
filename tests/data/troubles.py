"""A digit [28,28] as people's pictures show it: one kind of trouble each, [h,w] or [h,w,3] 0..1."""

import numpy as np
from PIL import Image
from scipy import ndimage

WHITE, BLUE, RED, YELLOW = (
    np.array(c) / 255 for c in ([255] * 3, [40, 60, 180], [200, 40, 40], [250, 240, 120])
)


def large(digit, side=280, rng=None):
    """Ink 0..1 of a digit, grown, somewhere on a page of `side` pixels, 1.4 times as high."""
    grown = np.asarray(Image.fromarray(digit).resize((side, side), Image.Resampling.BICUBIC)) / 255
    page = np.zeros((round(1.4 * side), round(1.4 * side)))
    top, left = (0.2 * side, 0.2 * side) if rng is None else rng.uniform(0.05, 0.35, 2) * side
    page[round(top) : round(top) + side, round(left) : round(left) + side] = grown
    return page


def written(ink, pen, paper):
    """Ink [h,w] of one colour on paper of one colour, or of [h,w,3]."""
    return ink[..., None] * np.asarray(pen) + (1 - ink[..., None]) * np.asarray(paper)


def white_page(digit, rng):
    return 1 - large(digit, 280, rng)


def thin_pen(digit, rng):
    """The digit's middle line, two pixels wide, on 900 pixels."""
    from skimage.morphology import skeletonize

    line = skeletonize(large(digit, 640, rng) > 0.5)
    return 1.0 - ndimage.binary_dilation(line, np.ones((3, 3)))


def thick_marker(digit, rng):
    ink = large(digit, 280, rng)
    return 1 - ndimage.grey_dilation(ink, (9, 9))


def coloured(digit, rng):
    pens = [(BLUE, WHITE), (RED, YELLOW), (YELLOW, BLUE), (RED, BLUE * 1.2), (WHITE, RED)]
    pen, paper = pens[rng.integers(len(pens))]
    return written(large(digit, 200, rng), pen, paper)


def low_contrast(digit, rng):
    ink = large(digit, 280, rng)
    return np.clip(0.6 - 0.12 * ink + rng.normal(0, 0.015, ink.shape), 0, 1)


def light_from_one_side(digit, rng):
    ink = large(digit, 280, rng)
    light = np.linspace(1, rng.uniform(0.3, 0.5), ink.shape[1])
    light = light if rng.random() < 0.5 else light[::-1, None]
    return np.clip((1 - 0.5 * ink) * light + rng.normal(0, 0.02, ink.shape), 0, 1)


def shadow(digit, rng):
    """A hand's shadow with a soft edge lies over a part of the page."""
    ink = large(digit, 280, rng)
    y, x = np.mgrid[: ink.shape[0], : ink.shape[1]] / len(ink) - 0.5
    angle = rng.uniform(0, 2 * np.pi)
    edge = np.cos(angle) * x + np.sin(angle) * y - rng.uniform(-0.2, 0.2)
    light = 1 - 0.45 / (1 + np.exp(-edge / 0.02))
    return np.clip((1 - 0.7 * ink) * light + rng.normal(0, 0.01, ink.shape), 0, 1)


def ruled(digit, rng, both=False):
    """Blue lines, slightly aslant, and a dark pen on them."""
    ink = large(digit, 280, rng)
    tilt = np.tan(np.radians(rng.uniform(-3, 3)))
    y, x = np.mgrid[: ink.shape[0], : ink.shape[1]].astype(float)
    step, start = rng.uniform(50, 90), rng.uniform(0, 50)
    lines = (y + tilt * x - start) % step < 2
    if both:
        lines |= (x - tilt * y - start) % step < 2
    paper = written(0.6 * lines, BLUE, [0.95, 0.95, 0.92])
    return np.clip(
        written(ink, [0.1, 0.1, 0.2], paper) + rng.normal(0, 0.01, (*ink.shape, 1)), 0, 1
    )


def squared(digit, rng):
    return ruled(digit, rng, both=True)


def framed(digit, rng):
    """A scan with a black edge all round."""
    page = 1 - large(digit, 280, rng)
    width = int(rng.integers(2, 12))
    return np.pad(page, width)


def specks(digit, rng):
    page = 1 - large(digit, 280, rng)
    for row, column in rng.integers(4, len(page) - 4, (15, 2)):
        page[row : row + 3, column : column + 3] = 0
    return page


def chalk(digit, rng):
    ink = large(digit, 280, rng)
    return np.clip(0.25 + 0.5 * ink + rng.normal(0, 0.03, ink.shape), 0, 1)


def cut_close(digit, rng):
    """28 x 28, the digit filling the picture."""
    rows, columns = np.flatnonzero(digit.max(1) > 100), np.flatnonzero(digit.max(0) > 100)
    size = max(np.ptp(rows), np.ptp(columns)) + 1
    box = digit[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    short = [(size - side) // 2 for side in box.shape]
    square = np.pad(
        box, [(gap, size - gap - side) for gap, side in zip(short, box.shape, strict=True)]
    )
    small = np.asarray(Image.fromarray(square).resize((28, 28), Image.Resampling.BICUBIC)) / 255
    return small if rng.random() < 0.5 else 1 - small


def off_centre(digit, rng):
    moved = np.roll(digit, rng.integers(-4, 5, 2), (0, 1)) / 255
    return moved if rng.random() < 0.5 else 1 - moved


def on_a_table(digit, rng):
    """A white sheet on dark wood."""
    page = 1 - 0.8 * large(digit, 200, rng)
    y = np.linspace(0, 60, 480)[:, None]
    wood = 0.3 + 0.05 * np.sin(y + 2 * np.sin(np.linspace(0, 6, 480)))
    wood[100:380, 90:370] = page
    return np.clip(wood + rng.normal(0, 0.01, wood.shape), 0, 1)


TROUBLES = [
    white_page, thin_pen, thick_marker, coloured, low_contrast, light_from_one_side, shadow, ruled,
    squared, framed, specks, chalk, cut_close, off_centre, on_a_table,
]  # fmt: skip


# ---------------------------------------------------------------- no digit, or several


def blank(rng):
    return np.full((200, 300), rng.random())


def white_noise(rng):
    return rng.random((28, 28)) if rng.random() < 0.3 else rng.random((200, 200))


def faint_noise(rng):
    return np.clip(rng.uniform(0.3, 1) + rng.normal(0, 0.03, (300, 200, 3)), 0, 1)


def cloud(rng):
    noise = ndimage.gaussian_filter(rng.normal(size=(240, 240)), rng.uniform(2, 20))
    return (noise - noise.min()) / np.ptp(noise)


def gradient(rng):
    y, x = np.mgrid[:200, :200] / 200
    return np.clip(0.5 + rng.uniform(-1, 1) * (x - 0.5) + rng.uniform(-1, 1) * (y - 0.5) ** 2, 0, 1)


def stripes(rng):
    y, x = np.mgrid[:200, :200] / 200
    return 0.5 + 0.5 * np.sin(rng.uniform(20, 90) * (x * rng.random() + y * rng.random()))


def salt(rng):
    return (rng.random((150, 150)) < rng.uniform(0.01, 0.3)) * 1.0


def lines_alone(rng):
    return ruled(np.zeros((28, 28), np.uint8), rng, both=rng.random() < 0.5)


NOTHING = [blank, white_noise, faint_noise, cloud, gradient, stripes, salt, lines_alone]


def side_by_side(digits, rng):
    """Two or more digits in a row, or one below the other."""
    row = np.concatenate(digits, int(rng.random() < 0.8))
    page = np.pad(row, 10)
    size = (4 * page.shape[1], 4 * page.shape[0])
    return 1 - np.asarray(Image.fromarray(page).resize(size, Image.Resampling.BICUBIC)) / 255
