"""The page of autoencoders: inputs beside reconstructions; figures by bottleneck (R4 Figure 2)."""

import json
from collections.abc import Iterator
from functools import partial

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from fdigits.report import terminal, words
from fdigits.report.artifacts import Run
from fdigits.report.page import Block, Heading, Picture
from fdigits.report.style import PALE, RUNS, STYLE, first_of_each

Points = dict[int, list[float]]  # bottleneck -> a figure of each run


def blocks(runs: dict[str, Run], apart: bool) -> Iterator[Block]:
    """Reconstructions of each run that left some, and the errors where bottlenecks differ."""
    shown = {name: run for name, run in runs.items() if _drawable(run)}
    if shown:
        yield Heading("Reconstructions")
    for name, run in shown.items():
        yield _reconstructions(name, run)
    yield from by_bottleneck(runs, "loss", "Error")


def _drawable(run: Run) -> bool:
    return {"reconstruction"} <= run.outputs.keys() and "frames" in run.held


def _reconstructions(name: str, run: Run) -> Picture:
    one = [chosen[0] for chosen in first_of_each(run.label_N, 1) if chosen]
    frames_KxTxC = run.held["frames"][run.rows("frames")[one]].astype(np.float32)
    again_KxTxC = run.outputs["reconstruction"][one]
    statistics = json.loads((run.path / "statistics.json").read_text())
    given_KxTxC = frames_KxTxC[..., :-1] - np.array(statistics["mean"], np.float32)
    given_KxTxC /= np.array(statistics["std"], np.float32)
    sound_KxT = frames_KxTxC[..., -1] > 0
    given_KxTxC[~sound_KxT] = 0
    longest = int(sound_KxT.sum(1).max())
    given_KxTxC, again_KxTxC = given_KxTxC[:, :longest], again_KxTxC[:, :longest]
    figure = partial(beside, given_KxTxC, again_KxTxC, run.label_N[one])
    caption = (
        "One test recording of each digit, and below what the autoencoder makes of it. "
        f"Colours end at three standard deviations, padding is 0. {words.brief(run)}"
    )
    file = f"reconstructions_{words.slug(name)}"
    return Picture(file, figure, f"{name}: reconstructions", caption, 720)


@matplotlib.rc_context(STYLE)
def beside(given_KxTxC: np.ndarray, again_KxTxC: np.ndarray, label_K: np.ndarray) -> Figure:
    """K standardised inputs, each above its reconstruction, five in a row."""
    rows = 2 * -(-len(label_K) // 5)
    figure = Figure(figsize=(7.2, 1.05 * rows + 0.3))
    grid = figure.subplots(rows, 5, squeeze=False, sharex=True, sharey=True)
    for axes in grid.flat:
        axes.set_axis_off()
    style = dict(cmap="RdBu_r", vmin=-3, vmax=3, origin="lower", aspect="auto")
    for item, label in enumerate(label_K):
        above, below = grid[2 * (item // 5) : 2 * (item // 5) + 2, item % 5]
        above.set_title(str(label))
        for axes, x_KxTxC in ((above, given_KxTxC), (below, again_KxTxC)):
            axes.set_axis_on()
            axes.spines[:].set(visible=True, color=PALE)
            heat = axes.imshow(x_KxTxC[item].T, interpolation="nearest", **style)
            axes.xaxis.set_major_locator(MaxNLocator(3, integer=True))
            axes.set_yticks([0, 6, 12])
    figure.supxlabel("frame", fontsize=9)
    figure.supylabel("MFCC coefficient", fontsize=9)
    bar = figure.colorbar(heat, ax=grid, shrink=0.85, pad=0.015, aspect=28)
    bar.set_label("standard deviations from the mean")
    bar.outline.set_visible(False)
    return figure


def bottleneck(run: Run) -> int:
    """Of an autoencoder, or of the one whose codes a classifier reads; 0 of any other run."""
    encoded = run.config["data"].get("encoded") or {}
    stages = [run.config["stages"].get(stage, {}) for stage in encoded.values()]
    of = [held for held in (run.config, *stages) if held.get("task") == "autoencode"]
    return of[0]["model"].get("bottleneck", 0) if of else 0


def by_bottleneck(runs: dict[str, Run], figure: str, title: str) -> Iterator[Picture]:
    """A figure of the test part by the width of the bottleneck, where some runs' widths differ.

    Args:
      figure: its name, "loss" or "accuracy".
    """
    lines: dict[str, Points] = {}
    for run in (run for run in runs.values() if bottleneck(run)):
        points = lines.setdefault(f"{words.data(run)}, split {words.short_protocol(run)}", {})
        found = terminal.scalars(run.result["metrics"]["test"]).get(figure)
        if found is not None:
            points.setdefault(bottleneck(run), []).append(found)
    lines = {name: points for name, points in lines.items() if len(points) > 1}
    if not lines:
        return
    drawn = [run for run in runs.values() if bottleneck(run)]
    papers = {bottleneck(run): words.paper_figures(run).get(figure) for run in drawn}
    papers = {width: [value] for width, value in papers.items() if value}
    caption = (
        f"{title} on the test part by the width of the bottleneck: a dot for each run, a line "
        f"through the means{', dashed what the paper reports' if papers else ''}. "
        f"{words.brief(*drawn)}"
    )
    draw = partial(against, lines, papers, title.lower())
    yield Picture(f"{figure}_by_bottleneck", draw, f"{title} by bottleneck", caption, 520)


@matplotlib.rc_context(STYLE)
def against(lines: dict[str, Points], papers: Points, meaning: str) -> Figure:
    """Figures by the width of the bottleneck: a line for each setting, and the paper's."""
    figure = Figure(figsize=(5.2, 3.2))
    axes = figure.subplots()
    for colour, (name, points) in zip(RUNS, lines.items(), strict=False):
        widths = sorted(points)
        axes.plot(widths, [np.mean(points[w]) for w in widths], color=colour, label=name)
        for width in widths:
            axes.plot([width] * len(points[width]), points[width], "o", color=colour, markersize=3)
    if papers:
        widths = sorted(papers)
        style = dict(color="#444444", linestyle="--", marker="o", markersize=3)
        axes.plot(widths, [papers[w][0] for w in widths], label="reported", **style)
    axes.set_xlabel("width of the bottleneck")
    axes.set_ylabel(meaning)
    axes.grid(color=PALE, linewidth=0.5)
    figure.legend(loc="outside lower center", ncols=2)
    return figure
