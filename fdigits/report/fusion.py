"""What the weights of a fusion do: over the test items, and against noise on one modality."""

from collections.abc import Iterator

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from fdigits.report import words
from fdigits.report.artifacts import Run
from fdigits.report.page import Block, Heading, Picture
from fdigits.report.style import INK, PALE, RUNS, STYLE, png

COLOURS = dict(zip(("image", "audio", "spectrogram"), RUNS, strict=False))
BEWARE = (
    "Beware: a weight multiplies an embedding of any length, so a small weight need not mean "
    "little influence."
)


@matplotlib.rc_context(STYLE)
def histogram(weights_nxm: np.ndarray, modalities: tuple[str, ...]) -> Figure:
    """How often each modality has which weight."""
    figure = Figure(figsize=(5.2, 2.8))
    axes = figure.subplots()
    low, high = float(weights_nxm.min()), float(weights_nxm.max())
    bins = np.linspace(low, high if high > low else low + 1e-3, 51)
    for weight_n, modality in zip(weights_nxm.T, modalities, strict=True):
        style = {"color": COLOURS[modality], "label": f"{modality}, mean {weight_n.mean():.3f}"}
        axes.hist(weight_n, bins, histtype="stepfilled", alpha=0.45, **style)
        axes.hist(weight_n, bins, histtype="step", linewidth=1.2, color=COLOURS[modality])
    axes.set_xlabel("weight")
    axes.set_ylabel("test items")
    axes.grid(axis="y", color=PALE, linewidth=0.5)
    axes.set_axisbelow(True)
    figure.legend(loc="outside upper center", ncols=len(modalities))
    return figure


@matplotlib.rc_context(STYLE)
def against_noise(
    level_l: np.ndarray,
    weights_mxlxm: np.ndarray,
    accuracy_mxl: np.ndarray,
    modalities: tuple[str, ...],
) -> Figure:
    """Mean weights and accuracy while noise grows on one modality, a panel for each."""
    figure = Figure(figsize=(7.2, 3.1))
    panels = figure.subplots(1, len(modalities), sharey=True, squeeze=False)[0]
    steps = np.arange(len(level_l))
    for axes, noisy, weights_lxm, accuracy_l in zip(
        panels, modalities, weights_mxlxm, accuracy_mxl, strict=True
    ):
        for weight_l, modality in zip(weights_lxm.T, modalities, strict=True):
            style = {"color": COLOURS[modality], "label": f"mean weight of {modality}"}
            axes.plot(steps, weight_l, marker="o", markersize=4, **style)
        axes.plot(steps, accuracy_l, "--s", color=INK, markersize=3.5, label="accuracy")
        axes.set_title(f"noise on {noisy}")
        axes.set_xticks(steps, [f"{level:g}" for level in level_l])
        axes.set_xlabel(f"noise, in standard deviations of {noisy}")
        axes.set_ylim(0, 1.03)
        axes.grid(color=PALE, linewidth=0.5)
    panels[0].set_ylabel("mean weight; accuracy")
    handles = panels[0].get_legend_handles_labels()[0]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    return figure


def weights(runs: dict[str, Run]) -> Iterator[Block]:
    """Figures of every fusion that has weights."""
    if not any(run.weights_nxm is not None or run.corruption for run in runs.values()):
        return
    yield Heading("Weights of the fusion")
    for name, run in runs.items():
        if run.weights_nxm is not None:
            figure = png(histogram(run.weights_nxm, run.modalities))
            caption = (
                f"The learned weights of {len(run.id_n):,} test items; an image or a recording "
                f"that stands in several items counts in each. {BEWARE} {words.setting(run)}"
            )
            title = f"{name}: learned weights"
            yield Picture(f"weights_{words.slug(name)}", figure, title, caption, 520)
        if run.corruption:
            figure = png(against_noise(*_corruption(run), run.modalities))
            caption = (
                "Mean weights and accuracy on test items while Gaussian noise grows on one "
                "modality and the other stays clean; levels are not evenly spaced, and at most 500 "
                f"items are followed. The model never met such noise in training. {BEWARE} "
                f"{words.setting(run)}"
            )
            title = f"{name}: weights against noise"
            yield Picture(f"corruption_{words.slug(name)}", figure, title, caption, 720)


def _corruption(run: Run) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return tuple(run.corruption[name] for name in ("level", "weights", "accuracy"))
