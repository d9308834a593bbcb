"""Pictures of the data and of single runs: arrays in, matplotlib figure out."""

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from fdigits.data.features import HIGHEST, QUIETEST
from fdigits.report.style import INK, PALE, RIGHT, RUNS, STYLE, WRONG, first_of_each


def _plain(axes) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)


@matplotlib.rc_context(STYLE)
def pictures(image_nx28x28: np.ndarray, label_n: np.ndarray, rows: int = 4) -> Figure:
    """The first test images of each class, a column per class (R0 Figure 2)."""
    figure = Figure(figsize=(7.2, 0.72 * rows + 0.35))
    grid = figure.subplots(rows, 10, squeeze=False)
    for digit, chosen in enumerate(first_of_each(label_n, rows)):
        grid[0, digit].set_title(str(digit))
        for row in range(rows):
            _plain(grid[row, digit])
            if row < len(chosen):
                grid[row, digit].imshow(image_nx28x28[chosen[row]], cmap="gray_r", vmin=0, vmax=255)
    return figure


@matplotlib.rc_context(STYLE)
def augmentations(names: list[str], image_kx28x28: np.ndarray) -> Figure:
    """A picture and what augmentations make of it (R4 Figure 5)."""
    rows = -(-len(names) // 3)
    figure = Figure(figsize=(4.2, 1.45 * rows))
    grid = figure.subplots(rows, 3, squeeze=False)
    for axes in grid.flat:
        _plain(axes)
        axes.spines[:].set(visible=True, color=PALE)
    for axes, name, image in zip(grid.flat, names, image_kx28x28, strict=False):
        axes.imshow(image, cmap="gray_r", vmin=0, vmax=255)
        axes.set_title(name.replace("_", " "))
    return figure


def standardised(audio_nxtxc: np.ndarray) -> np.ndarray:
    """MFCC with mean 0 and deviation 1 of each coefficient over all n."""
    audio_nxtxc = audio_nxtxc.astype(np.float32)
    deviation = audio_nxtxc.std(axis=(0, 1))
    return (audio_nxtxc - audio_nxtxc.mean(axis=(0, 1))) / np.where(deviation, deviation, 1)


@matplotlib.rc_context(STYLE)
def recordings(audio_nxtxc: np.ndarray, label_n: np.ndarray) -> Figure:
    """One recording's MFCC of each class, standardised per coefficient over all n (R0 Figure 3)."""
    standard_nxcxt = standardised(audio_nxtxc).swapaxes(1, 2)
    style = dict(cmap="RdBu_r", vmin=-3, vmax=3, origin="lower", interpolation="nearest")
    figure, grid = _one_of_each(
        standard_nxcxt, label_n, style, "standard deviations from the mean", height=3.1
    )
    for axes in grid.flat:
        axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        axes.set_yticks(range(0, audio_nxtxc.shape[2], 4))
    figure.supxlabel("frame", fontsize=9)
    figure.supylabel("MFCC coefficient", fontsize=9)
    return figure


def _one_of_each(
    item_nxhxw: np.ndarray, label_n: np.ndarray, style: dict, meaning: str, height: float
) -> tuple[Figure, np.ndarray]:
    """The first item of each class as a heat map, one colour bar; the figure and its axes."""
    figure = Figure(figsize=(7.2, height))
    grid = figure.subplots(2, 5, sharex=True, sharey=True)
    heat = None
    for digit, chosen in enumerate(first_of_each(label_n, 1)):
        axes = grid.flat[digit]
        axes.set_title(str(digit))
        axes.spines[:].set_visible(False)
        if chosen:
            heat = axes.imshow(item_nxhxw[chosen[0]], aspect="auto", **style)
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
def spectrograms(spectrogram_nxhxw: np.ndarray, label_n: np.ndarray) -> Figure:
    """One recording's spectrogram of each class, 0 to 255 as -55 to 0 dB."""
    one = [chosen[0] for chosen in first_of_each(label_n, 1) if chosen]
    decibels_kxhxw = QUIETEST * (1 - spectrogram_nxhxw[one] / 255)
    style = dict(cmap="magma", vmin=QUIETEST, vmax=0, extent=SECOND)
    figure, grid = _one_of_each(decibels_kxhxw, label_n[one], style, "dB", height=3.4)
    for axes in grid.flat:
        frequency_axes(axes)
    figure.supxlabel("seconds", fontsize=9)
    figure.supylabel("kHz", fontsize=9)
    return figure


@matplotlib.rc_context(STYLE)
def curves(histories: dict[str, list[dict]], loss: str = "cross-entropy") -> Figure:
    """Loss and accuracy of train (dashed) and validation (solid) over epochs, for named runs.

    Both axes are logarithmic, accuracy by its distance from 1: 99% and 99.9% stay apart.
    """
    figure = Figure(figsize=(7.2, 3.2))
    loss_axes, accuracy_axes = figure.subplots(1, 2)
    errors = [1 - row[part]["accuracy"] for rows in histories.values() for row in rows
              for part in ("train", "validation")]  # fmt: skip
    floor = min((error for error in errors if error > 1e-9), default=1e-3) / 2
    for number, (name, rows) in enumerate(histories.items()):
        colour = RUNS[number % len(RUNS)]
        epochs = [row["epoch"] for row in rows]
        mark = "o" if len(rows) == 1 else None
        for part, line in (("train", "--"), ("validation", "-")):
            style = {"color": colour, "linestyle": line, "marker": mark}
            style |= (
                {"linewidth": 1.6, "label": name} if part == "validation" else {"linewidth": 0.9}
            )
            loss_axes.plot(epochs, [max(row[part]["loss"], 1e-6) for row in rows], **style)
            shown = [max(1 - row[part]["accuracy"], floor) for row in rows]
            accuracy_axes.plot(epochs, shown, **style)
    steps = [step * 10.0**power for power in range(-5, 0) for step in (1, 2, 5)]
    ticks = [error for error in (*steps, 0.9) if floor <= error <= max(errors) * 1.3]
    loss_axes.set_yscale("log")
    loss_axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    loss_axes.set_ylabel(f"loss ({loss})")
    accuracy_axes.set_yscale("log")
    accuracy_axes.yaxis.set_major_locator(FixedLocator(ticks))
    accuracy_axes.yaxis.set_minor_locator(NullLocator())
    accuracy_axes.yaxis.set_major_formatter(FuncFormatter(lambda e, _: f"{100 * (1 - e):.4g}%"))
    accuracy_axes.invert_yaxis()
    accuracy_axes.set_ylabel("accuracy")
    for axes in (loss_axes, accuracy_axes):
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        axes.grid(color=PALE, linewidth=0.5)
    names = accuracy_axes.get_legend_handles_labels()[0]
    columns = min(3, max(1, 95 // max(map(len, histories))))
    figure.legend(handles=names, loc="outside lower center", ncols=columns)
    validation = Line2D([], [], color=INK, linewidth=1.6, label="validation")
    train = Line2D([], [], color=INK, linewidth=0.9, linestyle="--", label="train")
    loss_axes.legend(handles=[validation, train], loc="upper right")
    return figure


def confusion_counts(label_n: np.ndarray, predicted_n: np.ndarray) -> np.ndarray:
    """Counts [10,10], a row per true class."""
    counts = np.zeros((10, 10), int)
    np.add.at(counts, (label_n, predicted_n), 1)
    return counts


@matplotlib.rc_context(STYLE)
def confusion(counts: np.ndarray) -> Figure:
    """A confusion matrix [10,10] (a row per true class) with the recall of each class."""
    figure = Figure(figsize=(5.2, 4.5))
    axes = figure.subplots()
    total = counts.sum(axis=1)
    errors = np.where(np.eye(10, dtype=bool), 0, counts / np.maximum(total, 1)[:, None])
    shade = np.ma.masked_equal(errors, 0)
    darkest = max(errors.max(), 0.01)
    axes.imshow(shade, cmap="Oranges", vmin=0, vmax=darkest)
    for true, predicted in np.ndindex(10, 10):
        if true == predicted:
            axes.add_patch(matplotlib.patches.Rectangle(
                (predicted - 0.5, true - 0.5), 1, 1, color="#DCE9F3", linewidth=0))  # fmt: skip
        count = counts[true, predicted]
        if count:
            dark = true != predicted and errors[true, predicted] > 0.6 * darkest
            axes.text(
                predicted, true, str(count), ha="center", va="center", fontsize=8,
                color="white" if dark else INK, weight="bold" if true == predicted else "normal",
            )  # fmt: skip
    for true in range(10):
        recall = f"{100 * counts[true, true] / total[true]:.2f}%" if total[true] else "–"
        axes.text(9.75, true, recall, ha="left", va="center", fontsize=8)
    axes.text(9.75, -0.72, "recall", ha="left", va="bottom", fontsize=8, style="italic")
    axes.set_xticks(range(10))
    axes.set_yticks(range(10))
    axes.tick_params(length=0)
    axes.set_xticks(np.arange(-0.5, 10), minor=True)
    axes.set_yticks(np.arange(-0.5, 10), minor=True)
    axes.grid(which="minor", color="#EEEEEE", linewidth=0.6)
    axes.tick_params(which="minor", length=0)
    axes.spines[:].set_visible(False)
    axes.set_xlabel("predicted digit")
    axes.set_ylabel("true digit")
    return figure


@matplotlib.rc_context(STYLE | {"figure.constrained_layout.use": False})
def errors(
    image_nx28x28: np.ndarray, label_n: np.ndarray, predicted: dict[str, np.ndarray]
) -> Figure:
    """Images with each model's prediction, right or wrong by colour and sign (R0 Figure 4).

    Args:
        image_nx28x28: the n images to show (uint8).
        label_n: their true digits.
        predicted: model's name -> predictions [n], drawn in this order.
    """
    title, side, line, letter = 0.2, 0.85, 0.135, 0.052  # inches
    tile_width = max(1.2, letter * (max(map(len, predicted)) + 4) + 0.1)
    tile_height = title + side + line * len(predicted) + 0.15
    columns = min(max(1, int(7.3 / tile_width)), len(label_n))
    rows = -(-len(label_n) // columns)
    width, height = tile_width * columns, tile_height * rows
    figure = Figure(figsize=(width, height))
    for item, (image, label) in enumerate(zip(image_nx28x28, label_n, strict=True)):
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
        for row, (name, predicted_n) in enumerate(predicted.items()):
            right = predicted_n[item] == label
            figure.text(
                middle,
                (y - 0.06 - line * row) / height,
                f"{name}  {predicted_n[item]} {'✓' if right else '✗'}",
                ha="center",
                va="top",
                fontsize=6,
                color=RIGHT if right else WRONG,
            )
    return figure
