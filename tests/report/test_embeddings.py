import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score, silhouette_score

from fdigits.report import embeddings


@pytest.fixture(scope="module")
def plane() -> embeddings.Map:
    generator = np.random.default_rng(0)
    label_k = np.arange(90) % 10
    embedding = generator.normal(size=(10, 64))[label_k] * 2 + generator.normal(size=(90, 64))
    return embeddings.project(embedding.astype(np.float16), label_k)


def test_scores_are_scikit_learns(plane):
    assert plane.rand == pytest.approx(adjusted_rand_score(plane.label_k, plane.cluster_k))
    clusters = silhouette_score(plane.xy_kx2, plane.cluster_k)
    assert plane.silhouette_clusters == pytest.approx(clusters)
    labels = silhouette_score(plane.xy_kx2, plane.label_k)
    assert plane.silhouette_labels == pytest.approx(labels)


def test_separable_classes_are_found_and_numbered_as_their_digit(plane):
    assert plane.xy_kx2.shape == (90, 2)
    assert len(np.unique(plane.cluster_k)) == 10
    assert (plane.cluster_k == plane.label_k).mean() > 0.9


def test_the_titles_hold_the_scores(plane):
    left, right = embeddings.draw(plane).axes
    assert f"silhouette {plane.silhouette_labels:.2f}" in left.get_title()
    assert f"adjusted Rand index {plane.rand:.2f}" in right.get_title()
    assert f"silhouette {plane.silhouette_clusters:.2f}" in right.get_title()


def test_the_same_embeddings_give_the_same_map(plane):
    embedding = np.random.default_rng(1).normal(size=(30, 8))
    label = np.arange(30) % 10
    first, second = (embeddings.project(embedding, label) for _ in range(2))
    np.testing.assert_array_equal(first.xy_kx2, second.xy_kx2)


def test_an_utterance_in_many_pairs_counts_once():
    source_n = np.array(["b", "a", "b", "c", "a"])
    np.testing.assert_array_equal(embeddings.choose(source_n), [0, 1, 3])


def test_at_most_so_many_items_by_a_fixed_seed():
    rows = embeddings.choose(np.arange(500), most=100)
    assert len(np.unique(rows)) == 100
    np.testing.assert_array_equal(rows, embeddings.choose(np.arange(500), most=100))


def test_too_few_items_are_refused():
    with pytest.raises(ValueError, match="too few"):
        embeddings.project(np.zeros((5, 8)), np.arange(5))
