"""The page of what is drawn of sounds: sheets of pictures, and how far apart they are (R2)."""

from collections.abc import Iterator, Sequence

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from fdigits.data.corpus import CLASSES
from fdigits.report import classify, words
from fdigits.report.artifacts import Run
from fdigits.report.page import Block, Grid, Heading, Note, Picture
from fdigits.report.style import STYLE, WRONG, first_of_each, png

ROWS = 6  # recordings of each digit on a sheet
GAP = 2  # pixels between pictures


def tiled(image_RxCxHxW: np.ndarray) -> np.ndarray:
    """One picture of R rows and C columns, with gaps of paper (0) on all sides."""
    around = ((0, 0), (0, 0), (GAP, 0), (GAP, 0))
    rows, columns, high, wide = (spaced := np.pad(image_RxCxHxW, around)).shape
    whole = spaced.swapaxes(1, 2).reshape(rows * high, columns * wide)
    return np.pad(whole, (0, GAP))


@matplotlib.rc_context(STYLE)
def sheet(
    image_RxCxHxW: np.ndarray,
    top: Sequence[str],
    left: Sequence[str] = (),
    wrong_RxC: np.ndarray | None = None,
) -> Figure:
    """Pictures in rows and columns with words beside them; the `wrong` ones have a frame."""
    rows, columns, high, wide = image_RxCxHxW.shape
    figure = Figure(figsize=(0.68 * columns + 0.4, 0.68 * rows + 0.3))
    axes = figure.subplots()
    axes.imshow(tiled(image_RxCxHxW), cmap="gray_r", vmin=0, vmax=255, interpolation="nearest")
    middle = [GAP + (wide + GAP) * np.arange(columns) + wide / 2,
              GAP + (high + GAP) * np.arange(rows) + high / 2]  # fmt: skip
    axes.xaxis.tick_top()
    axes.set_xticks(middle[0] if top else [], top)
    axes.set_yticks(middle[1] if left else [], left)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    for row, column in np.argwhere(wrong_RxC) if wrong_RxC is not None else ():
        corner = (column * (wide + GAP) + 0.5, row * (high + GAP) + 0.5)
        frame = dict(fill=False, edgecolor=WRONG, linewidth=1.6)
        axes.add_patch(Rectangle(corner, wide + GAP, high + GAP, **frame))
    return figure


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
        f"Pictures drawn of test recordings, a column per spoken digit, each of another recording; "
        f"framed where {judge} reads another digit. {words.setting(run)}"
    )
    figure = png(sheet(whole, [str(digit) for digit in range(CLASSES)], (), wrong))
    return Picture(f"drawn_{words.slug(name)}", figure, f"{name}: drawn digits", caption, 720)


def _draws(name: str, run: Run, left: dict[str, np.ndarray]) -> Picture:
    noise = "styles" if "heard" in run.outputs else "points of the sound's Gaussian"
    caption = (
        f"Each row is one test recording of a digit, drawn with {left['image'].shape[1]} {noise}, "
        f"the same in no two pictures. {words.setting(run)}"
    )
    figure = png(sheet(left["image"], (), left["digit"].astype(str).tolist()))
    title = f"{name}: several drawings of one recording"
    return Picture(f"draws_{words.slug(name)}", figure, title, caption, 560)


def _walks(name: str, run: Run, left: dict[str, np.ndarray]) -> Picture:
    ends = [f"{one} to {other}" for one, other in left["between"]]
    caption = (
        "From one test recording to another in even steps of what the sound tells the decoder"
        f"{'; the style stays' if 'heard' in run.outputs else ''}. {words.setting(run)}"
    )
    figure = png(sheet(left["image"], (), ends))
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
