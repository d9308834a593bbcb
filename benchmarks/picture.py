"""A picture of what benchmarks have left: a panel for each kind of figure.

python -m benchmarks.picture results/steps_cpu.json more.json ... --to=speed.png

Dots are medians, lines go from the least to the most of the rounds; a hollow dot was measured while
other work kept more than a tenth of a core busy. Grey marks are the goals.
"""

import argparse
import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks import sitting
from fdigits.errors import UserError, exit_cleanly
from fdigits.files import atomic, path_of
from fdigits.report.style import PALE, RUNS, STYLE, png

Named = list[tuple[str, dict]]  # figures and their names, of several sittings
BUSY = 0.1  # cores of others, from which on a figure is only roughly right
GOALS = {  # steps over the best peer's, by a part of a system's name
    **{"lstm": 1.2, "spectrogram": 1.5},
    **dict.fromkeys(("image_cnn", "audio_cnn", "hybrid_cnn", "fusion", "attention"), 2.0),
}


def machine(figure: Mapping) -> str:
    """The device in a few words; of a CPU, the processor."""
    device, _, processor = figure["sitting"]["hardware"].partition("; ")
    named = processor if device == "CPU" else device
    for word in ("(R)", "Intel ", " Processor"):
        named = named.replace(word, "")
    return named


def is_busy(figure: Mapping) -> bool:
    """Whether other work held the processor, or nobody knows."""
    told = figure[sitting.BUSY]
    values = [x for one in told.values() for x in one] if isinstance(told, dict) else told
    values = values if isinstance(values, list) else [values]
    return None in values or statistics.median(values) > BUSY


def over_best(figure: Mapping) -> list[float]:
    """fdigits' steps over those of the quickest peer of each round."""
    ratios = figure["ratio_of_chunk"]
    return ratios.get("best") or [min(each) for each in zip(*ratios.values(), strict=True)]


def dots(axes: Axes, named: Named, values: Callable[[Mapping], list[float]]) -> None:
    """A row for each name, a dot for each machine."""
    rows = list(dict.fromkeys(name for name, _ in named))[::-1]
    machines = list(dict.fromkeys(machine(figure) for _, figure in named))
    for name, figure in named:
        each, at = values(figure), machines.index(machine(figure))
        y, colour = rows.index(name) - 0.2 * at, RUNS[at % len(RUNS)]
        axes.plot([min(each), max(each)], [y, y], color=colour, linewidth=1)
        face = "white" if is_busy(figure) else colour
        axes.plot(statistics.median(each), y, "o", color=colour, markerfacecolor=face, markersize=4)
    axes.set_yticks(range(len(rows)), rows)
    axes.set_ylim(-0.7, len(rows) - 0.3)
    for at, told in enumerate(machines):
        axes.plot([], [], "o", color=RUNS[at % len(RUNS)], markersize=4, label=told)
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1))
    axes.axvline(1, color=PALE, linewidth=1, zorder=0)


def goal_marks(axes: Axes, goal: Callable[[str], float | None]) -> None:
    for y, label in enumerate(axes.get_yticklabels()):
        if at := goal(label.get_text()):
            axes.plot([at, at], [y - 0.35, y + 0.35], color="#888888", linewidth=2)


def steps_goal(name: str) -> float | None:
    return next((goal for part, goal in GOALS.items() if part in name), None)


def draw_steps(axes: Axes, named: Named) -> None:
    dots(axes, [one for one in named if one[1]["ratio_of_chunk"]], over_best)
    goal_marks(axes, steps_goal)
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set(title="training steps over the best peer that was measured", xlabel="times as many")


def draw_latency(axes: Axes, named: Named) -> None:
    dots(axes, [one for one in named if one[1]["best_peer_takes"]], lambda x: x["best_peer_takes"])
    axes.set(title="one prediction: the best peer's time", xlabel="times fdigits'")


def draw_input(axes: Axes, named: Named) -> None:
    rows = [
        (f"{name}, {kind}", figure | {"ratios": ratios})
        for name, figure in named
        for kind, ratios in figure["times_training"].items()
    ]
    dots(axes, rows, lambda figure: figure["ratios"])
    goal_marks(axes, lambda _: 3.0)
    axes.set_xscale("log")
    axes.set(title="batches that a feeder gives", xlabel="times what training takes")


def draw_startup(axes: Axes, named: Named) -> None:
    named = [one for one in named if "to_first_step" in one[1]]
    for y, (_, figure) in enumerate(named):
        left = 0.0
        for at, (phase, seconds) in enumerate(figure["seconds"].items()):
            length = statistics.median(seconds)
            label = phase if not y else None
            axes.barh(y, length, left=left, color=RUNS[at % len(RUNS)], label=label)
            left += length
    names = [f"{name}{' (busy)' if is_busy(figure) else ''}" for name, figure in named]
    axes.set_yticks(range(len(named)), names)
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1))
    axes.set(title="start of a training, by phases", xlabel="seconds to the end of its first chunk")


def draw_scale(axes: Axes, named: Named) -> None:
    def items(figure: Mapping) -> list[float]:
        return [rate * figure["batch_size"] for rate in figure["steps_per_second"]]

    dots(axes, named, items)
    axes.lines[-1].remove()  # the mark at 1
    axes.set(
        title="items trained a second, and the memory held", xlabel="items / s", xlim=(0, None)
    )
    for name, figure in named:
        y = [label.get_text() for label in axes.get_yticklabels()].index(name)
        told = f"  {figure['peak_bytes'] / 2**20:,.0f} MiB"
        axes.text(max(items(figure)), y, told, va="center", fontsize=7)


PANELS = {  # a field that tells a kind of figure -> how it is drawn
    "ratio_of_chunk": draw_steps,
    "best_peer_takes": draw_latency,
    "times_training": draw_input,
    "loaded": draw_startup,
    "share_of_ceiling": draw_scale,
}


def picture(files: Sequence[Path]) -> Figure:
    """A panel for each kind of figure that the files hold.

    Raises:
      UserError: a file holds no figures, or none that is drawn.
    """
    named = [one for file in files for one in sitting.read(file).items()]
    kinds = {kind: [one for one in named if kind in one[1]] for kind in PANELS}
    kinds = {kind: found for kind, found in kinds.items() if found}
    if not kinds:
        raise UserError(f"{', '.join(map(str, files))}: no figure that is drawn")
    heights = [1.5 + 0.17 * len(dict.fromkeys(name for name, _ in x)) for x in kinds.values()]
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(8, sum(heights)))
        panels = figure.subplots(len(kinds), height_ratios=heights, squeeze=False)[:, 0]
        for axes, (kind, found) in zip(panels, kinds.items(), strict=True):
            PANELS[kind](axes, found)
    return figure


@exit_cleanly
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("files", type=path_of, nargs="+", metavar="FILE")
    parser.add_argument("--to", type=path_of, required=True, help="PNG that is written")
    args = parser.parse_args()
    with matplotlib.rc_context(STYLE):
        drawn = png(picture(args.files))
    with atomic(args.to) as temporary:
        temporary.write_bytes(drawn)


if __name__ == "__main__":
    main()
