"""How good drawn digits are, by the features of a judge (a classifier of digits, not Inception)."""

import numpy as np
from scipy.spatial.distance import cdist

from fdigits.data.corpus import CLASSES

NEIGHBOURS = 3  # of `precision_recall`
MEBIBYTES = 16  # of distances held at a time


def frechet_distance(real_NxD: np.ndarray, drawn_MxD: np.ndarray) -> float:
    """Fréchet distance between Gaussians fitted to both (FID, Heusel et al. 2017).

    NaN where a feature is, or where a set has fewer than two items.

    |m1 - m2|² + tr(C1 + C2 - 2 (C1 C2)^½). It falls with the number of items: compare equal ones.
    """
    if not all(len(x) > 1 and np.isfinite(x).all() for x in (real_NxD, drawn_MxD)):
        return float("nan")
    means = [x.mean(0, dtype=np.float64) for x in (real_NxD, drawn_MxD)]
    covariances = [np.cov(x.astype(np.float64), rowvar=False) for x in (real_NxD, drawn_MxD)]
    values, vectors = np.linalg.eigh(covariances[0])
    half = vectors * np.sqrt(np.clip(values, 0, None)) @ vectors.T
    # The eigenvalues of C1^½ C2 C1^½ are those of C1 C2, and none is negative.
    values = np.linalg.eigvalsh(half @ covariances[1] @ half)
    root = np.sqrt(np.clip(values, 0, None)).sum()
    between = np.square(means[0] - means[1]).sum()
    return float(between + sum(map(np.trace, covariances)) - 2 * root)


def precision_recall(
    real_NxD: np.ndarray, drawn_MxD: np.ndarray, k: int = NEIGHBOURS
) -> tuple[float, float]:
    """Precision and recall of drawn items (Kynkäänniemi et al. 2019); NaN where a feature is.

    An item is covered by a set if it lies within the distance of some item of the set to its k-th
    neighbour there. Precision is the share of drawn items that the real ones cover, recall the
    share of real items that the drawn ones cover.
    """
    if not all(np.isfinite(x).all() for x in (real_NxD, drawn_MxD)):
        return float("nan"), float("nan")
    return _covered(drawn_MxD, real_NxD, k), _covered(real_NxD, drawn_MxD, k)


def _covered(x: np.ndarray, by: np.ndarray, k: int) -> float:
    from sklearn import metrics, neighbors  # what draws no digits does without

    x, by = (a.astype(np.float64) for a in (x, by))
    near = neighbors.NearestNeighbors(n_neighbors=min(k + 1, len(by)), algorithm="brute").fit(by)
    radius = near.kneighbors(by)[0][:, -1]  # the item itself is the nearest
    parts = metrics.pairwise_distances_chunked(
        x,
        by,
        reduce_func=lambda distance, _: (distance <= radius).any(1),
        working_memory=MEBIBYTES,
    )
    return float(np.concatenate(list(parts)).mean())


def spread(real_NxD: np.ndarray, drawn_NxD: np.ndarray, label_N: np.ndarray) -> list[float]:
    """Variance within each label of what is drawn over that of what is real; 0 is collapse.

    A label without two items, or whose real ones are all equal, has 0.
    """
    found = []
    for label in range(CLASSES):
        rows = label_N == label
        if rows.sum() < 2:
            found.append(0.0)
            continue
        drawn, real = (x[rows].astype(np.float64).var(0).sum() for x in (drawn_NxD, real_NxD))
        found.append(float(drawn / real) if real else 0.0)
    return found


def nearest(x_NxP: np.ndarray, among_MxP: np.ndarray) -> np.ndarray:
    """The row of the nearest of `among` for each of `x`, `[N]`, by Euclidean distance."""
    return cdist(x_NxP, among_MxP).argmin(1)
