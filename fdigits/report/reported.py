"""What was measured beside what the papers report, as a dot plot."""

import math
import textwrap
from collections.abc import Iterator, Mapping
from functools import partial
from typing import NamedTuple

import matplotlib
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from fdigits.report import statistics, terminal, words
from fdigits.report.artifacts import Run
from fdigits.report.page import Picture
from fdigits.report.style import PALE, RIGHT, STYLE, WRONG

Spans = dict[str, dict[str, statistics.Interval]]  # figure -> a run's name -> its interval


def reported(runs: dict[str, Run], spans: Spans, tag: str) -> Iterator[Picture]:
    """The dot plot of a task's runs, where there is an interval or a paper's figure to see.

    Args:
      spans: the intervals that are known; other figures have dots alone.
      tag: tells the files of several tasks apart.
    """
    names = plotted(runs)
    given = [words.paper_figures(run) for run in runs.values()]
    told = any(name in paper for name in names for paper in given)
    if not told and not any(name in spans for name in names):
        return
    kinds = "a dot for each seed" if len(alike(runs)) < len(runs) else "dots"
    caption = f"Of the test part: {kinds}{' with 95% intervals' if spans else ''}"
    figure = partial(dots, {name: panel(runs, name, spans.get(name, {})) for name in names})
    title = "Measured and reported" if told else "Measured"
    yield Picture(f"reported{tag}", figure, title, f"{caption}.", 440)


def plotted(runs: dict[str, Run]) -> list[str]:
    """The first figure measured; then one that a paper gives, of papers that do not give it."""
    measured = terminal.measured([run.result for run in runs.values()])
    chosen = measured[:1]
    for run in runs.values():
        given = [name for name in words.paper_figures(run) if name in measured]
        if given and not set(given) & set(chosen):
            chosen.append(given[0])
    return chosen


def alike(runs: dict[str, Run]) -> dict[str, list[str]]:
    """A row's name -> the names of its runs: those that differ in their seed alone."""
    rows: dict[tuple[str, str], list[str]] = {}
    for name, run in runs.items():
        rows.setdefault((run.system, words.without_seed(run)), []).append(name)
    titles = words.labels([runs[names[0]] for names in rows.values()])
    return dict(zip(titles, rows.values(), strict=True))


Dot = tuple[float, statistics.Interval | None]


class Row(NamedTuple):
    """A system's figures."""

    measured: list[Dot]  # of each run
    paper: float | None
    mean: Dot | None = None  # of a study: over the seeds, whose own intervals are then left out
    span: statistics.Interval | None = None  # of the paper's figure


def panel(
    runs: dict[str, Run], figure: str, intervals: Mapping[str, statistics.Interval]
) -> dict[str, Row]:
    """The rows of one figure, "accuracy", say."""
    rows = {}
    for title, names in alike(runs).items():
        found = {name: terminal.scalars(runs[name].result["metrics"]["test"]) for name in names}
        measured = [
            (test[figure], intervals.get(name))
            for name, test in found.items()
            if math.isfinite(test.get(figure, math.nan))
        ]
        rows[title] = Row(measured, words.paper_figures(runs[names[0]]).get(figure))
    return rows


@matplotlib.rc_context(STYLE)
def dots(panels: dict[str, dict[str, Row]]) -> Figure:
    """A panel for each figure, a row for each system: dots measured, diamonds reported."""
    count = len(next(iter(panels.values())))
    figure = Figure(figsize=(4.4, 0.5 + len(panels) * (0.55 + 0.34 * count)))
    for axes, (name, rows) in zip(
        figure.subplots(len(panels), squeeze=False).flat, panels.items(), strict=True
    ):
        _rows(axes, rows, 100 if name == "accuracy" else 1)
        axes.set_xlabel(terminal.HEADINGS.get(name, name))
    figure.legend(
        handles=_legend([row for rows in panels.values() for row in rows.values()]),
        loc="outside upper right",
        ncols=3,
    )
    return figure


def _legend(rows: list[Row]) -> list[Line2D]:
    dot = dict(color="none", marker="o", markerfacecolor=RIGHT, markeredgecolor=RIGHT)
    found = [Line2D([], [], label="measured", **dot)]
    if any(row.mean for row in rows):
        found = [Line2D([], [], label="mean", **dot), Line2D([], [], label="a seed", **SEED)]
    if any(row.paper is not None for row in rows):
        found.append(Line2D([], [], label="reported", color="none", **DIAMOND))
    return found


SEED = dict(color="none", marker="o", markersize=4, markerfacecolor="none", markeredgecolor=RIGHT)
DIAMOND = dict(marker="D", markersize=7, markerfacecolor="none", markeredgecolor=WRONG)


def _rows(axes, rows: dict[str, Row], times: int) -> None:
    for place, row in enumerate(rows.values()):
        for number, (value, span) in enumerate([] if row.mean else row.measured):
            y = place + 0.18 * (number - (len(row.measured) - 1) / 2)
            _span(axes, span, y, times, RIGHT)
            axes.plot(times * value, y, "o", color=RIGHT, markersize=5)
        apart = 0.17 if row.mean else 0
        if row.mean:
            _span(axes, row.mean[1], place - apart, times, RIGHT)
            for value, _ in row.measured:
                axes.plot(times * value, place - apart, **SEED)
            axes.plot(times * row.mean[0], place - apart, "o", color=RIGHT, markersize=6)
        if row.paper is not None:
            _span(axes, row.span, place + apart, times, WRONG)
            axes.plot(times * row.paper, place + apart, zorder=3, **DIAMOND)
    axes.set_yticks(range(len(rows)), ["\n".join(textwrap.wrap(name, 22)) for name in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.margins(x=0.08)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color=PALE, linewidth=0.5)
    axes.spines["left"].set_visible(False)


def _span(axes, span: statistics.Interval | None, y: float, times: int, colour: str) -> None:
    if span:
        axes.plot([times * span.low, times * span.high], [y, y], color=colour, linewidth=1.4)
