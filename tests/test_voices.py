import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdigits import voices
from fdigits.train import KEY_IMPL

NAMES = list(voices.AUGMENTATIONS)
SIZE = 10_000


def _all(word_BxT, keys_B, strength_B):
    made = {name: voices.AUGMENTATIONS[name](word_BxT, keys_B, strength_B) for name in NAMES}
    return made | {"nothing": voices.nothing(word_BxT, keys_B)}


jitted = jax.jit(_all)  # one compilation for the whole file


@functools.cache
def words(n=6):
    """Harmonics of 100 to 200 Hz that swell and fade, half a second in the middle."""
    rng, t = np.random.default_rng(0), np.arange(4_000) / voices.RATE
    hz = rng.uniform(100, 200, (n, 1, 1)) * np.arange(1, 15)[:, None]
    sung = (rng.uniform(0, 0.04, hz.shape) * np.sin(2 * np.pi * hz * t)).sum(1)
    return np.pad(sung * np.hanning(4_000), ((0, 0), (3_000, 3_000))).astype(np.float32)


def made(seed=0, strength=1.0, word=None):
    word = words() if word is None else word
    keys = jax.random.split(jax.random.key(seed), len(word))
    strengths = jnp.broadcast_to(jnp.float32(strength), len(word))
    return jax.tree.map(np.asarray, jitted(word, keys, strengths))


def test_strength_zero_returns_the_input():
    for name, out in made(strength=0.0).items():
        assert name == "nothing" or np.array_equal(out, words()), name


def test_shape_range_and_change_at_full_strength():
    for seed in range(3):
        for name, out in made(seed).items():
            assert (out.shape, out.dtype) == (words().shape, np.float32)
            assert np.isfinite(out).all() and abs(out).max() <= 1, name
            changed = abs(out - words()).max(1) > 1e-3
            assert changed.all() or (name == "edges" and changed.any()), name  # may cut silence


def test_silence_stays_finite():
    for name, out in made(word=np.zeros_like(words())).items():
        assert np.isfinite(out).all(), name


def test_the_key_alone_decides():
    once, again, other = made(0), made(0), made(1)
    for name in once:
        np.testing.assert_array_equal(once[name], again[name])
        assert not np.array_equal(once[name], other[name]), name


def test_a_permuted_batch_gives_the_permuted_output():
    order = np.array([3, 0, 5, 1, 4, 2])
    keys, strength = jax.random.split(jax.random.key(0), 6), jnp.linspace(0.2, 1, 6)
    straight = jitted(words(), keys, strength)
    permuted = jitted(words()[order], keys[order], strength[order])
    for name in straight:
        np.testing.assert_allclose(straight[name][order], permuted[name], atol=1e-6, err_msg=name)


def test_one_key_of_the_training_loop_is_folded_by_row():
    out = jax.jit(voices.clip)(np.tile(words(1), (6, 1)), jax.random.key(0, impl=KEY_IMPL), 1.0)
    assert len(np.unique(np.asarray(out), axis=0)) == 6


def test_a_stretched_tone_has_its_pitch_and_length():
    def peak_and_length(word):
        loud = np.flatnonzero(abs(word) > 0.05)
        return abs(np.fft.rfft(word, 80_000)).argmax() / 10, np.ptp(loud)

    tone = np.zeros(SIZE, np.float32)
    tone[3_000:7_000] = 0.5 * np.sin(2 * np.pi * 500 * np.arange(4_000) / voices.RATE)
    stretch = jax.jit(voices.stretched)
    for speed, voice in ((1.25, 1.0), (1.0, 1.2), (0.8, 0.9)):
        hz, length = peak_and_length(np.asarray(stretch(tone, speed, voice)))
        assert abs(hz / (500 * speed * voice) - 1) < 0.03  # within a piece's resolution
        assert abs(length * speed / 4_000 - 1) < 0.08


def test_noise_lies_between_its_levels():
    keys = jax.random.split(jax.random.key(0), 40)
    word = words(1)[0]
    spectrum = jnp.fft.rfft(word, 16_384)
    add = jax.jit(jax.vmap(lambda key: voices._noise_spectrum(spectrum, key, 1.0)))
    noise = np.fft.irfft(add(keys), 16_384)
    power = (word**2).sum() / (voices.SPOKEN * voices.RATE)
    snr = 10 * np.log10(power / (noise**2).mean(1))
    low, high = voices.SNR
    assert low - 0.5 < snr.min() < low + 8 and high - 8 < snr.max() < high + 0.5


def test_nothing_is_of_several_kinds_and_never_the_word():
    word = np.tile(words(1), (60, 1))
    out = np.asarray(jax.jit(voices.nothing)(word, jax.random.key(0)))
    alike = [abs(np.corrcoef(one, words(1)[0])[0, 1]) for one in out if one.std() > 1e-6]
    assert max(alike) < 0.9
    assert (abs(out).max(1) < 1e-3).any()  # near silence
    assert (abs(out).max(1) > 0.05).mean() > 0.5


def test_the_further_clicks_are_half_there_and_of_any_loudness(monkeypatch):
    def energy():
        keys = jax.random.split(jax.random.key(0), 400)
        return jax.vmap(lambda key: jnp.square(voices._clicks(words(1)[0], key)).sum())(keys).mean()

    all_clicks = energy()
    monkeypatch.setattr(jax.random, "bernoulli", lambda key, p, shape: jnp.zeros(shape))
    further = all_clicks / energy() - 1
    assert abs(further - 4 / 2 / 3) < 0.15  # four, half of them, the mean square of 0 to 1


def test_a_microphone_takes_what_lies_outside_its_band(monkeypatch):
    """24 dB an octave at either end; what lies well within stays."""
    monkeypatch.setattr(voices, "TILT", 0.0)
    for seed in range(10):
        gain = np.asarray(voices._band_gain(jax.random.key(seed), 1.0))
        assert gain.max() <= 1.001 and gain[abs(voices._HZ - 1_000) < 100].min() > 0.9
    monkeypatch.setattr(voices, "LOW", (400.0, 400.0))
    monkeypatch.setattr(voices, "HIGH", (2200.0, 2200.0))
    gain = np.asarray(voices._band_gain(jax.random.key(0), 1.0))
    for hz, share in ((50, 8**-4.0), (100, 4**-4.0), (400, 2**-0.5), (2200, 2**-0.5)):
        assert gain[abs(voices._HZ - hz).argmin()] == pytest.approx(share, rel=0.05)


def test_a_room_dies_away_by_60_db_in_its_time(monkeypatch):
    monkeypatch.setattr(voices, "DECAY", (0.2, 0.2))
    monkeypatch.setattr(voices, "ECHO", (-3.0, -3.0))
    reply = np.fft.irfft(np.asarray(voices._room_gain(jax.random.key(0), 1.0)))
    tail = reply - np.eye(1, len(reply))[0]
    assert np.isclose(np.square(tail).sum(), 10**-0.3, rtol=0.01)
    blocks = np.square(tail[:2_400]).reshape(-1, 400).mean(1)  # of 50 ms each
    falls = 10 * np.log10(blocks[1:] / blocks[:-1])
    assert abs(falls.mean() + 15) < 1  # 60 dB in 200 ms


def test_what_is_too_loud_is_cut_at_a_share_of_the_peak():
    cut, word = made(0)["clip"], words()
    share = abs(cut).max(1) / abs(word).max(1)
    assert (share >= voices.CLIP[0] - 1e-6).all() and (share <= 1).all() and np.ptp(share) > 0.1
    for one, whole, level in zip(cut, word, abs(cut).max(1), strict=True):
        np.testing.assert_array_equal(one, np.clip(whole, -level, level))


def test_a_word_moves_by_its_shift_at_most():
    def middle(word_BxT):
        power = np.square(word_BxT.astype(float))
        return (power * np.arange(power.shape[1])).sum(1) / power.sum(1) / voices.RATE

    moved = np.stack([middle(made(seed)["place"]) - middle(words()) for seed in range(4)])
    assert (abs(moved) <= voices.SHIFT + 1e-3).all() and np.ptp(moved) > voices.SHIFT
