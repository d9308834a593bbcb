import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from fdigits.report import statistics


def test_wilson_known_value():
    # 9 of 10 by hand, z = 1.959964: (0.9 + z²/20) / (1 + z²/10) = 0.78899, give or take 0.19314.
    assert statistics.wilson(9, 10) == pytest.approx((0.59585, 0.98213), abs=1e-5)


def test_wilson_at_the_edges_stays_inside_0_and_1():
    assert statistics.wilson(20, 20) == pytest.approx((0.838876, 1.0), abs=1e-5)
    assert statistics.wilson(0, 20) == pytest.approx((0.0, 0.161124), abs=1e-5)


def width(interval: tuple[float, float]) -> float:
    return interval[1] - interval[0]


def test_cluster_bootstrap_is_wider_where_clusters_err_together():
    cluster_N = np.repeat(np.arange(60), 20)
    correct_N = cluster_N % 10 != 0
    clustered = statistics.cluster_bootstrap(correct_N, cluster_N)
    assert width(clustered) > 3 * width(statistics.wilson(int(correct_N.sum()), 1200))
    assert clustered[0] < 0.9 < clustered[1]


def test_cluster_bootstrap_agrees_with_wilson_where_items_are_independent():
    correct_N = np.random.default_rng(0).random(2000) < 0.9
    alone = statistics.cluster_bootstrap(correct_N, np.arange(2000))
    assert alone == pytest.approx(statistics.wilson(int(correct_N.sum()), 2000), abs=0.004)


def test_cluster_bootstrap_without_an_error_counts_clusters_not_items():
    cluster_N = np.repeat(np.arange(20), 50)
    right = statistics.cluster_bootstrap(np.ones(1000, bool), cluster_N)
    wrong = statistics.cluster_bootstrap(np.zeros(1000, bool), cluster_N)
    assert right == statistics.wilson(20, 20)
    assert wrong == statistics.wilson(0, 20)


def test_accuracy_interval_clusters_by_the_source_that_repeats():
    cluster_N = np.repeat(np.arange(60), 20)
    correct_N = cluster_N % 10 != 0
    sources = {"image": np.arange(1200), "audio": cluster_N}
    assert statistics.accuracy_interval(correct_N, sources).method == "bootstrap by audio"
    assert statistics.accuracy_interval(correct_N, {"image": np.arange(1200)}).method == "Wilson"


def two_models(only_a: int, only_b: int, both: int) -> tuple[np.ndarray, np.ndarray]:
    a = np.array([True] * only_a + [False] * only_b + [True] * both)
    b = np.array([False] * only_a + [True] * only_b + [True] * both)
    return a, b


def test_mcnemar_by_hand():
    # 1 against 6 discordant items: 2 · (C(7,0) + C(7,1)) / 2⁷ = 16/128.
    assert statistics.mcnemar(*two_models(1, 6, 50)) == (1, 6, pytest.approx(0.125))
    assert statistics.mcnemar(*two_models(0, 0, 50)) == (0, 0, 1.0)


@given(st.integers(0, 40), st.integers(0, 40))
def test_mcnemar_is_the_exact_binomial_test(only_a, only_b):
    p = statistics.mcnemar(*two_models(only_a, only_b, 5))[2]
    tail = 2 * binom.cdf(min(only_a, only_b), only_a + only_b, 0.5)
    assert p == pytest.approx(min(1.0, tail))


def test_sign_flip_is_mcnemar_where_items_are_alone():
    a, b = two_models(4, 14, 100)
    p = statistics.sign_flip(a, b, np.arange(len(a)))
    assert p == pytest.approx(statistics.mcnemar(a, b)[2], abs=0.01)


def test_paired_p_grows_where_one_recording_makes_all_the_difference():
    a, b = two_models(0, 30, 30)
    cluster_N = np.array([0] * 30 + list(range(1, 31)))
    assert statistics.paired_p(a, b, {}) < 1e-6
    assert statistics.paired_p(a, b, {"audio": cluster_N}) == 1.0


def test_a_digit_that_is_not_there_lowers_no_macro_f1():
    label = np.repeat([1, 4, 7], 5)
    counts = np.zeros((10, 10), int)
    np.add.at(counts, (label, label), 1)
    assert statistics.macro_f1(counts) == 1
    found = statistics.macro_f1_interval(label, label, {}, 10)
    assert 0.7 < found.low < 1 and found.high == 1  # all right: Wilson's, as of the accuracy
    predicted = np.where(np.arange(15) < 3, 4, label)
    found = statistics.macro_f1_interval(label, predicted, {}, 10)
    assert found.low > 0.4
