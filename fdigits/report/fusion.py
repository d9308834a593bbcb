"""What the weights of a fusion do: over the test items, and against noise on one modality."""

from collections.abc import Iterator
from functools import partial

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from fdigits.data.corpus import MODALITIES
from fdigits.report import words
from fdigits.report.artifacts import Run
from fdigits.report.page import Block, Heading, Picture, Undrawable
from fdigits.report.style import INK, PALE, RUNS, STYLE

BEWARE = (
    "Beware: a weight multiplies an embedding of any length, so a small weight need not mean "
    "little influence."
)


def colours_of(modalities: tuple[str, ...]) -> dict[str, str]:
    """A colour for each, a modality's own and further ones for what a stage made of it."""
    return dict(zip(dict.fromkeys((*MODALITIES, *modalities)), RUNS, strict=False))


@matplotlib.rc_context(STYLE)
def histogram(weights_NxM: np.ndarray, modalities: tuple[str, ...]) -> Figure:
    """How often each modality has which weight.

    Raises:
      Undrawable: a weight is NaN or infinite.
    """
    if not np.isfinite(weights_NxM).all():
        raise Undrawable("the weights hold NaN or infinity")
    figure, colours = Figure(figsize=(5.2, 2.8)), colours_of(modalities)
    axes = figure.subplots()
    low, high = float(weights_NxM.min()), float(weights_NxM.max())
    bins = np.linspace(low, high if high > low else low + 1e-3, 51)
    for weight_N, modality in zip(weights_NxM.T, modalities, strict=True):
        style = {"color": colours[modality], "label": f"{modality}, mean {weight_N.mean():.3f}"}
        axes.hist(weight_N, bins, histtype="stepfilled", alpha=0.45, **style)
        axes.hist(weight_N, bins, histtype="step", linewidth=1.2, color=colours[modality])
    axes.set_xlabel("weight")
    axes.set_ylabel("test items")
    axes.grid(axis="y", color=PALE, linewidth=0.5)
    axes.set_axisbelow(True)
    figure.legend(loc="outside upper center", ncols=len(modalities))
    return figure


@matplotlib.rc_context(STYLE)
def against_noise(
    level_L: np.ndarray,
    weights_MxLxM: np.ndarray,
    accuracy_MxL: np.ndarray,
    modalities: tuple[str, ...],
) -> Figure:
    """Mean weights and accuracy while noise grows on one modality, a panel for each."""
    figure, colours = Figure(figsize=(7.2, 3.1)), colours_of(modalities)
    panels = figure.subplots(1, len(modalities), sharey=True, squeeze=False)[0]
    steps = np.arange(len(level_L))
    for axes, noisy, weights_LxM, accuracy_L in zip(
        panels, modalities, weights_MxLxM, accuracy_MxL, strict=True
    ):
        for weight_L, modality in zip(weights_LxM.T, modalities, strict=True):
            style = {"color": colours[modality], "label": f"mean weight of {modality}"}
            axes.plot(steps, weight_L, marker="o", markersize=4, **style)
        axes.plot(steps, accuracy_L, "--s", color=INK, markersize=3.5, label="accuracy")
        axes.set_title(f"noise on {noisy}")
        axes.set_xticks(steps, [f"{level:g}" for level in level_L])
        axes.set_xlabel(f"noise, in standard deviations of {noisy}")
        axes.set_ylim(0, 1.03)
        axes.grid(color=PALE, linewidth=0.5)
    panels[0].set_ylabel("mean weight; accuracy")
    handles = panels[0].get_legend_handles_labels()[0]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    return figure


def weights(runs: dict[str, Run]) -> Iterator[Block]:
    """Figures of every fusion that has weights."""
    if not any(run.weights_NxM is not None or run.corruption for run in runs.values()):
        return
    yield Heading("Weights of the fusion")
    for name, run in runs.items():
        if run.weights_NxM is not None:
            figure = partial(histogram, run.weights_NxM, run.modalities)
            caption = (
                f"The learned weights of {len(run.id_N):,} test items; an image or a recording "
                f"that stands in several items counts in each. {BEWARE} {words.brief(run)}"
            )
            title = f"{name}: learned weights"
            yield Picture(f"weights_{words.slug(name)}", figure, title, caption, 520)
        if run.corruption:
            figure = partial(against_noise, *_corruption(run), run.modalities)
            caption = (
                "Mean weights and accuracy on test items while Gaussian noise grows on one "
                "modality and the other stays clean; levels are not evenly spaced, and at most 500 "
                f"items are followed. The model never met such noise in training. {BEWARE} "
                f"{words.brief(run)}"
            )
            title = f"{name}: weights against noise"
            yield Picture(f"corruption_{words.slug(name)}", figure, title, caption, 720)


def _corruption(run: Run) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return tuple(run.corruption[name] for name in ("level", "weights", "accuracy"))
