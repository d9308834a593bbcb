"""Which test items several runs get wrong: the regions of a Venn diagram, and its drawing."""

from itertools import combinations
from textwrap import fill

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Circle

from fdigits.errors import UserError
from fdigits.report.style import INK, RUNS, STYLE

CIRCLES = {
    2: ([(-0.55, 0.0), (0.55, 0.0)], 1.0),
    3: ([(-0.58, 0.36), (0.58, 0.36), (0.0, -0.62)], 1.0),
}
PLACES = {
    2: {(0,): (-0.98, 0), (1,): (0.98, 0), (0, 1): (0, 0)},
    3: {
        (0,): (-0.98, 0.58), (1,): (0.98, 0.58), (2,): (0, -1.14),
        (0, 1): (0, 0.82), (0, 2): (-0.58, -0.28), (1, 2): (0.58, -0.28), (0, 1, 2): (0, 0.04),
    },
}  # fmt: skip
NAMES = {
    2: [(-0.75, 1.12, "bottom"), (0.75, 1.12, "bottom")],
    3: [(-0.85, 1.46, "bottom"), (0.85, 1.46, "bottom"), (0, -1.78, "top")],
}


def same_items(id_a: np.ndarray, id_b: np.ndarray, name_a: str, name_b: str) -> None:
    """Refuses to compare two runs over different test items.

    Raises:
      UserError: names the two runs and says how their items differ.
    """
    if np.array_equal(id_a, id_b):
        return
    shared = len(np.intersect1d(id_a, id_b))
    how = f"{len(id_a):,} and {len(id_b):,} items, {shared:,} of them shared"
    if shared == len(id_a) == len(id_b):
        how = "the same items in another order"
    raise UserError(
        f"the test items of {name_a} and {name_b} differ ({how}): compare runs of the same data, "
        "split and seed, or give --apart to report them without comparing"
    )


def regions(sets: list[set]) -> dict[tuple[int, ...], int]:
    """The number of elements in exactly the named sets: {(0,): 3, (1,): 1, (0, 1): 15}."""
    everything = range(len(sets))
    counts = {}
    for size in range(1, len(sets) + 1):
        for chosen in combinations(everything, size):
            inside = set.intersection(*(sets[number] for number in chosen))
            others = (sets[number] for number in everything if number not in chosen)
            counts[chosen] = len(inside.difference(*others))
    return counts


@matplotlib.rc_context(STYLE)
def venn(names: list[str], sets: list[set]) -> Figure:
    """Two or three circles of equal size, areas mean nothing, with counts (R0 Figure 5).

    Raises:
      ValueError: not two or three sets.
    """
    if len(sets) not in CIRCLES or len(names) != len(sets):
        raise ValueError(f"a Venn diagram takes two or three named sets, not {len(sets)}")
    figure = Figure(figsize=(4.6, 3.4 if len(sets) == 2 else 4.4))
    axes = figure.subplots()
    centres, radius = CIRCLES[len(sets)]
    for centre, colour in zip(centres, RUNS, strict=False):
        axes.add_patch(Circle(centre, radius, facecolor=colour, alpha=0.22, linewidth=0))
        axes.add_patch(Circle(centre, radius, fill=False, edgecolor=colour, linewidth=1.6))
    for region, count in regions(sets).items():
        axes.text(*PLACES[len(sets)][region], f"{count:,}", ha="center", va="center", fontsize=13)
    for (x, y, side), name, members, colour in zip(
        NAMES[len(sets)], names, sets, RUNS, strict=False
    ):
        inner = "top" if side == "bottom" else "bottom"
        title = {"ha": "center", "va": side, "fontsize": 9, "weight": "bold", "color": colour}
        axes.text(x, y, fill(name, 24), **title)
        axes.text(x, y, f"{len(members):,} wrong", ha="center", va=inner, fontsize=8, color=INK)
    axes.set_xlim(-1.9, 1.9)
    axes.set_ylim((-1.25, 1.4) if len(sets) == 2 else (-2.0, 1.75))
    axes.set_aspect("equal")
    axes.axis("off")
    return figure
