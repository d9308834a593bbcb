"""Intervals and paired tests for accuracies whose test items may share an image or an utterance."""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
from scipy.stats import binomtest, t


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


def macro_f1(confusion_CxC: np.ndarray) -> float:
    """Of counts, true classes in rows; over the classes that occur or are predicted."""
    hits = np.diagonal(confusion_CxC)
    both = confusion_CxC.sum(0) + confusion_CxC.sum(1)
    return float((2 * hits[both > 0] / both[both > 0]).mean())


def macro_f1_bootstrap(
    label_N: np.ndarray,
    predicted_N: np.ndarray,
    cluster_N: np.ndarray,
    classes: int,
    draws: int = 1000,
    seed: int = 0,
) -> tuple[float, float]:
    """The 95% percentile interval of macro-F1 when whole clusters are drawn with replacement."""
    index_N = np.unique(cluster_N, return_inverse=True)[1]
    cell_N, k = label_N * classes + predicted_N, index_N.max() + 1
    generator, found = np.random.default_rng(seed), np.empty(draws)
    for draw in range(draws):
        times_K = np.bincount(generator.integers(k, size=k), minlength=k)
        counts = np.bincount(cell_N, times_K[index_N], minlength=classes**2)
        found[draw] = macro_f1(counts.reshape(classes, classes))
    low, high = np.quantile(found, (0.025, 0.975))
    return float(low), float(high)


def macro_f1_interval(
    label_N: np.ndarray, predicted_N: np.ndarray, sources: dict[str, np.ndarray], classes: int
) -> Interval:
    """The interval of a macro-F1, clustered by the source whose repeats make it widest."""
    if np.array_equal(label_N, predicted_N):  # every draw is alike
        return accuracy_interval(label_N == predicted_N, sources)
    keys = {"item": np.arange(len(label_N))} | repeated(sources)
    found = [
        Interval(*macro_f1_bootstrap(label_N, predicted_N, ids, classes), f"bootstrap by {name}")
        for name, ids in keys.items()
    ]
    return max(found, key=lambda interval: interval.high - interval.low)


def over_seeds(values: Sequence[float], share: bool = True) -> tuple[float, float] | None:
    """The 95% interval of the mean of several seeds by Student's t; None of one seed.

    Args:
      share: whether the values are shares, whose interval lies within 0 and 1.
    """
    n = len(values)
    if n < 2:
        return None
    half = float(t.ppf(0.975, n - 1) * np.std(values, ddof=1) / math.sqrt(n))
    low, high = float(np.mean(values)) - half, float(np.mean(values)) + half
    return (max(0.0, low), min(1.0, high)) if share else (low, high)


@dataclasses.dataclass(frozen=True)
class Effect:
    """A difference of accuracies, mean over seeds, its 95% interval and its two-sided p."""

    difference: float
    low: float
    high: float
    p: float
    method: str


def clustered_variance(
    values: Sequence[np.ndarray], clusters: Sequence[np.ndarray], draws: int = 1000, seed: int = 0
) -> tuple[float, int]:
    """The variance, over draws of whole clusters, of the mean over seeds of the mean over items.

    Args:
      values, clusters: of each seed `[N]`. A cluster that several seeds meet is drawn for all.

    Returns:
      The variance, and the number of clusters.
    """
    names, index = np.unique(np.concatenate(clusters), return_inverse=True)
    k, ends = len(names), np.cumsum([len(value) for value in values])[:-1]
    parts = np.split(index, ends)
    sum_SxK = np.stack([np.bincount(i, x, minlength=k) for i, x in zip(parts, values, strict=True)])
    size_SxK = np.stack([np.bincount(i, minlength=k) for i in parts])
    generator, found = np.random.default_rng(seed), np.empty(draws)
    for draw in range(draws):
        times_K = np.bincount(generator.integers(k, size=k), minlength=k)
        found[draw] = (sum_SxK @ times_K / np.maximum(size_SxK @ times_K, 1)).mean()
    return float(found.var(ddof=1)), k


def effect(
    mean_S: Sequence[float], variance: float, clusters: int, least_p: float, method: str
) -> Effect:
    """From the means of S seeds, and the variance of their mean over draws of clusters.

    The variance over seeds is added to that over clusters, so that the interval speaks of other
    seeds and of other items; Student's t has the degrees of freedom of Satterthwaite (1946).

    Args:
      least_p: of another test, which p is not to be below.
    """
    s, mean = len(mean_S), float(np.mean(mean_S))
    between = float(np.var(mean_S, ddof=1)) / s if s > 1 else 0.0
    total = between + variance
    if not total:
        return Effect(mean, mean, mean, max(least_p, float(not mean)), method)
    parts = between**2 / max(s - 1, 1) + variance**2 / max(clusters - 1, 1)
    freedom, error = total**2 / parts, math.sqrt(total)
    half = float(t.ppf(0.975, freedom)) * error
    p = 2 * float(t.sf(abs(mean) / error, freedom))
    return Effect(mean, mean - half, mean + half, max(p, least_p), method)


def paired_effect(
    values: Sequence[np.ndarray], sources: Sequence[dict[str, np.ndarray]], flips: bool = True
) -> Effect:
    """The mean over seeds and items of what each item is worth, a right answer of one system minus
    one of another, say.

    Of several sources (what an item is made of) the one that says least is taken: the widest
    interval, the largest p.

    Args:
      values: of each seed `[N]`.
      sources: of each seed, the ids of what each item is made of, `{"audio": [N]}`, say.
      flips: whether p is at least that of a test that swaps the systems in whole clusters.
    """
    mean_S, found = [float(value.mean()) for value in values], []
    for name in sources[0]:
        clusters = [ids[name] for ids in sources]
        variance, k = clustered_variance(values, clusters)
        pooled = np.concatenate(values)
        swapped = sign_flip(pooled, np.zeros_like(pooled), np.concatenate(clusters))
        method = f"paired bootstrap by {name} and spread of seeds, Student's t"
        method += ", and sign flips" if flips else ""
        found.append(effect(mean_S, variance, k, swapped if flips else 0.0, method))
    widest = max(found, key=lambda one: one.high - one.low)
    return dataclasses.replace(widest, p=max(one.p for one in found))


def holm(p: Sequence[float]) -> list[float]:
    """Holm's adjusted p of several tests (Holm 1979)."""
    order, adjusted, largest = np.argsort(p, kind="stable"), [0.0] * len(p), 0.0
    for rank, place in enumerate(order):
        largest = max(largest, min(1.0, (len(p) - rank) * p[place]))
        adjusted[place] = largest
    return adjusted


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
