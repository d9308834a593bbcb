"""What measured cells of a table say of its paper's claims: *holds*, *fails* or *undecided*.

A claim that one system beats another holds where the mean difference over the seeds is above 0 and
significant at 5 % after Holm's correction within the table, and fails where it is below 0 and
significant. That two are equal, or that a figure is reached, the 95 % interval decides, which must
lie inside or outside of what the claim says.

With fewer than three seeds nothing is decided: of equal systems whose accuracy varies from seed to
seed the test of a difference would tell 10 to 14 % apart with two seeds, 6 % with three and 5 %
with five (300 made-up studies of 450 to 2,000 items each).
"""

import dataclasses
import functools
import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from fdigits.report import statistics
from fdigits.report.statistics import Effect

LEVEL = 0.05
LEAST = 3  # seeds that decide anything
HOLDS, FAILS, UNDECIDED = "holds", "fails", "undecided"
Pair = tuple[str, str, tuple[str, ...]]  # a, b, and of a line over several cells those


@dataclasses.dataclass(frozen=True, eq=False)
class Items:
    """What one run made of its N test items, in the order of their ids."""

    id_N: np.ndarray
    label_N: np.ndarray
    predicted_N: np.ndarray
    # Ids of what the model read of each item, the same in all runs; "item" if it had none.
    sources: dict[str, np.ndarray]

    @functools.cached_property
    def correct_N(self) -> np.ndarray:
        return self.label_N == self.predicted_N

    @classmethod
    def of(
        cls,
        id_N: np.ndarray,
        label_N: np.ndarray,
        predicted_N: np.ndarray,
        sources: Mapping[str, np.ndarray],
    ) -> "Items":
        """Those of a run, in any order."""
        order = np.argsort(id_N, kind="stable")
        seen = {name: key_N[order] for name, key_N in sources.items()}
        ids = id_N[order]
        return cls(ids, label_N[order], predicted_N[order], seen or {"item": ids})


Cell = Mapping[int, Items]  # by seed


def pairs(claims: Sequence[Mapping], x: Mapping[str, float]) -> list[Pair]:
    """The comparisons that claims need, each once.

    Args:
      x: of each cell, where it stands on its curve.
    """
    found: dict[Pair, None] = {}
    for claim in claims:
        found |= dict.fromkeys(_pairs(claim, x))
    return list(found)


def _pairs(claim: Mapping, x: Mapping[str, float]) -> Iterator[Pair]:
    if claim["kind"] in ("rises", "falls"):
        line = tuple(sorted(claim["a"], key=lambda name: x[name]))
        yield line[-1], line[0], line
    elif claim["kind"] in ("beats", "equals"):
        yield from ((a, b, ()) for a in claim["a"] for b in claim["b"])


def line_weights(x: Sequence[float]) -> tuple[float, ...]:
    """What each point weighs in the change, from first to last, of the straight line of least
    squares."""
    off = np.asarray(x, float) - np.mean(x)
    return tuple((off * (x[-1] - x[0]) / (off @ off)).tolist())


def common(cells: Sequence[Cell]) -> list[int]:
    """The seeds that all cells have."""
    return sorted(set.intersection(*(set(cell) for cell in cells)))


def contrast(cells: Sequence[Cell], weights: Sequence[float]) -> Effect | None:
    """The weighted sum of the cells' accuracies, over the seeds that all have; None without one."""
    seeds = common(cells)
    if not seeds:
        return None
    return _contrast(tuple(tuple(c[seed] for seed in seeds) for c in cells), tuple(weights))


@functools.lru_cache(maxsize=1024)
def _contrast(cells: tuple[tuple[Items, ...], ...], weights: tuple[float, ...]) -> Effect:
    if len(cells) > 1 and not all(_same(items) for items in zip(*cells, strict=True)):
        return _apart(cells, weights)
    seeds = list(zip(*cells, strict=True))
    values = [
        sum(weight * one.correct_N for weight, one in zip(weights, items, strict=True))
        for items in seeds
    ]
    return statistics.paired_effect(values, _sources(seeds), flips=len(cells) > 1)


def _sources(seeds: Sequence[Sequence[Items]]) -> list[dict[str, np.ndarray]]:
    """Of each seed what its items are made of, as far as it is known of every seed (a run may have
    lost its inputs); else the items."""
    found = [{name: ids for one in items for name, ids in one.sources.items()} for items in seeds]
    known = set.intersection(*map(set, found))
    return [
        {name: ids for name, ids in sources.items() if name in known} or {"item": items[0].id_N}
        for sources, items in zip(found, seeds, strict=True)
    ]


def _same(items: Sequence[Items]) -> bool:
    return all(np.array_equal(one.id_N, items[0].id_N) for one in items)


def _apart(cells: Sequence[Sequence[Items]], weights: Sequence[float]) -> Effect:
    """Of cells that were not tested on the same items: each one's are drawn by themselves."""
    mean_S, variance, clusters = np.zeros(len(cells[0])), 0.0, math.inf
    for items, weight in zip(cells, weights, strict=True):
        values = [one.correct_N.astype(float) for one in items]
        mean_S += weight * np.array([value.mean() for value in values])
        sources = _sources([(one,) for one in items])
        found = [
            statistics.clustered_variance(values, [ids[name] for ids in sources])
            for name in sources[0]
        ]
        own, k = max(found)
        variance, clusters = variance + weight**2 * own, min(clusters, k)
    method = "bootstraps of each one's own test items and spread of seeds, Student's t"
    return statistics.effect(mean_S.tolist(), variance, int(clusters), 0.0, method)


def mcnemar(a: Cell, b: Cell) -> list[dict]:
    """McNemar's exact test of each seed that both have on the same items."""
    found = []
    for seed in common([a, b]):
        if _same([a[seed], b[seed]]):
            only_a, only_b, p = statistics.mcnemar(a[seed].correct_N, b[seed].correct_N)
            found.append({"seed": seed, "only_a": only_a, "only_b": only_b, "p": p})
    return found


def compared(
    measured: Mapping[str, Cell], claims: Sequence[Mapping], x: Mapping[str, float]
) -> dict[Pair, tuple[Effect, float, int]]:
    """Of each pair that claims need, where it was measured: the effect, Holm's p, and how many
    seeds. The claims are those of one table."""
    found = {}
    for a, b, line in pairs(claims, x):
        names = line or (a, b)
        weights = line_weights([x[name] for name in line]) if line else (1.0, -1.0)
        cells = [measured.get(name, {}) for name in names]
        if effect := contrast(cells, weights):
            found[a, b, line] = effect, len(common(cells))
    adjusted = statistics.holm([effect.p for effect, _ in found.values()])
    return {
        pair: (effect, p, seeds)
        for (pair, (effect, seeds)), p in zip(found.items(), adjusted, strict=True)
    }


def verdict(
    claim: Mapping,
    measured: Mapping[str, Cell],
    found: Mapping[Pair, tuple[Effect, float, int]],
    x: Mapping[str, float],
    titles: Mapping[str, str],
) -> tuple[str, str]:
    """The verdict on a claim, and why, in a line.

    Args:
      found: as `compared` gives it.
      titles: of each cell, what the line calls it.
    """
    judged, several = [], len(claim["a"]) * max(len(claim["b"]), 1) > 1
    if claim["kind"] == "above":
        for name in claim["a"]:
            at, reason = _above(measured.get(name, {}), claim["value"])
            judged.append((at, f"{titles[name]}: {reason}" if several else reason))
    else:
        for pair in _pairs(claim, x):
            at, reason = _judged(claim, found.get(pair))
            names = f"{titles[pair[0]]} against {titles[pair[1]]}: "
            judged.append((at, f"{names}{reason}" if several and not pair[2] else reason))
    verdicts = [one for one, _ in judged]
    whole = next((v for v in (FAILS, UNDECIDED) if v in verdicts), HOLDS)
    decisive = [reason for one, reason in judged if one == whole]
    if len(judged) == 1 or whole == HOLDS:
        return whole, "; ".join(decisive)
    return whole, f"{whole} in {len(decisive)} of {len(judged)}: {'; '.join(decisive)}"


def _judged(claim: Mapping, found: tuple[Effect, float, int] | None) -> tuple[str, str]:
    if not found:
        return UNDECIDED, "not measured with one seed yet"
    effect, p, seeds = found
    told = f"{points(effect.difference)} points of accuracy (95 % {points(effect.low)} to "
    told += f"{points(effect.high)}), {_p(p)}, {_seeds(seeds)}"
    if seeds < LEAST:
        return UNDECIDED, told
    if claim["kind"] == "equals":
        near = claim["value"]
        told += f"; equal means within {points(near)[1:]}"
        if effect.low == effect.high == 0:  # an interval of no item says nothing of further ones
            return UNDECIDED, f"{told}; no item tells them apart"
        if -near <= effect.low and effect.high <= near:
            return HOLDS, told
        return (FAILS if effect.low > near or effect.high < -near else UNDECIDED), told
    sign = -1 if claim["kind"] == "falls" else 1
    if p >= LEVEL:
        return UNDECIDED, told
    return (HOLDS if sign * effect.difference > 0 else FAILS), told


def _above(cell: Cell, value: float) -> tuple[str, str]:
    effect = contrast([cell], [1.0])
    if not effect:
        return UNDECIDED, "not measured with one seed yet"
    if effect.low == effect.high:  # all right, or all wrong: draws of such items do not vary
        found = [statistics.accuracy_interval(one.correct_N, one.sources) for one in cell.values()]
        widest = max(found, key=lambda one: one.high - one.low)
        effect = dataclasses.replace(effect, low=widest.low, high=widest.high)
    told = f"{100 * effect.difference:.2f} % (95 % {100 * effect.low:.2f} to "
    told += f"{100 * effect.high:.2f}) against {100 * value:.2f} %, {_seeds(len(cell))}"
    if len(cell) < LEAST:
        return UNDECIDED, told
    if effect.low >= value:
        return HOLDS, told
    return (FAILS if effect.high < value else UNDECIDED), told


def points(share: float) -> str:
    """A difference of shares in percentage points, with its sign."""
    return f"{100 * share:+.2f}"


def _p(p: float) -> str:
    return "p < 0.0001" if p < 1e-4 else f"p = {p:.4f}"


def _seeds(count: int) -> str:
    few = f": fewer than {LEAST} decide nothing" if count < LEAST else ""
    return f"{count} seed{'s' if count > 1 else ''}{few}"
