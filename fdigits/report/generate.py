"""The page of generators: sheets of drawn digits, and what the judge measured of each digit."""

from collections.abc import Iterator
from functools import partial

import numpy as np

from fdigits.data.corpus import CLASSES
from fdigits.report import words
from fdigits.report.artifacts import Run
from fdigits.report.page import Block, Grid, Heading, Note, Picture
from fdigits.report.sheets import sheet

DIGITS = [str(digit) for digit in range(CLASSES)]
EPOCHS = 12  # columns of the sheet over epochs
BY_DIGIT = {"judged_by_digit": "read as its digit", "spread_by_digit": "spread"}


def blocks(runs: dict[str, Run], apart: bool) -> Iterator[Block]:
    """What each run drew at the end and on the way, and its figures by digit."""
    if any(run.further or run.samples for run in runs.values()):
        yield Heading("Drawn digits")
    for name, run in runs.items():
        if left := run.further.get("sheet.npz"):
            yield from _sheets(name, run, left)
        if run.samples:
            yield _over_epochs(name, run)
    by_digit = {name: run.result["metrics"]["test"] for name, run in runs.items()}
    yield from _by_digit(by_digit)


def _sheets(name: str, run: Run, left: dict[str, np.ndarray]) -> Iterator[Picture]:
    slug = words.slug(name)
    caption = f"Row d is digit d; a column is one noise for all digits. {words.brief(run)}"
    figure = partial(sheet, left["image"], (), DIGITS)
    yield Picture(f"drawn_{slug}", figure, f"{name}: drawn digits", caption, 620)
    caption = (
        "The training picture nearest to each drawn one, pixel by pixel: a generator that only "
        f"repeats would draw this sheet. {words.brief(run)}"
    )
    figure = partial(sheet, left["nearest"], (), DIGITS)
    yield Picture(f"nearest_{slug}", figure, f"{name}: nearest training pictures", caption, 620)


def _over_epochs(name: str, run: Run) -> Picture:
    epochs = list(run.samples)
    places = np.unique(np.linspace(0, len(epochs) - 1, EPOCHS).round().astype(int))
    chosen = [epochs[place] for place in places]
    image = np.stack([run.samples[epoch][:, 0] for epoch in chosen], 1)
    caption = f"Row d is digit d from the same noise, a column per epoch. {words.brief(run)}"
    figure = partial(sheet, image, [str(epoch) for epoch in chosen], DIGITS)
    slug = words.slug(name)
    return Picture(f"epochs_{slug}", figure, f"{name}: drawn digits over epochs", caption, 720)


def _by_digit(figures: dict[str, dict]) -> Iterator[Block]:
    header = ["run", "figure", *DIGITS]
    rows = []
    for name, test in figures.items():
        for field, told in BY_DIGIT.items():
            if field in test:
                rows.append([name, told, *(f"{value:.2f}" for value in test[field])])
    if not rows:
        return
    yield Grid(header, rows, range(2, 2 + CLASSES))
    yield Note(
        "A picture is drawn for each test picture's label. The judge, a classifier of real "
        "pictures, reads them: `judged` is the share that it reads as their label. Its 128 "
        "features give the rest. `fid` is the Fréchet distance between drawn and real ones (by "
        "this judge, not by Inception: compare it only here, at equal n). `precision` is the share "
        "of drawn pictures among the real ones, `recall` the share of real pictures among the "
        "drawn ones (three neighbours, Kynkäänniemi et al. 2019). `spread` is the variance of "
        "drawn pictures of a digit over that of real ones: 1 is as various, 0 is always the same."
    )
