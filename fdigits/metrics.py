"""Metrics of a classifier, from logits."""

import jax
import jax.numpy as jnp
import numpy as np


@jax.jit
def classification(logits_NxV: jax.Array, label_N: jax.Array) -> dict[str, jax.Array]:
    """Accuracy, macro-F1, recall per class and confusion.

    `confusion` `[V, V]` counts true classes in rows. The F1 of a class that neither occurs nor is
    predicted is 0, as scikit-learn counts it.
    """
    classes = logits_NxV.shape[-1]
    predicted = logits_NxV.argmax(-1)
    confusion = jnp.zeros((classes, classes), jnp.int32).at[label_N, predicted].add(1)
    hits = jnp.diagonal(confusion)
    actual, claimed = confusion.sum(1), confusion.sum(0)
    return {
        "accuracy": hits.sum() / len(label_N),
        "macro_f1": (2 * hits / jnp.maximum(actual + claimed, 1)).mean(),
        "per_class": hits / jnp.maximum(actual, 1),
        "confusion": confusion,
    }


def summary(logits_NxV: np.ndarray, label_N: np.ndarray) -> dict:
    """`classification` as plain numbers and lists, and `n`."""
    found = jax.device_get(classification(logits_NxV, label_N))
    return {name: value.tolist() for name, value in found.items()} | {"n": len(label_N)}
