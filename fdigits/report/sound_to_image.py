"""The page of what is drawn of sounds: sheets of pictures, and how far apart they are (R2)."""

from collections.abc import Iterator
from functools import partial

import numpy as np

from fdigits.data.corpus import CLASSES
from fdigits.report import classify, words
from fdigits.report.artifacts import Run
from fdigits.report.page import Block, Grid, Heading, Note, Picture
from fdigits.report.sheets import sheet
from fdigits.report.style import first_of_each

ROWS = 6  # recordings of each digit on a sheet


def blocks(runs: dict[str, Run], apart: bool) -> Iterator[Block]:
    """What was drawn, run by run, and which digits the judge read."""
    yield Heading("Drawn digits")
    for name, run in runs.items():
        yield _drawn(name, run)
        if left := run.further.get("draws.npz"):
            yield _draws(name, run, left)
        left = run.further.get("walk.npz")
        if left and len(left["between"]):
            yield _walks(name, run, left)
    told = {name: run.further["apart.npz"] for name, run in runs.items()
            if "apart.npz" in run.further}  # fmt: skip
    if told:
        yield from _distances(told)
    yield from classify.confusions(runs)


def _drawn(name: str, run: Run) -> Picture:
    """Of the first recordings of each digit, a column per digit."""
    keys = next(reversed(run.sources().values()), np.arange(len(run.id_N)))
    one_each = np.sort(np.unique(keys, return_index=True)[1])
    image, chosen = run.outputs["picture"], first_of_each(run.label_N[one_each], ROWS)
    whole = np.zeros((ROWS, CLASSES, *image.shape[1:]), image.dtype)
    wrong = np.zeros((ROWS, CLASSES), bool)
    for digit, places in enumerate(chosen):
        rows = one_each[places]
        whole[: len(rows), digit] = image[rows]
        wrong[: len(rows), digit] = ~run.correct_N[rows]
    judge = "the tuned judge" if "untouched" in run.outputs else "the judge"
    caption = (
        f"From test recordings, a column per digit; framed where {judge} reads another. "
        f"{words.brief(run)}"
    )
    figure = partial(sheet, whole, [str(digit) for digit in range(CLASSES)], (), wrong)
    return Picture(f"drawn_{words.slug(name)}", figure, f"{name}: drawn digits", caption, 720)


def _draws(name: str, run: Run, left: dict[str, np.ndarray]) -> Picture:
    noise = "styles" if "heard" in run.outputs else "points of the sound's Gaussian"
    caption = (
        f"A row per test recording, drawn with {left['image'].shape[1]} {noise}, each used once. "
        f"{words.brief(run)}"
    )
    figure = partial(sheet, left["image"], (), left["digit"].astype(str).tolist())
    title = f"{name}: several drawings of one recording"
    return Picture(f"draws_{words.slug(name)}", figure, title, caption, 560)


def _walks(name: str, run: Run, left: dict[str, np.ndarray]) -> Picture:
    ends = [f"{one} to {other}" for one, other in left["between"]]
    caption = (
        "From one test recording to another in even steps of what the sound tells the decoder"
        f"{'; the style stays' if 'heard' in run.outputs else ''}. {words.brief(run)}"
    )
    figure = partial(sheet, left["image"], (), ends)
    title = f"{name}: walks between two recordings"
    return Picture(f"walk_{words.slug(name)}", figure, title, caption, 620)


def _distances(told: dict[str, dict[str, np.ndarray]]) -> Iterator[Block]:
    """A table: the drawn pictures of each run, then true ones."""
    rows = [[f"drawn by {name}", *_cells(left, "drawn")] for name, left in told.items()]
    rows.append(["true pictures", *_cells(next(iter(told.values())), "true")])
    header = ["pictures of a digit", "apart by pixels", "apart by the judge's features"]
    yield Grid(header, rows, range(1, 3))
    yield Note(
        "How far apart two pictures of one digit are: the root of the mean squared distance over "
        "at most 100 pictures of each, mean over digits; ink is 1. The judge's features are the "
        "128 numbers behind its first dense layer."
    )


def _cells(left: dict[str, np.ndarray], kind: str) -> list[str]:
    return [f"{left[name].mean():.2f}" for name in (kind, f"{kind}_judged")]
