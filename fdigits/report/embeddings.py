"""Encoders' outputs on a plane: PCA to 50, t-SNE to 2, k-means with k = 10 (R0 Figures 6-8)."""

import csv
import dataclasses
import io
import subprocess
import sys
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from scipy.optimize import linear_sum_assignment

from fdigits import config
from fdigits.data.corpus import CLASSES, MODALITIES
from fdigits.report.page import Undrawable
from fdigits.report.style import DIGITS, INK, STYLE

MOST = 3000  # items on one map
FEWEST = 12  # more than k-means' clusters
SEED = 0
WIDTH = 50  # of what t-SNE sees
TSNE = (sys.executable, "-P", str(Path(__file__).with_name("tsne.py")))
SMALLEST, LARGEST = 1e-9, 1e12  # spread and size: squares of distances fit float32 with ease
ITEMS = {name: modality.title for name, modality in MODALITIES.items()} | {"frames": "recordings"}


@dataclasses.dataclass(frozen=True, eq=False)
class Map:
    """K items on a plane, their true digits and their clusters."""

    xy_Kx2: np.ndarray
    label_K: np.ndarray
    cluster_K: np.ndarray  # numbered so that as many items as possible have cluster == label
    rand: float  # adjusted Rand index of clusters against labels
    silhouette_labels: float  # of the labels on the plane
    silhouette_clusters: float  # of the clusters on the plane


def choose(source_N: np.ndarray, most: int = MOST, seed: int = SEED) -> np.ndarray:
    """Rows of different sources (an utterance in many pairs counts once), at most `most`."""
    rows = np.sort(np.unique(source_N, return_index=True)[1])
    if len(rows) > most:
        rows = np.sort(np.random.default_rng(seed).choice(rows, most, replace=False))
    return rows


def project(
    embedding_KxD: np.ndarray, label_K: np.ndarray, seed: int = SEED, method: str = "tsne"
) -> Map:
    """Maps embeddings to a plane and clusters them there.

    Args:
      method: "tsne" (PCA to 50, then t-SNE) | "pca" (to 2).

    Raises:
      Undrawable: fewer than 12 different items or two classes, or embeddings that no map can be
        made of: of one number, infinite, all alike, or of a size that t-SNE's arithmetic cannot
        hold; or t-SNE ended its process.
      UserError: no such method.
    """
    from sklearn.cluster import KMeans
    from sklearn.metrics import adjusted_rand_score, silhouette_score
    from threadpoolctl import threadpool_limits

    reduce = config.choose(method, METHODS, "method")
    _refuse(embedding_KxD, label_K)
    with threadpool_limits(1):  # threads spin: on a busy machine they multiply the time
        xy_Kx2 = reduce(embedding_KxD.astype(np.float32), seed)
        found_K = KMeans(CLASSES, n_init=10, random_state=seed).fit_predict(xy_Kx2)
    meets_VxV = np.zeros((CLASSES, CLASSES), int)
    np.add.at(meets_VxV, (found_K, label_K), 1)
    return Map(
        xy_Kx2=xy_Kx2,
        label_K=label_K,
        cluster_K=linear_sum_assignment(-meets_VxV)[1][found_K],
        rand=float(adjusted_rand_score(label_K, found_K)),
        silhouette_labels=float(silhouette_score(xy_Kx2, label_K)),
        silhouette_clusters=float(silhouette_score(xy_Kx2, found_K)),
    )


def _apart(points_KxD: np.ndarray, seed: int) -> np.ndarray:
    """t-SNE in a process of its own: where Barnes-Hut fails, it takes the whole process along."""
    given = io.BytesIO()
    np.save(given, points_KxD)
    done = subprocess.run([*TSNE, str(seed)], input=given.getvalue(), capture_output=True)
    if done.returncode:
        *_, last = ["", *done.stderr.decode(errors="replace").splitlines()]
        raise Undrawable(f"t-SNE ended with status {done.returncode} {last}".strip())
    return np.load(io.BytesIO(done.stdout))


def _tsne(embedding_KxD: np.ndarray, seed: int) -> np.ndarray:
    plane_Kx2 = _apart(_pca(embedding_KxD, seed, WIDTH), seed)
    if not np.isfinite(plane_Kx2).all():
        raise Undrawable("t-SNE found no place for them")
    return plane_Kx2


def _pca(embedding_KxD: np.ndarray, seed: int, width: int = 2) -> np.ndarray:
    from sklearn.decomposition import PCA

    return PCA(min(width, *embedding_KxD.shape), random_state=seed).fit_transform(embedding_KxD)


METHODS = {"tsne": _tsne, "pca": _pca}


def _refuse(embedding_KxD: np.ndarray, label_K: np.ndarray) -> None:
    """Refuses what has no map."""
    k, width = embedding_KxD.shape
    if k < FEWEST or len(np.unique(label_K)) < 2:
        raise Undrawable(f"{k} items of {len(np.unique(label_K))} classes are too few for a map")
    if width < 2:
        raise Undrawable("embeddings of a single number have no plane")
    if not np.isfinite(embedding_KxD).all():
        raise Undrawable("the embeddings hold NaN or infinity")
    exact_KxD = embedding_KxD.astype(np.float64)
    largest, spread = np.abs(exact_KxD).max(), exact_KxD.std(axis=0).max()
    if spread <= 1e-7 * largest:  # below float32's own steps
        raise Undrawable("the embeddings are all alike")
    if not SMALLEST <= spread <= largest <= LARGEST:
        raise Undrawable(f"the embeddings are too large or too small for a map (to {largest:.1e})")
    if (different := len(np.unique(embedding_KxD, axis=0))) < FEWEST:
        raise Undrawable(f"{different} different embeddings of {k} items are too few for a map")


def caption(
    encoder: str, shape: tuple[int, int], total: int, part: str = "test", method: str = "tsne"
) -> str:
    """What a map shows, in sentences for its caption.

    Args:
      encoder: whose embeddings they are; a modality's name tells what the items are.
      shape: of the embeddings drawn, `[K, D]`.
      total: the different items that there are of the part.
      part: of the split that the items are of.
    """
    (k, width), things = shape, ITEMS.get(encoder, "items")
    some = f"All {total:,}" if k == total else f"{k:,} of {total:,}"
    items = f"{'training' if part == 'train' else part} {things}"
    way = {"tsne": f"PCA (to {min(WIDTH, *shape)}) and t-SNE", "pca": "PCA"}[method]
    return (
        f"{some} different {items}, {width} numbers each, by {way}. A k-means cluster has the "
        "colour of the digit it matches best."
    )


def table(plane: Map, id_K: np.ndarray) -> str:
    """The map as CSV: a line for each item, `id,label,cluster,x,y`."""
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(("id", "label", "cluster", "x", "y"))
    for name, label, cluster, (x, y) in zip(
        id_K, plane.label_K, plane.cluster_K, plane.xy_Kx2, strict=True
    ):
        lines.writerow((name, label, cluster, f"{x:.6g}", f"{y:.6g}"))
    return text.getvalue()


def figure(embedding_KxD: np.ndarray, label_K: np.ndarray) -> Figure:
    """`project`'s map, drawn."""
    return draw(project(embedding_KxD, label_K))


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
    x_K, y_K = plane.xy_Kx2.T
    size = float(np.clip(9000 / len(x_K), 4, 22))
    for axes, group_K, title in zip(panels, (plane.label_K, plane.cluster_K), titles, strict=True):
        colours = np.array(DIGITS)[group_K]
        axes.scatter(x_K, y_K, c=colours, s=size, alpha=0.75, linewidths=0)
        for group in np.unique(group_K):
            middle = np.median(plane.xy_Kx2[group_K == group], axis=0)
            name = str(group) if group_K is plane.label_K else "ABCDEFGHIJ"[group]
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
