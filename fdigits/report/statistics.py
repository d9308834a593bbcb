"""Intervals and paired tests for accuracies whose test items may share an image or an utterance."""

import dataclasses

import numpy as np
from scipy.stats import binomtest


@dataclasses.dataclass(frozen=True)
class Interval:
    """A 95% interval and the way it was found."""

    low: float
    high: float
    method: str


def wilson(correct: int, n: int) -> tuple[float, float]:
    """The 95% Wilson score interval of `correct` of `n` independent items (Wilson 1927)."""
    interval = binomtest(correct, n).proportion_ci(0.95, method="wilson")
    return float(interval.low), float(interval.high)


def _by_cluster(value_N: np.ndarray, cluster_N: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sum of values and number of items, per cluster."""
    index_N = np.unique(cluster_N, return_inverse=True)[1]
    return np.bincount(index_N, weights=value_N), np.bincount(index_N)


def cluster_bootstrap(
    correct_N: np.ndarray, cluster_N: np.ndarray, draws: int = 2000, seed: int = 0
) -> tuple[float, float]:
    """The 95% percentile interval of the accuracy when whole clusters are drawn with replacement.

    Where all or none are correct every draw is alike: then Wilson's interval over the clusters.
    """
    correct_K, size_K = _by_cluster(np.asarray(correct_N, float), cluster_N)
    k = len(size_K)
    if correct_K.sum() in (0, size_K.sum()):
        return wilson(k if correct_K.sum() else 0, k)
    generator = np.random.default_rng(seed)
    accuracies = np.empty(draws)
    for draw in range(draws):
        times_K = np.bincount(generator.integers(k, size=k), minlength=k)
        accuracies[draw] = times_K @ correct_K / (times_K @ size_K)
    low, high = np.quantile(accuracies, (0.025, 0.975))
    return float(low), float(high)


def repeated(sources: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Those sources (`{"audio": ids [N]}`) in which some id stands more than once."""
    return {name: ids for name, ids in sources.items() if len(np.unique(ids)) < len(ids)}


def accuracy_interval(correct_N: np.ndarray, sources: dict[str, np.ndarray]) -> Interval:
    """The interval of an accuracy, clustered by the source whose repeats make it widest.

    Args:
      correct_N: which items were classified correctly.
      sources: the ids of what the model saw of each item, `{"image": [N], "audio": [N]}`, say.
    """
    found = [Interval(*wilson(int(np.sum(correct_N)), len(correct_N)), "Wilson")]
    for name, ids in repeated(sources).items():
        found.append(Interval(*cluster_bootstrap(correct_N, ids), f"bootstrap by {name}"))
    return max(found, key=lambda interval: interval.high - interval.low)


def mcnemar(correct_a_N: np.ndarray, correct_b_N: np.ndarray) -> tuple[int, int, float]:
    """McNemar's exact two-sided test: (only a correct, only b correct, p) (McNemar 1947)."""
    only_a = int(np.sum(correct_a_N & ~correct_b_N))
    only_b = int(np.sum(~correct_a_N & correct_b_N))
    p = binomtest(only_a, only_a + only_b).pvalue if only_a + only_b else 1.0
    return only_a, only_b, float(p)


def sign_flip(
    correct_a_N: np.ndarray,
    correct_b_N: np.ndarray,
    cluster_N: np.ndarray,
    draws: int = 10_000,
    seed: int = 0,
) -> float:
    """The two-sided p of a paired permutation test that swaps the two models in whole clusters."""
    difference_N = np.asarray(correct_a_N, float) - np.asarray(correct_b_N, float)
    difference_K = _by_cluster(difference_N, cluster_N)[0]
    difference_K = difference_K[difference_K != 0]
    observed = abs(difference_K.sum()) - 1e-9
    generator = np.random.default_rng(seed)
    extreme = 0
    for _ in range(draws):
        signs_K = generator.integers(2, size=len(difference_K)) * 2 - 1
        extreme += abs(signs_K @ difference_K) >= observed
    return float((1 + extreme) / (1 + draws))


def paired_p(
    correct_a_N: np.ndarray, correct_b_N: np.ndarray, sources: dict[str, np.ndarray]
) -> float:
    """The largest p of McNemar's test and of the sign-flip tests by each repeated source."""
    values = [mcnemar(correct_a_N, correct_b_N)[2]]
    values += [sign_flip(correct_a_N, correct_b_N, ids) for ids in repeated(sources).values()]
    return max(values)
