"""Curves of accuracy against corruptions, their areas, and what a missing modality costs."""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from fdigits.data.corpus import CLASSES
from fdigits.report.page import Block, Grid, Note, Picture, publish, sound
from fdigits.report.style import INK, PALE, RUNS, STYLE
from fdigits.report.terminal import percent

Panel = tuple[str, str]  # modality, kind
COLUMNS = 3
MARKERS = "os^Dv"  # of the first, second, ... seven systems


def panels(found: Sequence[dict]) -> list[Panel]:
    """What is corrupted, in the order in which it first appears; all at once comes last."""
    seen = dict.fromkeys((c["modality"], c["kind"]) for one in found for c in one["curves"])
    return sorted(seen, key=lambda panel: "+" in panel[0])


def curve(one: dict, panel: Panel) -> dict | None:
    """A system's curve in a panel, if it has one."""
    both = (c for c in one["curves"] if (c["modality"], c["kind"]) == panel)
    return next(both, None)


def title(panel: Panel) -> str:
    modality, kind = panel
    return f"{kind} on {modality.replace('+', ' and ')}"


def _style(number: int) -> dict:
    marker = MARKERS[number // len(RUNS) % len(MARKERS)]
    return dict(color=RUNS[number % len(RUNS)], marker=marker, markersize=3.5, linewidth=1.4)


@matplotlib.rc_context(STYLE)
def draw(found: Sequence[dict]) -> Figure:
    """A panel for each corruption, a line for each system; one more for a missing modality."""
    each = panels(found)
    lost = list(dict.fromkeys(name for one in found for name in one["missing"]))
    count = len(each) + bool(lost)
    columns = min(COLUMNS, count)
    rows = -(-count // columns)
    figure = Figure(figsize=(2.6 * columns + 0.6, 2.5 * rows + 0.25 * -(-len(found) // 2)))
    grid = figure.subplots(rows, columns, sharey=True, squeeze=False)
    for axes in grid.flat[count:]:
        axes.set_axis_off()
    for axes, panel in zip(grid.flat, each, strict=False):
        _curves(axes, found, panel)
    if lost:
        _missing(grid.flat[len(each)], found, lost)
    for axes in grid.flat[:count]:
        axes.axhline(100 / CLASSES, color="#888888", linewidth=0.8, linestyle=":")
        axes.set_ylim(0, 103)
        axes.grid(color=PALE, linewidth=0.5)
    for axes in grid[:, 0]:
        axes.set_ylabel("accuracy %")
    lines = [Line2D([], [], label=one["system"], **_style(n)) for n, one in enumerate(found)]
    wide = max(len(one["system"]) for one in found)
    figure.legend(handles=lines, loc="outside lower center", ncols=min(3, max(1, 95 // wide)))
    return figure


def _curves(axes, found: Sequence[dict], panel: Panel) -> None:
    for number, one in enumerate(found):
        if held := curve(one, panel):
            axes.plot(held["place"], 100 * np.array(held["accuracy"]), **_style(number))
            unit, places, levels = held["unit"], held["place"], held["level"]
    shown = slice(None, None, 2)
    told = ["none" if level is None else f"{level:g}" for level in levels]
    axes.set_xticks(places[shown], told[shown])
    axes.set_xlabel(unit)
    axes.set_title(title(panel))


def _missing(axes, found: Sequence[dict], lost: Sequence[str]) -> None:
    """Dots: all there, and without each modality."""
    several = [(n, one) for n, one in enumerate(found) if one["missing"]]
    for place, (number, one) in enumerate(several):
        value = [one["clean"], *(one["missing"].get(name, np.nan) for name in lost)]
        beside = 0.12 * (place - (len(several) - 1) / 2) * min(1, 6 / len(several))
        style = _style(number) | dict(linestyle="none", markersize=5)
        axes.plot(np.arange(len(value)) + beside, 100 * np.array(value), **style)
    axes.set_xticks(range(1 + len(lost)), ["none", *lost])
    axes.set_xlim(-0.5, len(lost) + 0.5)
    axes.set_xlabel(_how(found), color=INK)
    axes.set_title("missing modality")


def _how(found: Sequence[dict]) -> str:
    """How a modality is missing."""
    ways = {one["replaced"] for one in found if one["missing"]}
    words = {True: "training mean in its place", False: "left out"}
    return words[ways.pop()] if len(ways) == 1 else "mean in its place; experts: left out"


def blocks(found: Sequence[dict], same: bool) -> Iterator[Block]:
    """The table, the figure and what they mean."""
    each = panels(found)
    lost = list(dict.fromkeys(name for one in found for name in one["missing"]))
    header = ["system", "items", "clean", *map(title, each), *(f"no {m}" for m in lost), "AV-MNIST"]
    rows = []
    for one in found:
        held = [curve(one, panel) for panel in each]
        figures = [one["clean"], *(c and c["area"] for c in held)]
        figures += [*(one["missing"].get(name) for name in lost), one["av_mnist"]]
        rows.append([one["system"], f"{one['items']:,}", *map(percent, figures)])
    yield Grid(header, rows, range(1, len(header)))
    data = ", ".join(dict.fromkeys(one["data"] for one in found))
    alike = "the same for all systems" if same else "not the same for all systems"
    caption = (
        f"Test items of {data}, {alike}; nothing was trained on what is corrupted here beyond what "
        f"its own training altered. Dotted: chance. Missing modality: {_how(found)}. "
        "Noise on both takes the same step of the two scales."
    )
    yield Picture("robustness", partial(draw, found), "Accuracy against corruption", caption, 840)
    yield Note(
        "Accuracy in percent; under a corruption's name the area under its curve, divided by the "
        "length of its axis: the mean accuracy over the levels drawn."
    )
    yield Note(
        "AV-MNIST: its protocol remade (Vielzeuf et al., CentralNet, 2018). Pictures keep the "
        "leading principal components with a quarter of the energy. Its speech (TIDIGITS) and its "
        "noise (ESC-50, at levels not told) are not at hand: here are this data set's recordings "
        "and white noise, as loud as the loudest 50 ms of a word, or one standard deviation of "
        "each MFCC. Its models are trained on such items, these are not: no figure of AV-MNIST is "
        "comparable."
    )


def write(found: Sequence[dict], same: bool, out: Path) -> Path:
    """Writes `report.html`, `report.md` and `figures/robustness.png` into `out`; returns the first.

    Args:
      found: what `fdigits.robustness.measured` gives of each system.
      same: whether all were tested on the same items.
    """
    return publish("Robustness", list(sound(blocks(found, same))), out)
