"""What several runs over the same test items get wrong, one beside the other."""

from collections.abc import Iterator
from functools import partial
from itertools import combinations

import numpy as np

from fdigits.data.corpus import MODALITIES
from fdigits.report import figures, statistics, words
from fdigits.report.artifacts import Run
from fdigits.report.page import Block, Grid, Heading, Note, Picture
from fdigits.report.venn import regions, same_items, venn

SHOWN_ERRORS = 18
KINDS = (*list(MODALITIES)[:2], "both", *list(MODALITIES)[2:])


def same_test(runs: dict[str, Run], apart: bool) -> list[dict[str, Run]]:
    """Groups runs by their test items.

    Raises:
      UserError: there is more than one group, and not `apart`.
    """
    groups: list[dict[str, Run]] = []
    for name, run in runs.items():
        for group in groups:
            first, other = next(iter(group.items()))
            if np.array_equal(other.id_N, run.id_N):
                group[name] = run
                break
            if not apart:
                same_items(other.id_N, run.id_N, first, name)
        else:
            groups.append({name: run})
    return groups


def kinds(runs: dict[str, Run]) -> list[str]:
    """Those of `KINDS`, in their order, and any others that the runs have."""
    return list(dict.fromkeys((*KINDS, *(run.kind for run in runs.values()))))


def trio(runs: dict[str, Run]) -> dict[str, Run]:
    """The runs of a Venn diagram: all of two or three, else the first of each kind."""
    if len(runs) <= 3:
        return runs
    first = {}
    for kind in kinds(runs):
        of_kind = [(name, run) for name, run in runs.items() if run.kind == kind]
        first |= dict(of_kind[:1])
    return dict(list((first if len(first) > 1 else runs).items())[:3])


def comparison(runs: dict[str, Run], tag: str) -> Iterator[Block]:
    """What runs over the same test items get wrong; `tag` tells its figures' files apart."""
    if len(runs) < 2:
        return
    yield Heading("Errors compared: " + ", ".join(runs))
    yield from paired_tests(runs)
    yield from shared_errors(runs, tag)


def shared_errors(runs: dict[str, Run], tag: str) -> Iterator[Block]:
    """The Venn diagram of two runs or more, and an only picture model's errors."""
    chosen = trio(runs)
    sets = [set(np.flatnonzero(~run.correct_N).tolist()) for run in chosen.values()]
    all_wrong = regions(sets)[tuple(range(len(sets)))]
    n = len(next(iter(chosen.values())).id_N)
    caption = (
        f"Test items that each gets wrong; of {n:,}, all get {n - len(set.union(*sets)):,} right "
        f"and {all_wrong:,} wrong. Areas mean nothing. {words.brief(*chosen.values())}"
    )
    figure = partial(venn, list(chosen), sets)
    yield Picture(f"venn{tag}", figure, "Venn diagram of errors", caption, 440)
    pictures = {
        name: run for name, run in runs.items() if run.kind == "image" and "image" in run.held
    }
    if len(pictures) == 1:
        yield from image_errors(runs, *next(iter(pictures.items())), tag)


def surest_errors(run: Run) -> np.ndarray:
    """Rows of the different images an image model gets wrong, by falling margin of its logits."""
    margin = run.logits_NxV.max(1) - run.logits_NxV[np.arange(len(run.label_N)), run.label_N]
    wrong = np.flatnonzero(~run.correct_N)
    wrong = wrong[np.argsort(-margin[wrong], kind="stable")]
    return wrong[np.sort(np.unique(run.sources()["image"][wrong], return_index=True)[1])]


def image_errors(runs: dict[str, Run], name: str, run: Run, tag: str) -> Iterator[Block]:
    """The image model's errors, its surest first, with every run's prediction (R0 Figure 4)."""
    wrong = surest_errors(run)
    if not len(wrong):
        yield Note(f"{name} gets no test item wrong.")
        return
    rows = wrong[:SHOWN_ERRORS]
    order = {name: run} | {
        other: runs[other] for kind in kinds(runs) for other in runs if runs[other].kind == kind
    }
    figure = partial(
        figures.errors,
        run.held["image"][run.rows("image")[rows]],
        run.label_N[rows],
        {other: twin.predicted_N[rows] for other, twin in order.items()},
    )
    caption = (
        f"{len(rows)} of the {len(wrong)} test images that {name} gets wrong, its surest errors "
        f"first, with each model's prediction: ✓ right, ✗ wrong. {words.brief(*runs.values())}"
    )
    yield Picture(f"errors{tag}", figure, f"Errors of {name}", caption, 720)


def paired_tests(runs: dict[str, Run]) -> Iterator[Block]:
    rows = []
    for (name_a, a), (name_b, b) in combinations(runs.items(), 2):
        only_a, only_b, p = statistics.mcnemar(a.correct_N, b.correct_N)
        clustered = statistics.paired_p(a.correct_N, b.correct_N, a.seen() | b.seen())
        tests = map(words.p_value, (p, clustered))
        rows.append([name_a, name_b, f"{only_a:,}", f"{only_b:,}", *tests])
    yield Grid(
        ["A", "B", "only A right", "only B right", "McNemar p", "clustered p"],
        rows,
        numbers=range(2, 6),
    )
    yield Note(
        "McNemar's exact two-sided test takes items as independent; the clustered p is the largest "
        "of it and of permutation tests that swap all items of an image or a recording together. "
        "Not corrected for the number of comparisons."
    )
