import numpy as np
import pytest
from scipy import linalg
from scipy.spatial.distance import cdist

from fdigits import quality


def normal(seed, n, d=4, scale=1.0, shift=0.0):
    return scale * np.random.default_rng(seed).normal(size=(n, d)) + shift


def test_frechet_distance_of_gaussians_is_the_closed_form():
    a, b = normal(0, 400), normal(1, 300) @ normal(2, 4) + 1.5
    ca, cb = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    root = linalg.sqrtm(ca @ cb).real
    wanted = np.square(a.mean(0) - b.mean(0)).sum() + np.trace(ca + cb - 2 * root)
    assert quality.frechet_distance(a, b) == pytest.approx(wanted, rel=1e-6)
    assert quality.frechet_distance(a, a) == pytest.approx(0, abs=1e-8)
    assert quality.frechet_distance(a, a + 3) == pytest.approx(4 * 9)


def test_frechet_distance_bears_features_that_never_change():
    a = np.concatenate([normal(0, 50), np.zeros((50, 2))], 1)
    assert quality.frechet_distance(a, a) == pytest.approx(0, abs=1e-8)


def test_precision_falls_with_bad_items_and_recall_with_missing_ones():
    real = normal(0, 300, 2)
    assert quality.precision_recall(real, real) == (1.0, 1.0)
    few = np.concatenate([real[:150], real[:150] + 1e-3])
    left = np.concatenate([real[:200], normal(1, 100, 2, shift=50)])
    precision, _ = quality.precision_recall(real, left)
    assert precision == pytest.approx(200 / 300)
    one_side = real[real[:, 0] > 0]
    precision, recall = quality.precision_recall(real, one_side)
    assert precision == 1 and 0.4 < recall < 0.75
    assert quality.precision_recall(real, few)[1] < 1


def test_precision_covers_within_the_distance_of_the_third_neighbour():
    real = np.array([[0.0], [1.0], [2.0], [4.0], [8.0]])  # radii 4, 3, 2, 4, 7
    drawn = np.array([[-4.1], [-3.9], [15.1], [14.9]])
    assert quality.precision_recall(real, drawn, k=3)[0] == 0.5


def test_precision_and_recall_are_those_of_all_distances_at_once(monkeypatch):
    monkeypatch.setattr(quality, "MEBIBYTES", 0.01)  # four rows of 300
    real, drawn = normal(0, 300, 16), normal(1, 200, 16, scale=0.9)
    drawn[:20], drawn[20:30] = real[:20], 0.0
    found = quality.precision_recall(real, drawn)
    for figure, x, by in zip(found, (drawn, real), (real, drawn), strict=True):
        radius = np.sort(cdist(by, by), 1)[:, 3]
        assert figure == (cdist(x, by) <= radius).any(1).mean() and 0 < figure < 1


def test_figures_of_a_lost_generator_are_nan():
    real, drawn = normal(0, 30), normal(1, 30)
    drawn[3, 2] = np.nan
    assert np.isnan(
        [*quality.precision_recall(real, drawn), quality.frechet_distance(real, drawn)]
    ).all()


def test_spread_is_the_ratio_of_variances_and_zero_where_a_label_collapses():
    label = np.repeat(np.arange(10), 200)
    real = normal(0, 2000)
    drawn = 0.5 * real
    drawn[label == 3] = 7.0
    found = quality.spread(real, drawn, label)
    np.testing.assert_allclose(found, [0.25] * 3 + [0] + [0.25] * 6)
    assert quality.spread(real[:1], drawn[:1], label[:1]) == [0.0] * 10


def test_nearest_finds_the_same_picture():
    x = normal(0, 20, 9)
    assert (quality.nearest(x[[3, 5]] + 1e-3, x) == [3, 5]).all()
