"""Metrics of a classifier, from logits."""

import jax
import jax.numpy as jnp
import numpy as np


@jax.jit
def classification(logits_NxV: jax.Array, label_N: jax.Array) -> dict[str, jax.Array]:
    """Accuracy, macro-F1, recall per class and confusion.

    `confusion` `[V, V]` counts true classes in rows. Macro-F1 is the mean over the classes that
    occur or are predicted, as scikit-learn takes it. Where a class does not occur, its recall is 0.
    """
    classes = logits_NxV.shape[-1]
    predicted = logits_NxV.argmax(-1)
    confusion = jnp.zeros((classes, classes), jnp.int32).at[label_N, predicted].add(1)
    hits = jnp.diagonal(confusion)
    actual, claimed = confusion.sum(1), confusion.sum(0)
    seen = actual + claimed
    f1 = 2 * hits / jnp.maximum(seen, 1)
    return {
        "accuracy": hits.sum() / len(label_N),
        "macro_f1": f1.mean() * (classes / (seen > 0).sum()),
        "per_class": hits / jnp.maximum(actual, 1),
        "confusion": confusion,
    }


def summary(logits_NxV: np.ndarray, label_N: np.ndarray) -> dict:
    """`classification` as plain numbers and lists, and `n`."""
    found = jax.device_get(classification(logits_NxV, label_N))
    return {name: value.tolist() for name, value in found.items()} | {"n": len(label_N)}


def reliability(
    p_NxV: np.ndarray, label_N: np.ndarray, bins: int = 15
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """How sure, how often right, and how many, in bins of equal width, empty ones left out.

    Returns:
      Mean largest probability, accuracy and number of items, `[b]` each, b <= bins.
    """
    confidence_N, right_N = p_NxV.max(1), p_NxV.argmax(1) == label_N
    bin_N = np.minimum((confidence_N * bins).astype(int), bins - 1)
    n = np.bincount(bin_N, minlength=bins)
    held = n > 0
    sums = (np.bincount(bin_N, x, minlength=bins)[held] for x in (confidence_N, right_N))
    confidence, right = (total / n[held] for total in sums)
    return confidence, right, n[held]


def calibration_error(p_NxV: np.ndarray, label_N: np.ndarray, bins: int = 15) -> float:
    """Expected calibration error: the mean distance of probability and accuracy (Guo 2017)."""
    confidence, right, n = reliability(p_NxV, label_N, bins)
    return float((abs(confidence - right) * n).sum() / n.sum())
