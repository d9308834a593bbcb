"""Where a model looks: Grad-CAM and attention maps over the inputs, and weights of channels."""

from collections.abc import Iterator
from functools import partial

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.ticker import MaxNLocator

from fdigits.models.places import folded, span
from fdigits.report import words
from fdigits.report.artifacts import Run
from fdigits.report.figures import SECOND, frequency_axes, standardised
from fdigits.report.page import Block, Heading, Note, Picture, Undrawable
from fdigits.report.style import INK, PALE, STYLE, WRONG, first_of_each

COLOURS = matplotlib.colormaps["viridis"].resampled(32)  # few colours: small files
GREY = matplotlib.colormaps["gray_r"].resampled(32)
COLUMNS = {"image": 10, "audio": 5, "spectrogram": 5}
TALL = {"image": 0.66, "audio": 0.85, "spectrogram": 1.2}  # inches a row
GREYS = {"image": (0, 255), "audio": (-3, 3), "spectrogram": (0, 220)}  # of the input
SHOWN = {  # by what a model reads, where the map is
    "image": "Below each picture, under its outline",
    "audio": "Below each MFCC (red: above the mean)",
    "spectrogram": "Below each spectrogram, under an outline at -31 dB",
}


def received(attention_KxHxTxT: np.ndarray) -> np.ndarray:
    """What each place of a square map receives, in even shares: `[K, √T, √T]`, mean 1.

    The mean over heads and attending places; where all attend to all alike, it is 1 everywhere.
    """
    places = attention_KxHxTxT.shape[-1]
    share_KxT = attention_KxHxTxT.mean((1, 2)) * places
    side = round(places**0.5)
    return share_KxT.reshape(-1, side, side)


def place(
    axes, map_HxW: np.ndarray, size: tuple[int, int], modality: str, **style: object
) -> AxesImage:
    """Draws a map, or the input itself, where it lies on an input of `size`."""
    (top, bottom), (left, right) = (span(*sizes) for sizes in zip(size, map_HxW.shape, strict=True))
    if modality == "audio":  # frames to the right, coefficients upwards
        extent = (top, bottom, left, right)
        return axes.imshow(map_HxW.T, extent=extent, origin="lower", aspect="auto", **style)
    if modality == "spectrogram":
        (height, width), (_, second, _, highest) = size, SECOND
        left, right = (second * edge / width for edge in (left, right))
        top, bottom = (highest * (1 - edge / height) for edge in (top, bottom))
        return axes.imshow(map_HxW, extent=(left, right, bottom, top), aspect="auto", **style)
    return axes.imshow(map_HxW, extent=(left, right, bottom, top), **style)


@matplotlib.rc_context(STYLE)
def over_inputs(
    input_KxHxW: np.ndarray,
    map_KxHxW: np.ndarray,
    modality: str,
    label_K: np.ndarray,
    predicted_K: np.ndarray,
    limits: tuple[float, float],
    meaning: str,
) -> Figure:
    """K inputs, each above its map laid over it, titled by their true and predicted digit.

    Args:
      limits: the map's values at both ends of the colours.
      meaning: what the colour bar says they are.

    Raises:
      Undrawable: a map holds NaN or infinity.
    """
    if not np.isfinite(map_KxHxW).all():
        raise Undrawable("the maps hold NaN or infinity")
    columns, size = COLUMNS[modality], input_KxHxW.shape[1:]
    rows = 2 * -(-len(label_K) // columns)
    figure = Figure(figsize=(7.2, TALL[modality] * rows + 0.45), layout="compressed")
    grid = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    for axes in grid.flat:
        axes.set_axis_off()
    low, high = GREYS[modality]
    colours = "RdBu_r" if modality == "audio" else GREY
    for item, (label, predicted) in enumerate(zip(label_K, predicted_K, strict=True)):
        row, column = 2 * (item // columns), item % columns
        above, below = grid[row : row + 2, column]
        for axes in (above, below):
            axes.set_axis_on()
            axes.spines[:].set(visible=True, color=PALE)
            style = {"cmap": colours, "vmin": low, "vmax": high, "interpolation": "nearest"}
            drawn = place(axes, input_KxHxW[item], size, modality, **style)
            axes.set_autoscale_on(False)
        heat = place(
            below, map_KxHxW[item], size, modality, cmap=COLOURS, vmin=limits[0], vmax=limits[1],
            interpolation="nearest" if map_KxHxW.shape[1:] == size else "bilinear",
        )  # fmt: skip
        if modality != "audio":
            outline(below, drawn, (low + high) / 2)
        colour = INK if label == predicted else WRONG
        above.set_title(f"{label} → {predicted}", color=colour, fontsize=9)
    _name_axes(figure, grid, modality)
    bar = figure.colorbar(heat, ax=grid, pad=0.015, aspect=14 * rows, shrink=0.9)
    bar.set_label(meaning)
    bar.outline.set_visible(False)
    bar.locator = MaxNLocator(5)
    return figure


def outline(axes, drawn: AxesImage, level: float) -> None:
    """The contour of a drawn input at `level`, white on dark and dark on light colours."""
    picture_HxW, (left, right, bottom, top) = drawn.get_array(), drawn.get_extent()
    height, width = picture_HxW.shape
    x = left + (right - left) * (np.arange(width) + 0.5) / width
    y = top + (bottom - top) * (np.arange(height) + 0.5) / height  # row 0 is at the top
    if picture_HxW.min() < level < picture_HxW.max():
        for colour, thick in (("black", 1.3), ("white", 0.7)):
            axes.contour(x, y, picture_HxW, [level], colors=colour, linewidths=thick)


def _name_axes(figure: Figure, grid: np.ndarray, modality: str) -> None:
    if modality == "image":
        for axes in grid.flat:
            axes.set_xticks([])
            axes.set_yticks([])
    elif modality == "audio":
        figure.supxlabel("frame", fontsize=9)
        figure.supylabel("MFCC coefficient", fontsize=9)
    else:
        for axes in grid.flat:
            frequency_axes(axes)
        figure.supxlabel("seconds", fontsize=9)
        figure.supylabel("kHz", fontsize=9)


@matplotlib.rc_context(STYLE)
def channels(weights_KxC: np.ndarray, label_K: np.ndarray) -> Figure:
    """The mean weight of each of C channels for each digit.

    Raises:
      Undrawable: a weight is NaN or infinite.
    """
    if not np.isfinite(weights_KxC).all():
        raise Undrawable("the weights hold NaN or infinity")
    digits = np.unique(label_K)
    mean = np.stack([weights_KxC[label_K == digit].mean(0) for digit in digits])
    figure = Figure(figsize=(7.2, 2.9))
    axes = figure.subplots()
    heat = axes.imshow(mean, cmap=COLOURS, aspect="auto", interpolation="nearest")
    axes.set_yticks(range(len(digits)), [str(digit) for digit in digits])
    axes.xaxis.set_major_locator(MaxNLocator(12, integer=True))
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_xlabel("channel")
    axes.set_ylabel("true digit")
    bar = figure.colorbar(heat, ax=axes, pad=0.015, aspect=28)
    bar.set_label("mean weight")
    bar.outline.set_visible(False)
    return figure


def inputs(run: Run, modality: str, row_K: np.ndarray) -> np.ndarray:
    """What the model reads of some test items, as figures show it."""
    held = standardised(run.held[modality]) if modality == "audio" else run.held[modality]
    return held[run.rows(modality)[row_K]]


def looks(runs: dict[str, Run]) -> Iterator[Block]:
    """Figures of every map that the runs left, a note in place of one over no such inputs."""
    if not any(run.maps for run in runs.values()):
        return
    yield Heading("Where the models look")
    for name, run in runs.items():
        for key, map_K in run.maps.items():
            kind, _, of = key.partition(":")
            over = of if kind == "gradcam" else run.first
            if kind not in ("gradcam", "attention"):
                continue
            if kind == "attention" and map_K.ndim == 2:
                yield channel_weights(name, run, of)
            elif over not in run.held or over not in SHOWN:
                yield Note(f"{name}: {key} is not drawn, no picture of its input is there.")
            elif kind == "gradcam":
                yield grad_cam(name, run, of)
            else:
                yield attention(name, run, of)


def grad_cam(name: str, run: Run, modality: str) -> Picture:
    map_K = run.maps[f"gradcam:{modality}"].astype(np.float32)
    if map_K.shape[1] == 1:
        map_K = folded(map_K[:, 0], *run.held[modality].shape[1:])
    caption = (
        f"True → predicted (errors orange). {SHOWN[modality]}: where the last convolution raised "
        "that score, at most 1; all zeros found nothing. Beware: this is not what makes "
        "the digit. "
        f"{words.brief(run)}"
    )
    return _laid_over(name, run, modality, map_K, "gradcam", modality, (0, 1), "Grad-CAM", caption)


def attention(name: str, run: Run, path: str) -> Picture:
    modality, map_K = run.first, run.maps[f"attention:{path}"].astype(np.float32)
    meaning, what = "weight", "each place's weight"
    if map_K.ndim == 4:
        meaning = "attention received,\nin even shares"
        what = (
            "the attention that each place receives, the mean over "
            f"{map_K.shape[1]} heads and all attending places"
        )
        map_K = received(map_K)
    caption = (
        f"True → predicted (errors orange). {SHOWN[modality]}: {what}. Colours end at the 1% and "
        "99% quantiles, which may lie close together. Beware: a great weight need not speak for "
        "the digit. "
        f"{words.brief(run)}"
    )
    limits = tuple(np.quantile(map_K, (0.01, 0.99)).tolist())
    return _laid_over(name, run, modality, map_K, "attention", path, limits, meaning, caption)


def _laid_over(
    name: str,
    run: Run,
    modality: str,
    map_K: np.ndarray,
    kind: str,
    of: str,
    limits: tuple[float, float],
    meaning: str,
    caption: str,
) -> Picture:
    row_K = run.maps["row"]
    one = [chosen[0] for chosen in first_of_each(run.label_N[row_K], 1) if chosen]
    row = row_K[one]
    figure = partial(
        over_inputs, inputs(run, modality, row), map_K[one], modality, run.label_N[row],
        run.predicted_N[row], limits, meaning,
    )  # fmt: skip
    title = f"{name}: " + (f"Grad-CAM, {of}" if kind == "gradcam" else f"attention, {of}")
    file = f"{kind}_{words.slug(name)}_{words.slug(of)}"
    return Picture(file, figure, title, caption, 720)


def channel_weights(name: str, run: Run, path: str) -> Picture:
    map_K, label_K = run.maps[f"attention:{path}"], run.label_N[run.maps["row"]]
    figure = partial(channels, map_K.astype(np.float32), label_K)
    caption = (
        f"Mean weight of each of {map_K.shape[1]} channels over {len(label_K)} test items. "
        "Columns that differ from row to row tell digits apart; a column of one colour only "
        f"scales its channel. Beware: few items a digit. {words.brief(run)}"
    )
    title = f"{name}: channel weights, {path}"
    file = f"attention_{words.slug(name)}_{words.slug(path)}"
    return Picture(file, figure, title, caption, 720)
