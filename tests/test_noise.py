import jax
import numpy as np
import pytest
from scipy import stats

from fdigits import noise
from fdigits.train import KEY_IMPL

compiled = jax.jit(noise.gaussian, static_argnums=1)


def gaussian(seed, *shape):
    return np.asarray(compiled(jax.random.key(seed, impl=KEY_IMPL), shape))


@pytest.mark.parametrize("shape", [(1, 5), (7, 3, 2), (8,), (9, 4)])
def test_gaussian_noise_has_its_shape(shape):
    drawn = gaussian(0, *shape)
    assert (drawn.shape, drawn.dtype) == (shape, np.float32)
    assert not np.array_equal(drawn, gaussian(1, *shape))
    np.testing.assert_array_equal(drawn, gaussian(0, *shape))


def test_random_bytes_are_even():
    draw = jax.jit(lambda key: noise.random_bytes(key, (10, 25_600)))
    drawn = np.asarray(draw(jax.random.key(0, impl=KEY_IMPL)))
    counts = np.bincount(drawn.ravel(), minlength=256)
    assert len(counts) == 256
    assert stats.chisquare(counts).pvalue > 1e-3


def test_gaussian_noise_has_mean_0_sd_1_and_short_tails():
    drawn, n = gaussian(0, 101, 2000).astype(np.float64), 202_000
    assert abs(drawn.mean()) < 4 / np.sqrt(n)
    assert abs((drawn**2).mean() - 1) < 4 * np.sqrt(1.84 / n)
    assert abs((drawn**4).mean() - 2.84) < 0.05
    assert 2.5 < abs(drawn).max() < 2.6
    # Beside the normal distribution: its share within one, and within two, deviations.
    for deviations, share in ((1, 0.683), (2, 0.954)):
        assert abs((abs(drawn) < deviations).mean() - share) < 0.01


def test_gaussian_noise_of_one_item_tells_nothing_of_anothers():
    """Neither of the item that shares its random words."""
    drawn, n = gaussian(0, 7, 20_000), 20_000
    for values in (drawn, abs(drawn), np.diff(drawn)[:, ::2]):  # values, sizes, neighbours
        correlation = np.corrcoef(values) - np.eye(7)
        assert abs(correlation).max() < 4.5 / np.sqrt(values.shape[1])
    assert abs((drawn[:, 1:] * drawn[:, :-1]).mean(1)).max() < 4.5 / np.sqrt(n)
