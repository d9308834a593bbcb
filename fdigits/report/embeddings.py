"""Encoders' outputs on a plane: PCA to 50, t-SNE to 2, k-means with k = 10 (R0 Figures 6-8)."""

import dataclasses

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from scipy.optimize import linear_sum_assignment

from fdigits.report.style import DIGITS, INK, STYLE

MOST = 3000  # items on one map
SEED = 0


@dataclasses.dataclass(frozen=True, eq=False)
class Map:
    """k items on a plane, their true digits and their clusters."""

    xy_kx2: np.ndarray
    label_k: np.ndarray
    cluster_k: np.ndarray  # numbered so that as many items as possible have cluster == label
    rand: float  # adjusted Rand index of clusters against labels
    silhouette_labels: float  # of the labels on the plane
    silhouette_clusters: float  # of the clusters on the plane


def choose(source_n: np.ndarray, most: int = MOST, seed: int = SEED) -> np.ndarray:
    """Rows of different sources (an utterance in many pairs counts once), at most `most`."""
    rows = np.sort(np.unique(source_n, return_index=True)[1])
    if len(rows) > most:
        rows = np.sort(np.random.default_rng(seed).choice(rows, most, replace=False))
    return rows


def project(embedding_kxd: np.ndarray, label_k: np.ndarray, seed: int = SEED) -> Map:
    """Maps embeddings to a plane and clusters them there.

    Raises:
        ValueError: fewer than 12 items or two classes.
    """
    from sklearn.cluster import KMeans
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE
    from sklearn.metrics import adjusted_rand_score, silhouette_score
    from threadpoolctl import threadpool_limits

    k, width = embedding_kxd.shape
    if k < 12 or len(np.unique(label_k)) < 2:
        raise ValueError(f"{k} items of {len(np.unique(label_k))} classes are too few for a map")
    embedding_kxd = embedding_kxd.astype(np.float32)
    plane = TSNE(2, perplexity=min(30, (k - 1) / 3), init="pca", random_state=seed)
    with threadpool_limits(1):  # t-SNE's threads spin: on a busy machine they multiply its time
        reduced = PCA(min(50, width, k), random_state=seed).fit_transform(embedding_kxd)
        xy_kx2 = plane.fit_transform(reduced)
        found_k = KMeans(10, n_init=10, random_state=seed).fit_predict(xy_kx2)
    meets = np.zeros((10, 10), int)
    np.add.at(meets, (found_k, label_k), 1)
    return Map(
        xy_kx2=xy_kx2,
        label_k=label_k,
        cluster_k=linear_sum_assignment(-meets)[1][found_k],
        rand=float(adjusted_rand_score(label_k, found_k)),
        silhouette_labels=float(silhouette_score(xy_kx2, label_k)),
        silhouette_clusters=float(silhouette_score(xy_kx2, found_k)),
    )


@matplotlib.rc_context(STYLE)
def draw(plane: Map) -> Figure:
    """True labels beside clusters, a cluster coloured as the digit it matches best."""
    figure = Figure(figsize=(7.2, 3.7))
    panels = figure.subplots(1, 2)
    titles = (
        f"true labels\nsilhouette {plane.silhouette_labels:.2f}",
        f"k-means, k = 10\nadjusted Rand index {plane.rand:.2f}, "
        f"silhouette {plane.silhouette_clusters:.2f}",
    )
    x_k, y_k = plane.xy_kx2.T
    size = float(np.clip(9000 / len(x_k), 4, 22))
    for axes, group_k, title in zip(panels, (plane.label_k, plane.cluster_k), titles, strict=True):
        colours = np.array(DIGITS)[group_k]
        axes.scatter(x_k, y_k, c=colours, s=size, alpha=0.75, linewidths=0)
        for group in np.unique(group_k):
            middle = np.median(plane.xy_kx2[group_k == group], axis=0)
            name = str(group) if group_k is plane.label_k else "ABCDEFGHIJ"[group]
            axes.text(
                *middle, name, ha="center", va="center", fontsize=11, weight="bold", color=INK,
                path_effects=[withStroke(linewidth=2.5, foreground="white")],
            )  # fmt: skip
        axes.set_title(title)
        axes.set_xticks([])
        axes.set_yticks([])
        axes.spines[:].set_visible(True)
        axes.spines[:].set_color("#CCCCCC")
        axes.set_aspect("equal", "datalim")
    return figure
