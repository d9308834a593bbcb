"""Pictures of the data and of single runs: arrays in, matplotlib figure out."""

import types
from collections.abc import Callable, Mapping

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from fdigits.data.corpus import CLASSES
from fdigits.data.features import HIGHEST, QUIETEST
from fdigits.report.page import Undrawable
from fdigits.report.style import INK, PALE, RIGHT, RUNS, STYLE, WRONG, first_of_each


def _plain(axes) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)


@matplotlib.rc_context(STYLE)
def pictures(image_NxHxW: np.ndarray, label_N: np.ndarray, rows: int = 4) -> Figure:
    """The first test images of each class, a column per class (R0 Figure 2)."""
    figure = Figure(figsize=(7.2, 0.72 * rows + 0.35))
    grid = figure.subplots(rows, CLASSES, squeeze=False)
    for digit, chosen in enumerate(first_of_each(label_N, rows)):
        grid[0, digit].set_title(str(digit))
        for row in range(rows):
            _plain(grid[row, digit])
            if row < len(chosen):
                grid[row, digit].imshow(image_NxHxW[chosen[row]], cmap="gray_r", vmin=0, vmax=255)
    return figure


@matplotlib.rc_context(STYLE)
def augmentations(names: list[str], image_KxHxW: np.ndarray) -> Figure:
    """A picture and what augmentations make of it (R4 Figure 5)."""
    rows = -(-len(names) // 3)
    figure = Figure(figsize=(4.2, 1.45 * rows))
    grid = figure.subplots(rows, 3, squeeze=False)
    for axes in grid.flat:
        _plain(axes)
        axes.spines[:].set(visible=True, color=PALE)
    for axes, name, image in zip(grid.flat, names, image_KxHxW, strict=False):
        axes.imshow(image, cmap="gray_r", vmin=0, vmax=255)
        axes.set_title(name.replace("_", " "))
    return figure


def standardised(audio_NxTxC: np.ndarray) -> np.ndarray:
    """MFCC with mean 0 and deviation 1 of each coefficient over all N."""
    audio_NxTxC = audio_NxTxC.astype(np.float32)
    deviation = audio_NxTxC.std(axis=(0, 1))
    return (audio_NxTxC - audio_NxTxC.mean(axis=(0, 1))) / np.where(deviation, deviation, 1)


@matplotlib.rc_context(STYLE)
def recordings(audio_NxTxC: np.ndarray, label_N: np.ndarray) -> Figure:
    """One recording's MFCC of each class, standardised per coefficient over all N (R0 Figure 3)."""
    return _mfcc(standardised(audio_NxTxC), label_N)


@matplotlib.rc_context(STYLE)
def frames(frames_NxTxC: np.ndarray, label_N: np.ndarray) -> Figure:
    """As `recordings`, of recordings of their own length: the last column is 1 for sound."""
    sound_NxTx1 = frames_NxTxC[..., -1:] > 0
    audio_NxTxC = np.where(sound_NxTx1, frames_NxTxC[..., :-1].astype(np.float32), np.nan)
    deviation_C = np.nanstd(audio_NxTxC, axis=(0, 1))
    mean_C = np.nanmean(audio_NxTxC, axis=(0, 1))
    standard_NxTxC = (audio_NxTxC - mean_C) / np.where(deviation_C, deviation_C, 1)
    one = [chosen[0] for chosen in first_of_each(label_N, 1) if chosen]
    longest = int(sound_NxTx1[one].sum(axis=1).max())
    return _mfcc(standard_NxTxC[one, :longest], label_N[one])


def _mfcc(standard_NxTxC: np.ndarray, label_N: np.ndarray) -> Figure:
    standard_NxCxT = standard_NxTxC.swapaxes(1, 2)
    style = dict(cmap="RdBu_r", vmin=-3, vmax=3, origin="lower", interpolation="nearest")
    figure, grid = _one_of_each(
        standard_NxCxT, label_N, style, "standard deviations from the mean", height=3.1
    )
    for axes in grid.flat:
        axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        axes.set_yticks(range(0, standard_NxTxC.shape[2], 4))
    figure.supxlabel("frame", fontsize=9)
    figure.supylabel("MFCC coefficient", fontsize=9)
    return figure


def _one_of_each(
    item_NxHxW: np.ndarray, label_N: np.ndarray, style: dict, meaning: str, height: float
) -> tuple[Figure, np.ndarray]:
    """The first item of each class as a heat map, one colour bar; the figure and its axes."""
    figure = Figure(figsize=(7.2, height))
    grid = figure.subplots(2, CLASSES // 2, sharex=True, sharey=True)
    heat = None
    for digit, chosen in enumerate(first_of_each(label_N, 1)):
        axes = grid.flat[digit]
        axes.set_title(str(digit))
        axes.spines[:].set_visible(False)
        if chosen:
            heat = axes.imshow(item_NxHxW[chosen[0]], aspect="auto", **style)
    if heat is not None:
        bar = figure.colorbar(heat, ax=grid, shrink=0.85, pad=0.015, aspect=28)
        bar.set_label(meaning)
        bar.outline.set_visible(False)
    return figure, grid


def mel(hertz: float) -> float:
    """Slaney's Mel scale, librosa's default: linear below 1 kHz, logarithmic above."""
    return hertz * 0.015 if hertz < 1000 else 15 + 27 * np.log(hertz / 1000) / np.log(6.4)


def frequency_axes(axes) -> None:
    """Ticks in kHz and seconds for a spectrogram drawn with the extent `SECOND`."""
    axes.set_yticks([mel(hertz) for hertz in KILOHERTZ.values()], KILOHERTZ.keys())
    axes.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])


SECOND = (0, 1, 0, mel(HIGHEST))  # left, right, bottom, top of a spectrogram: seconds and Mel
KILOHERTZ = {"0": 0, "0.5": 500, "1": 1000, "2": 2000, "4": 4000}


@matplotlib.rc_context(STYLE)
def spectrograms(spectrogram_NxHxW: np.ndarray, label_N: np.ndarray) -> Figure:
    """One recording's spectrogram of each class, 0 to 255 as -55 to 0 dB."""
    one = [chosen[0] for chosen in first_of_each(label_N, 1) if chosen]
    decibels_KxHxW = QUIETEST * (1 - spectrogram_NxHxW[one] / 255)
    style = dict(cmap="magma", vmin=QUIETEST, vmax=0, extent=SECOND)
    figure, grid = _one_of_each(decibels_KxHxW, label_N[one], style, "dB", height=3.4)
    for axes in grid.flat:
        frequency_axes(axes)
    figure.supxlabel("seconds", fontsize=9)
    figure.supylabel("kHz", fontsize=9)
    return figure


PARTS = {  # of the learning curves, and how their lines look
    "validation": {"linestyle": "-", "linewidth": 1.6},
    "train": {"linestyle": "--", "linewidth": 0.9},
}
History = list[dict]  # a row an epoch
NONE = types.MappingProxyType({})


def scalars(histories: dict[str, History]) -> list[str]:
    """The figures that some run has in every epoch, of train and of validation alike."""
    found: dict[str, None] = {}
    for rows in histories.values():
        parts = [row[part] for row in rows for part in PARTS]
        found |= dict.fromkeys(name for name in rows[0]["train"] if all(name in p for p in parts))
    return list(found)


def pooled(histories: list[History]) -> tuple[History, History, History]:
    """Mean, lowest and highest of each figure over several runs, as far as all of them go."""
    each = [scalars({"": rows}) for rows in histories]
    names = [name for name in each[0] if all(name in some for some in each)]
    epochs = list(zip(*histories, strict=False))

    def over(fold: Callable) -> History:
        return [
            {"epoch": rows[0]["epoch"]}
            | {part: {name: float(fold([row[part][name] for row in rows])) for name in names}
               for part in PARTS}
            for rows in epochs
        ]  # fmt: skip

    return over(np.mean), over(min), over(max)


@matplotlib.rc_context(STYLE)
def curves(
    histories: dict[str, History],
    loss: str = "",
    bands: Mapping[str, tuple[History, History]] = NONE,
) -> Figure:
    """A panel for each of `scalars` over epochs: train (dashed), validation (solid), by run.

    Loss and accuracy are on logarithmic axes, accuracy by its distance from 1: 99% and 99.9% stay
    apart. Other axes are logarithmic where all their values are positive.

    Args:
      histories: run's name -> its epochs.
      loss: what the loss is, "cross-entropy".
      bands: name -> the lowest and the highest values of several runs, whose mean its epochs are.

    Raises:
      Undrawable: there is no such scalar.
    """
    names = scalars(histories)
    if not names:
        raise Undrawable("no figure is there of every epoch, of train and of validation")
    rows, columns = -(-len(names) // 2), min(2, len(names))
    figure = Figure(figsize=(7.2, 3.2 * rows))
    panels = figure.subplots(rows, columns, squeeze=False)
    for axes in panels.flat[len(names) :]:
        axes.set_axis_off()
    for axes, name in zip(panels.flat, names, strict=False):
        _panel(axes, histories, name, loss, bands)
    styles = [{"color": _colour(number)} | _style("validation", run)
              for number, run in enumerate(histories.values())]  # fmt: skip
    labels = [Line2D([], [], label=name, **style)
              for name, style in zip(histories, styles, strict=True)]  # fmt: skip
    columns = min(3, max(1, 95 // max(map(len, histories))))
    figure.legend(handles=labels, loc="outside lower center", ncols=columns)
    parts = [Line2D([], [], color=INK, label=part, **style) for part, style in PARTS.items()]
    panels.flat[0].legend(handles=parts, loc="upper right")
    return figure


def _colour(number: int) -> str:
    return RUNS[number % len(RUNS)]


def _style(part: str, rows: History) -> dict:
    return PARTS[part] | {"marker": "o" if len(rows) == 1 else None}


def _panel(
    axes,
    histories: dict[str, History],
    name: str,
    loss: str,
    bands: Mapping[str, tuple[History, History]],
) -> None:
    """The lines of one figure, of the runs that have it."""
    values = [row[part].get(name) for rows in histories.values() for row in rows for part in PARTS]
    show = {"loss": _as_loss, "accuracy": _as_accuracy}.get(name, _as_it_is)
    change = show(axes, [value for value in values if value is not None])
    for number, (run, rows) in enumerate(histories.items()):
        if name not in scalars({"": rows}):
            continue
        epochs = [row["epoch"] for row in rows]
        for part in ("train", "validation"):
            line = [change(row[part][name]) for row in rows]
            axes.plot(epochs, line, color=_colour(number), **_style(part, rows))
        for edges in [bands[run]] if run in bands else ():
            ends = [[change(row["validation"][name]) for row in edge] for edge in edges]
            axes.fill_between(epochs, *ends, color=_colour(number), alpha=0.18, linewidth=0)
    axes.set_ylabel(f"loss ({loss})" if name == "loss" and loss else name.replace("_", " "))
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.grid(color=PALE, linewidth=0.5)


def _as_it_is(axes, values: list[float]) -> Callable[[float], float]:
    if all(value > 0 for value in values):
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    return float


def _as_loss(axes, values: list[float]) -> Callable[[float], float]:
    """Logarithmic, with 0 as 1e-6, but where some loss is below 0."""
    if any(value < 0 for value in values):
        return float
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    return lambda value: max(value, 1e-6)


def _as_accuracy(axes, values: list[float]) -> Callable[[float], float]:
    """By the distance from 1, logarithmic and upside down; 1 itself as half the least distance."""
    errors = [1 - value for value in values]
    floor = min((error for error in errors if error > 1e-9), default=1e-3) / 2
    steps = [step * 10.0**power for power in range(-5, 0) for step in (1, 2, 5)]
    ticks = [error for error in (*steps, 0.9) if floor <= error <= max(errors) * 1.3]
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(FixedLocator(ticks))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda e, _: f"{100 * (1 - e):.4g}%"))
    axes.invert_yaxis()
    return lambda value: max(1 - value, floor)


def confusion_counts(label_N: np.ndarray, predicted_N: np.ndarray) -> np.ndarray:
    """Counts `[V, V]` of V classes, a row per true class."""
    counts = np.zeros((CLASSES, CLASSES), int)
    np.add.at(counts, (label_N, predicted_N), 1)
    return counts


@matplotlib.rc_context(STYLE)
def confusion(counts_VxV: np.ndarray) -> Figure:
    """A confusion matrix (a row per true class) with the recall of each class."""
    figure = Figure(figsize=(5.2, 4.5))
    axes = figure.subplots()
    total_V, classes = counts_VxV.sum(axis=1), len(counts_VxV)
    same_VxV = np.eye(classes, dtype=bool)
    errors = np.where(same_VxV, 0, counts_VxV / np.maximum(total_V, 1)[:, None])
    shade = np.ma.masked_equal(errors, 0)
    darkest = max(errors.max(), 0.01)
    axes.imshow(shade, cmap="Oranges", vmin=0, vmax=darkest)
    for true, predicted in np.ndindex(classes, classes):
        if true == predicted:
            axes.add_patch(matplotlib.patches.Rectangle(
                (predicted - 0.5, true - 0.5), 1, 1, color="#DCE9F3", linewidth=0))  # fmt: skip
        count = counts_VxV[true, predicted]
        if count:
            dark = true != predicted and errors[true, predicted] > 0.6 * darkest
            axes.text(
                predicted, true, str(count), ha="center", va="center", fontsize=8,
                color="white" if dark else INK, weight="bold" if true == predicted else "normal",
            )  # fmt: skip
    for true, total in enumerate(total_V):
        recall = f"{100 * counts_VxV[true, true] / total:.2f}%" if total else "–"
        axes.text(classes - 0.25, true, recall, ha="left", va="center", fontsize=8)
    axes.text(classes - 0.25, -0.72, "recall", ha="left", va="bottom", fontsize=8, style="italic")
    axes.set_xticks(range(classes))
    axes.set_yticks(range(classes))
    axes.tick_params(length=0)
    axes.set_xticks(np.arange(-0.5, classes), minor=True)
    axes.set_yticks(np.arange(-0.5, classes), minor=True)
    axes.grid(which="minor", color="#EEEEEE", linewidth=0.6)
    axes.tick_params(which="minor", length=0)
    axes.spines[:].set_visible(False)
    axes.set_xlabel("predicted digit")
    axes.set_ylabel("true digit")
    return figure


@matplotlib.rc_context(STYLE | {"figure.constrained_layout.use": False})
def errors(
    image_NxHxW: np.ndarray, label_N: np.ndarray, predicted: dict[str, np.ndarray]
) -> Figure:
    """Images with each model's prediction, right or wrong by colour and sign (R0 Figure 4).

    Args:
      image_NxHxW: the images to show, uint8.
      label_N: their true digits.
      predicted: model's name -> predictions `[N]`, drawn in this order.
    """
    title, side, line, letter = 0.2, 0.85, 0.135, 0.052  # inches
    tile_width = max(1.2, letter * (max(map(len, predicted)) + 4) + 0.1)
    tile_height = title + side + line * len(predicted) + 0.15
    columns = min(max(1, int(7.3 / tile_width)), len(label_N))
    rows = -(-len(label_N) // columns)
    width, height = tile_width * columns, tile_height * rows
    figure = Figure(figsize=(width, height))
    for item, (image, label) in enumerate(zip(image_NxHxW, label_N, strict=True)):
        left = tile_width * (item % columns)
        top = height - tile_height * (item // columns)
        middle = (left + tile_width / 2) / width
        x, y = left + (tile_width - side) / 2, top - title - side
        axes = figure.add_axes((x / width, y / height, side / width, side / height))
        axes.imshow(image, cmap="gray_r", vmin=0, vmax=255)
        axes.set_xticks([])
        axes.set_yticks([])
        axes.spines[:].set_visible(True)
        axes.spines[:].set_color(PALE)
        heading = (middle, (top - title + 0.04) / height)
        figure.text(*heading, f"true {label}", ha="center", fontsize=8)
        for row, (name, predicted_N) in enumerate(predicted.items()):
            right = predicted_N[item] == label
            figure.text(
                middle,
                (y - 0.06 - line * row) / height,
                f"{name}  {predicted_N[item]} {'✓' if right else '✗'}",
                ha="center",
                va="top",
                fontsize=6,
                color=RIGHT if right else WRONG,
            )
    return figure
