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


def _by_cluster(value_n: np.ndarray, cluster_n: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sum of values and number of items, per cluster."""
    index_n = np.unique(cluster_n, return_inverse=True)[1]
    return np.bincount(index_n, weights=value_n), np.bincount(index_n)


def cluster_bootstrap(
    correct_n: np.ndarray, cluster_n: np.ndarray, draws: int = 2000, seed: int = 0
) -> tuple[float, float]:
    """The 95% percentile interval of the accuracy when whole clusters are drawn with replacement.

    Where all or none are correct every draw is alike: then Wilson's interval over the clusters.
    """
    correct_k, size_k = _by_cluster(np.asarray(correct_n, float), cluster_n)
    k = len(size_k)
    if correct_k.sum() in (0, size_k.sum()):
        return wilson(k if correct_k.sum() else 0, k)
    generator = np.random.default_rng(seed)
    accuracies = np.empty(draws)
    for draw in range(draws):
        times_k = np.bincount(generator.integers(k, size=k), minlength=k)
        accuracies[draw] = times_k @ correct_k / (times_k @ size_k)
    low, high = np.quantile(accuracies, (0.025, 0.975))
    return float(low), float(high)


def repeated(sources: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Those sources ({"audio": ids [n]}) in which some id stands more than once."""
    return {name: ids for name, ids in sources.items() if len(np.unique(ids)) < len(ids)}


def accuracy_interval(correct_n: np.ndarray, sources: dict[str, np.ndarray]) -> Interval:
    """The interval of an accuracy, clustered by the source whose repeats make it widest.

    Args:
        correct_n: which items were classified correctly.
        sources: the ids of what the model saw of each item, e.g. {"image": [n], "audio": [n]}.
    """
    found = [Interval(*wilson(int(np.sum(correct_n)), len(correct_n)), "Wilson")]
    for name, ids in repeated(sources).items():
        found.append(Interval(*cluster_bootstrap(correct_n, ids), f"bootstrap by {name}"))
    return max(found, key=lambda interval: interval.high - interval.low)


def mcnemar(correct_a_n: np.ndarray, correct_b_n: np.ndarray) -> tuple[int, int, float]:
    """McNemar's exact two-sided test: (only a correct, only b correct, p) (McNemar 1947)."""
    only_a = int(np.sum(correct_a_n & ~correct_b_n))
    only_b = int(np.sum(~correct_a_n & correct_b_n))
    p = binomtest(only_a, only_a + only_b).pvalue if only_a + only_b else 1.0
    return only_a, only_b, float(p)


def sign_flip(
    correct_a_n: np.ndarray,
    correct_b_n: np.ndarray,
    cluster_n: np.ndarray,
    draws: int = 10_000,
    seed: int = 0,
) -> float:
    """The two-sided p of a paired permutation test that swaps the two models in whole clusters."""
    difference_n = np.asarray(correct_a_n, float) - np.asarray(correct_b_n, float)
    difference_k = _by_cluster(difference_n, cluster_n)[0]
    difference_k = difference_k[difference_k != 0]
    observed = abs(difference_k.sum()) - 1e-9
    generator = np.random.default_rng(seed)
    extreme = 0
    for _ in range(draws):
        signs_k = generator.integers(2, size=len(difference_k)) * 2 - 1
        extreme += abs(signs_k @ difference_k) >= observed
    return float((1 + extreme) / (1 + draws))


def paired_p(
    correct_a_n: np.ndarray, correct_b_n: np.ndarray, sources: dict[str, np.ndarray]
) -> float:
    """The largest p of McNemar's test and of the sign-flip tests by each repeated source."""
    values = [mcnemar(correct_a_n, correct_b_n)[2]]
    values += [sign_flip(correct_a_n, correct_b_n, ids) for ids in repeated(sources).values()]
    return max(values)
