"""Verdicts on made-up runs whose right one is known by hand."""

import numpy as np
import pytest

from fdigits.report import statistics, verdicts
from fdigits.report.verdicts import FAILS, HOLDS, UNDECIDED, Items


def items(correct, cluster=None, start=0) -> Items:
    """Of each item whether it was right, and the recording that it is of."""
    correct = np.asarray(correct, bool)
    ids = np.array([f"{start + i:06}" for i in range(len(correct))])
    label = np.zeros(len(correct), int)
    sources = {"audio": ids}
    if cluster is not None:  # pairs, whose pictures are all different
        sources = {"image": ids, "audio": np.asarray(cluster).astype(str), "word": ids}
    return Items(ids, label, np.where(correct, 0, 1), sources)


def wrong(n: int, *rows) -> np.ndarray:
    """All right but these."""
    found = np.ones(n, bool)
    found[list(rows)] = False
    return found


def judge(claim: dict, cells: dict, x=None) -> tuple[str, str]:
    claim = {"b": (), "value": 0.0} | claim
    x = x or dict.fromkeys(cells, 0.0)
    titles = {name: name.upper() for name in "abcdpqr"}
    return verdicts.verdict(claim, cells, verdicts.compared(cells, [claim], x), x, titles)


BEATS = dict(kind="beats", a=("a",), b=("b",))


def noisy(share: float, seeds: int = 5, n: int = 450, seed: int = 0) -> dict[int, Items]:
    """A system of this accuracy, each item's answer drawn by itself."""
    rng = np.random.default_rng(seed)
    return {s: items(rng.random(n) < share) for s in range(seeds)}


def test_equal_systems_are_undecided():
    cells = {"a": noisy(0.95, seed=1), "b": noisy(0.95, seed=2)}
    assert judge(BEATS, cells)[0] == UNDECIDED
    same = {"a": cells["a"], "b": cells["a"]}
    verdict, reason = judge(BEATS, same)
    assert verdict == UNDECIDED and "+0.00" in reason and "p = 1.0000" in reason


def test_better_by_more_than_noise_holds_and_the_other_way_fails():
    """96 against 90 % of 450 items: six points, whose standard error is below one."""
    cells = {"a": noisy(0.96, seed=1), "b": noisy(0.90, seed=2)}
    verdict, reason = judge(BEATS, cells)
    assert verdict == HOLDS and "5 seeds" in reason
    assert judge(BEATS, {"a": cells["b"], "b": cells["a"]})[0] == FAILS


@pytest.mark.parametrize(("seeds", "right"), [(1, UNDECIDED), (2, UNDECIDED), (3, HOLDS)])
def test_one_seed_or_two_decide_nothing(seeds, right):
    cells = {"a": noisy(0.99, seeds, seed=1), "b": noisy(0.5, seeds, seed=2)}
    verdict, reason = judge(BEATS, cells)
    assert verdict == right and ("fewer than 3 decide nothing" in reason) == (right == UNDECIDED)
    assert judge(dict(kind="above", a=("a",), value=0.9), cells)[0] == right


def test_clustered_items_count_as_often_as_their_recordings():
    """A is right on 3 recordings of 45 that B gets wrong, B on one that A does: four coins, three
    heads. As each stands in 20 items, a naive test sees 60 against 20."""
    cluster = np.repeat(np.arange(45), 20)
    a, b = ~np.isin(cluster, [0]), ~np.isin(cluster, [1, 2, 3])
    assert statistics.mcnemar(a, b)[2] < 0.0001
    cells = {name: {s: items(x, cluster) for s in range(5)} for name, x in dict(a=a, b=b).items()}
    assert judge(BEATS, cells)[0] == UNDECIDED
    effect = verdicts.contrast(list(cells.values()), [1.0, -1.0])
    assert effect.method.startswith("paired bootstrap by audio")
    elsewhere = {s: items(b, cluster, start=900) for s in range(5)}  # of other items
    apart = verdicts.contrast([cells["a"], elsewhere], [1.0, -1.0])
    assert apart.high - apart.low == pytest.approx(effect.high - effect.low, rel=0.15)
    alone = {name: {s: items(x) for s in range(5)} for name, x in dict(a=a, b=b).items()}
    assert judge(BEATS, alone)[0] == HOLDS  # were they 900 recordings


def test_seeds_on_the_same_items_share_their_luck():
    """95 % of 2,000 items, by each of five seeds alike: as wide as one seed's interval. Of other
    items each time it is narrower by the root of five."""
    right = wrong(2000, *range(100))
    half = 1.96 * (0.95 * 0.05 / 2000) ** 0.5
    same = verdicts.contrast([{s: items(right) for s in range(5)}], [1.0])
    other = verdicts.contrast([{s: items(right, start=2000 * s) for s in range(5)}], [1.0])
    assert (same.low, same.high) == pytest.approx((0.95 - half, 0.95 + half), abs=0.1 * half)
    half /= 5**0.5
    assert (other.low, other.high) == pytest.approx((0.95 - half, 0.95 + half), abs=0.1 * half)


def test_five_seeds_on_the_same_few_items_are_few_items():
    """A is right on four items of 1,000 that B gets wrong, with every seed: twice 1 of 16."""
    cells = {
        "a": {s: items(wrong(1000)) for s in range(5)},
        "b": {s: items(wrong(1000, 1, 2, 3, 4)) for s in range(5)},
    }
    found = verdicts.compared(cells, [BEATS], {})["a", "b", ()]
    assert found[0].p == pytest.approx(2 / 2**4, abs=0.01)
    assert judge(BEATS, cells)[0] == UNDECIDED


def test_seeds_that_disagree_leave_it_undecided():
    """Of 10,000 items, so that items hardly matter: +1, -1, +1, -1, +2 points."""
    better, base = [], wrong(10_000, *range(1000))
    for gain in (100, -100, 100, -100, 200):
        better.append(wrong(10_000, *range(1000 - gain)))
    cells = {
        "a": {s: items(x) for s, x in enumerate(better)},
        "b": {s: items(base) for s in range(5)},
    }
    assert judge(BEATS, cells)[0] == UNDECIDED
    first = {name: {0: cell[0], 4: cell[4]} for name, cell in cells.items()}
    assert verdicts.compared(first, [BEATS], {})["a", "b", ()][2] == 2


def test_best_of_all_needs_every_one():
    cells = {"a": noisy(0.97, seed=1), "b": noisy(0.80, seed=2), "c": noisy(0.97, seed=3)}
    verdict, reason = judge(dict(kind="beats", a=("a",), b=("b", "c")), cells)
    assert verdict == UNDECIDED and reason.startswith("undecided in 1 of 2: A against C")
    cells["d"] = noisy(0.999, seed=4)
    verdict, reason = judge(dict(kind="beats", a=("a",), b=("b", "d")), cells)
    assert verdict == FAILS and "A against D" in reason
    assert judge(dict(kind="beats", a=("d",), b=("b", "c")), cells)[0] == HOLDS


def test_a_curve_rises_falls_or_neither():
    x = {"p": 300.0, "q": 100.0, "r": 200.0}
    cells = {"p": noisy(0.95, seed=1), "q": noisy(0.85, seed=2), "r": noisy(0.90, seed=3)}
    claim = dict(kind="rises", a=("p", "q", "r"))
    verdict, reason = judge(claim, cells, x)
    assert verdict == HOLDS and reason.startswith("+")
    assert judge(claim | dict(kind="falls"), cells, x)[0] == FAILS
    flat = {name: noisy(0.9, seed=seed) for seed, name in enumerate(cells)}
    assert judge(claim, flat, x)[0] == UNDECIDED
    assert verdicts.line_weights([0, 1, 2]) == pytest.approx((-1, 0, 1))


def test_equal_within_a_margin():
    claim = dict(kind="equals", a=("a",), b=("b",), value=0.01)
    many = dict(n=20_000)
    cells = {"a": noisy(0.95, seed=1, **many), "b": noisy(0.95, seed=2, **many)}
    assert judge(claim, cells)[0] == HOLDS
    assert judge(claim, {"a": noisy(0.95, seed=1), "b": noisy(0.95, seed=2)})[0] == UNDECIDED
    assert judge(claim, cells | {"b": noisy(0.90, seed=2, **many)})[0] == FAILS


def test_above_a_value():
    claim = dict(kind="above", a=("a",))
    cells = {"a": noisy(0.95, n=2000)}
    assert judge(claim | dict(value=0.9), cells)[0] == HOLDS
    assert judge(claim | dict(value=0.949), cells)[0] == UNDECIDED
    assert judge(claim | dict(value=0.99), cells)[0] == FAILS


def test_other_test_items_are_not_paired():
    a, b = noisy(0.96, seed=1), {s: items(one.correct_N, start=500) for s, one in
                                 noisy(0.90, seed=2).items()}  # fmt: skip
    (effect, _, seeds) = verdicts.compared({"a": a, "b": b}, [BEATS], {})["a", "b", ()]
    assert "own test items" in effect.method and seeds == 5 and not verdicts.mcnemar(a, b)
    assert judge(BEATS, {"a": a, "b": b})[0] == HOLDS


def test_what_is_not_measured_is_undecided():
    assert judge(BEATS, {"a": noisy(0.9)}) == (UNDECIDED, "not measured with one seed yet")


def test_many_comparisons_need_more_than_one():
    """Holm by hand: three times the least, twice the next, never falling."""
    assert statistics.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert statistics.holm([]) == []


def test_the_comparisons_of_a_table_are_corrected_together():
    cells = {"a": noisy(0.96, seed=1), "b": noisy(0.94, seed=2), "c": noisy(0.955, seed=3)}
    claims = [dict(kind="beats", a=("a",), b=(b,)) for b in "bc"]
    found = list(verdicts.compared(cells, claims, {}).values())
    raw = [effect.p for effect, _, _ in found]
    assert [p for _, p, _ in found] == statistics.holm(raw) != raw


def test_intervals_of_seeds_and_of_macro_f1():
    """2, 4 and 6 hundredths: sd 2, t of two degrees 4.303, over the root of 3."""
    low, high = statistics.over_seeds([0.02, 0.04, 0.06])
    assert (low, high) == (0.0, pytest.approx(0.04 + 4.3027 * 0.02 / 3**0.5, abs=1e-4))
    assert statistics.over_seeds([0.9]) is None
    low, high = statistics.over_seeds([2.0, 4.0, 6.0], share=False)  # of no share: not cut at 1
    half = 4.3027 * 2 / 3**0.5
    assert (low, high) == pytest.approx((4 - half, 4 + half), abs=1e-3)
    label = np.repeat(np.arange(10), 40)
    predicted = np.where(np.arange(400) % 10 == 0, (label + 1) % 10, label)
    counts = np.zeros((10, 10), int)
    np.add.at(counts, (label, predicted), 1)
    assert statistics.macro_f1(counts) == pytest.approx(0.9)
    alone = statistics.macro_f1_interval(label, predicted, {}, 10)
    assert alone.low < 0.9 < alone.high and alone.high - alone.low < 0.08
    by_ten = statistics.macro_f1_interval(label, predicted, {"audio": np.arange(400) % 10}, 10)
    assert by_ten.high - by_ten.low > 2 * (alone.high - alone.low)
    assert by_ten.method == "bootstrap by audio"


def test_items_are_paired_by_their_ids_whatever_their_order():
    rng = np.random.default_rng(0)
    ids, label = np.array([f"{i:03}" for i in range(300)]), np.arange(300) % 10
    predicted = np.where(rng.random(300) < 0.8, label, 9 - label)
    order = rng.permutation(300)
    sources = {"audio": np.arange(300) // 3}  # counted by the run itself, as equal content is
    one = Items.of(ids, label, predicted, sources)
    other = Items.of(ids[order], label[order], predicted[order], {"audio": sources["audio"][order]})
    assert verdicts.mcnemar({0: one}, {0: other}) == [
        {"seed": 0, "only_a": 0, "only_b": 0, "p": 1.0}
    ]
    assert len(np.unique(one.sources["audio"])) == len(np.unique(other.sources["audio"])) == 100


def test_an_effect_counts_seeds_and_items():
    """By hand: three seeds of sd .01 alone have t of two degrees, 4.303, times .01 over root 3; 51
    recordings of standard error .01 alone t of 50, 2.009; both together their variances' sum."""
    seeds = statistics.effect([0.01, 0.02, 0.03], 0.0, 51, 0.0, "")
    assert seeds.high - seeds.difference == pytest.approx(4.3027 * 0.01 / 3**0.5, rel=1e-4)
    items = statistics.effect([0.02, 0.02, 0.02], 1e-4, 51, 0.0, "")
    assert items.high - items.difference == pytest.approx(2.0086 * 0.01, rel=1e-4)
    assert items.p == pytest.approx(0.0510, abs=1e-3) and 0.05 < seeds.p < 0.1
    both = statistics.effect([0.01, 0.02, 0.03], 1e-4, 51, 0.0, "")
    freedom = (1e-4 + 1e-4 / 3) ** 2 / ((1e-4 / 3) ** 2 / 2 + 1e-8 / 50)
    assert freedom == pytest.approx(23.5, abs=0.1)  # t of it: 2.066
    assert both.high - both.difference == pytest.approx(2.066 * (4e-4 / 3) ** 0.5, rel=1e-3)


def test_an_interval_of_no_width_decides_nothing():
    """Twenty of twenty are right, with every seed: Wilson's interval reaches down to 83.9 %."""
    cells = {name: {seed: items(wrong(20)) for seed in range(3)} for name in "ab"}
    verdict, reason = judge(dict(kind="above", a=("a",), value=0.99), cells)
    assert verdict == UNDECIDED and "83.89" in reason
    assert judge(dict(kind="above", a=("a",), value=0.8), cells)[0] == HOLDS
    verdict, reason = judge(dict(kind="equals", a=("a",), b=("b",), value=0.01), cells)
    assert verdict == UNDECIDED and "no item tells them apart" in reason
