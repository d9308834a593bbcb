import csv
import io
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from sklearn.metrics import adjusted_rand_score, silhouette_score

from fdigits.errors import UserError
from fdigits.report import embeddings, tsne
from fdigits.report.page import Undrawable

APART = embeddings._apart  # as it is outside the tests


@pytest.fixture(scope="module")
def plane() -> embeddings.Map:
    generator = np.random.default_rng(0)
    label_K = np.arange(90) % 10
    embedding = generator.normal(size=(10, 64))[label_K] * 2 + generator.normal(size=(90, 64))
    return embeddings.project(embedding.astype(np.float16), label_K)


def test_scores_are_scikit_learns(plane):
    assert plane.rand == pytest.approx(adjusted_rand_score(plane.label_K, plane.cluster_K))
    clusters = silhouette_score(plane.xy_Kx2, plane.cluster_K)
    assert plane.silhouette_clusters == pytest.approx(clusters)
    labels = silhouette_score(plane.xy_Kx2, plane.label_K)
    assert plane.silhouette_labels == pytest.approx(labels)


def test_separable_classes_are_found_and_numbered_as_their_digit(plane):
    assert plane.xy_Kx2.shape == (90, 2)
    assert len(np.unique(plane.cluster_K)) == 10
    assert (plane.cluster_K == plane.label_K).mean() > 0.9


def test_the_titles_hold_the_scores(plane):
    left, right = embeddings.draw(plane).axes
    assert f"silhouette {plane.silhouette_labels:.2f}" in left.get_title()
    assert f"adjusted Rand index {plane.rand:.2f}" in right.get_title()
    assert f"silhouette {plane.silhouette_clusters:.2f}" in right.get_title()


def test_the_same_embeddings_give_the_same_map(plane):
    embedding = np.random.default_rng(1).normal(size=(30, 8))
    label = np.arange(30) % 10
    first, second = (embeddings.project(embedding, label) for _ in range(2))
    np.testing.assert_array_equal(first.xy_Kx2, second.xy_Kx2)


def test_an_utterance_in_many_pairs_counts_once():
    source_N = np.array(["b", "a", "b", "c", "a"])
    np.testing.assert_array_equal(embeddings.choose(source_N), [0, 1, 3])


def test_at_most_so_many_items_by_a_fixed_seed():
    rows = embeddings.choose(np.arange(500), most=100)
    assert len(np.unique(rows)) == 100
    np.testing.assert_array_equal(rows, embeddings.choose(np.arange(500), most=100))


def test_a_process_of_its_own_changes_no_map():
    points = np.random.default_rng(0).normal(size=(40, 6)).astype(np.float32)
    np.testing.assert_array_equal(APART(points, 3), tsne.plane(points, 3))


def test_too_few_items_are_refused():
    with pytest.raises(ValueError, match="too few"):
        embeddings.project(np.zeros((5, 8)), np.arange(5))


def test_pca_keeps_the_two_widest_directions():
    generator = np.random.default_rng(2)
    label_K = np.arange(60) % 10
    embedding_KxD = generator.normal(size=(60, 5)) * [9, 0.1, 0.1, 4, 0.1]
    plane = embeddings.project(embedding_KxD, label_K, method="pca")
    centred = embedding_KxD - embedding_KxD.mean(0)
    for column, direction in enumerate((0, 3)):
        like = np.corrcoef(plane.xy_Kx2[:, column], centred[:, direction])[0, 1]
        assert abs(like) > 0.99
    assert plane.rand == pytest.approx(adjusted_rand_score(label_K, plane.cluster_K))
    assert plane.rand < 0.2  # noise has no classes


def test_an_unknown_method_is_refused():
    with pytest.raises(UserError, match="method 'tsn' is unknown"):
        embeddings.project(np.eye(20), np.arange(20) % 10, method="tsn")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda x: np.where(x > 1, np.inf, x), "NaN or infinity"),
        (lambda x: x * np.nan, "NaN or infinity"),
        (lambda x: x * 0, "all alike"),
        (lambda x: x * 0 + 0.1, "all alike"),
        (lambda x: x * 1e-10 + 1, "all alike"),
        (lambda x: x * 1e-30, "too large or too small"),
        (lambda x: x * 1e18, "too large or too small"),
        (lambda x: x[:, :1], "of a single number"),
    ],
)
@pytest.mark.parametrize("method", ["tsne", "pca"])
def test_embeddings_that_would_end_the_process_are_refused(change, reason, method):
    embedding_KxD = np.random.default_rng(3).normal(size=(40, 6)).astype(np.float32)
    with pytest.raises(ValueError, match=reason):
        embeddings.project(change(embedding_KxD), np.arange(40) % 10, method=method)


def test_few_different_embeddings_are_refused():
    embedding_KxD = np.random.default_rng(0).normal(size=(11, 6))[np.arange(400) % 11]
    with pytest.raises(Undrawable, match="11 different embeddings of 400 items are too few"):
        embeddings.project(embedding_KxD, np.arange(400) % 10)


def test_a_t_sne_that_ends_its_process_is_told(monkeypatch):
    killed = "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"
    monkeypatch.setattr(embeddings, "TSNE", (sys.executable, "-c", killed))
    monkeypatch.setattr(embeddings, "_apart", APART)
    with pytest.raises(Undrawable, match="t-SNE ended with status -11"):
        embeddings.project(np.random.default_rng(0).normal(size=(40, 6)), np.arange(40) % 10)


NUMBERS = st.floats(width=32) | st.sampled_from(
    [0.0, 1.0, 65504.0, np.nan, np.inf, 1e-45, 3e38, 1e12, 1e-9]
)
SHAPES = st.tuples(st.integers(1, 40), st.integers(1, 4))


@given(arrays.arrays(np.float32, SHAPES, elements=NUMBERS), st.integers(1, 10))
@settings(max_examples=200)
def test_any_numbers_have_a_map_or_a_reason(embedding_KxD, classes):
    """By PCA, as t-SNE takes a second; what it refuses, t-SNE refuses too."""
    label_K = np.arange(len(embedding_KxD)) % classes
    try:
        plane = embeddings.project(embedding_KxD, label_K, method="pca")
    except Undrawable as reason:
        assert "map" in str(reason) or "embeddings" in str(reason)
    else:
        assert np.isfinite(plane.xy_Kx2).all()


@pytest.mark.parametrize(
    "extreme",
    [
        lambda x: np.where(np.arange(60)[:, None] == 0, 1e11, x),
        lambda x: x * 10.0 ** np.linspace(-9, 11, 60)[:, None],
        lambda x: x * 10.0 ** np.linspace(-9, 11, 6),
        lambda x: np.where(np.arange(60)[:, None] < 15, 65504 * x, 0),
        lambda x: x[np.arange(60) % 12],
    ],
)
def test_extremes_that_are_not_refused_have_a_finite_map(extreme):
    embedding_KxD = extreme(np.random.default_rng(3).normal(size=(60, 6)))
    plane = embeddings.project(embedding_KxD, np.arange(60) % 10)
    assert np.isfinite(plane.xy_Kx2).all()


@pytest.mark.parametrize("scale", [1e-8, 1e10])
def test_embeddings_of_unusual_but_bearable_size_are_drawn(scale):
    generator, label_K = np.random.default_rng(0), np.arange(40) % 10
    embedding_KxD = generator.normal(size=(10, 6))[label_K] * 5 + generator.normal(size=(40, 6))
    plane = embeddings.project(embedding_KxD * scale, label_K)
    assert plane.rand > 0.5 and np.isfinite(plane.xy_Kx2).all()


def test_the_table_holds_each_item_of_the_map(plane):
    id_K = np.array([f'a,"{item}"|b' for item in range(90)])
    lines = list(csv.DictReader(io.StringIO(embeddings.table(plane, id_K))))
    assert list(lines[0]) == ["id", "label", "cluster", "x", "y"]
    assert [line["id"] for line in lines] == id_K.tolist()
    assert [int(line["label"]) for line in lines] == plane.label_K.tolist()
    assert [int(line["cluster"]) for line in lines] == plane.cluster_K.tolist()
    xy = [[float(line["x"]), float(line["y"])] for line in lines]
    np.testing.assert_allclose(xy, plane.xy_Kx2, rtol=1e-5)


def test_a_caption_says_part_method_and_items():
    drawn = embeddings.caption("audio", (30, 64), 30)
    told = "All 30 different test recordings, 64 numbers each, by PCA (to 30) and t-SNE."
    assert drawn.startswith(told)
    drawn = embeddings.caption("latent", (3000, 64), 4000, part="train", method="pca")
    assert drawn.startswith("3,000 of 4,000 different training items, 64 numbers each, by PCA. A")
