import jax
import numpy as np
import optax
import pytest

from fdigits.models import ears
from tests.models import parity

librosa = pytest.importorskip("librosa")


def words(n=4):
    """Noise in the middle, of another colour and level each."""
    rng = np.random.default_rng(0)
    noise = np.cumsum(rng.normal(size=(n, 4_000)), 1) * 0.002 + rng.normal(size=(n, 4_000)) * 0.02
    level = rng.uniform(0.2, 1, (n, 1))
    return np.pad(noise * level, ((0, 0), (3_000, 3_000))).astype(np.float32)


def test_cepstra_are_librosas():
    def theirs(word):
        emphasised = librosa.effects.preemphasis(word, coef=ears.EMPHASIS, zi=[0.0])
        power = librosa.feature.melspectrogram(
            y=emphasised,
            sr=ears.RATE,
            n_fft=ears.POINTS,
            win_length=ears.WINDOW,
            hop_length=ears.SHIFT,
            center=False,
            n_mels=ears.BANDS,
            fmin=ears.LOWEST,
            fmax=ears.HIGHEST,
        )
        loudest = power.sum(0).max()
        log = np.log(power / loudest + ears.FLOOR / ears.BANDS)
        found = librosa.feature.mfcc(S=log, n_mfcc=ears.COEFFICIENTS).T
        loud = power.sum(0) > ears.QUIET * loudest
        return np.where(loud[:, None], found - found[loud].mean(0), 0)

    # librosa's window stands in the middle of the transform's points, and so begins later.
    late = (ears.POINTS - ears.WINDOW) // 2
    shifted = np.pad(words(), ((0, 0), (late, late)))
    ours = np.asarray(jax.jit(ears.cepstra)(words()))
    assert ours.shape == (4, 49, 16)
    for one, word in zip(ours, shifted, strict=True):
        np.testing.assert_allclose(one, theirs(word)[:49], atol=2e-3)


def test_filters_and_cosines_are_librosas():
    filters = librosa.filters.mel(
        sr=ears.RATE, n_fft=512, n_mels=32, fmin=ears.LOWEST, fmax=ears.HIGHEST
    )
    np.testing.assert_allclose(ears.mel_filters(), filters.T, atol=1e-7)
    basis = ears.cosines(32, 32)
    np.testing.assert_allclose(basis.T @ basis, np.eye(32), atol=1e-6)


def test_level_and_microphone_take_no_part():
    """A gain of the whole word, and of each band, are constants of the cepstra."""
    heard = jax.jit(ears.cepstra)
    plain = np.asarray(heard(words()))
    np.testing.assert_allclose(heard(words() / 8), plain, atol=2e-3)
    loud = abs(plain).max(-1) > 0
    assert np.allclose([one[on].mean(0) for one, on in zip(plain, loud, strict=True)], 0, atol=1e-3)
    assert (heard(np.zeros_like(words())) == 0).all()


def test_masks_blank_stretches_alone():
    x = np.ones((50, 49, 16), np.float32)
    out = np.asarray(jax.jit(ears.masked)(x, jax.random.key(0)))
    blank_frames, blank_coefficients = (out == 0).all(2).sum(1), (out == 0).all(1).sum(1)
    assert set(np.unique(out)) == {0, 1}
    assert blank_frames.max() <= sum(ears.MASKS) + 2 and blank_frames.mean() > 3
    assert blank_coefficients.max() <= 5 and blank_coefficients.mean() > 1


def test_in_use_an_embedding_is_the_mean_over_changed_copies():
    encoder = ears.WordEncoder(filters=(4, 8), dropout=0.0)
    learnt = parity.variables(encoder, words(), False)
    embed = jax.jit(lambda word: encoder.apply(learnt, word, train=False))
    all_at_once = np.asarray(embed(words()))
    assert all_at_once.shape == (4, 16)
    np.testing.assert_allclose(all_at_once[2:3], embed(words()[2:3]), atol=1e-4)
    again = np.asarray(jax.jit(ears.heard_again)(words()))
    assert again.shape == (20, 10_000)
    np.testing.assert_array_equal(again[:4], words())
    assert len(np.unique(again[::4], axis=0)) == 5


def test_a_few_steps_lower_the_loss_and_place_hardly_counts():
    encoder = ears.WordEncoder(filters=(4, 8), dropout=0.0)
    word, label = words(), np.arange(4)
    variables = parity.variables(encoder, word, False)
    params = variables["params"] | {"head": np.zeros((16, 4), np.float32)}
    optimizer = optax.adam(0.02)

    def loss(params, key):
        embedding, mutated = encoder.apply(
            {"params": params, "batch_stats": variables["batch_stats"]},
            word,
            train=True,
            rngs={"dropout": key},
            mutable=["batch_stats"],
        )
        logits = embedding @ params["head"]
        return optax.softmax_cross_entropy_with_integer_labels(logits, label).mean(), mutated

    @jax.jit
    def steps(params, state):
        def step(carry, key):
            params, state = carry
            (now, _), gradient = jax.value_and_grad(loss, has_aux=True)(params, key)
            updates, state = optimizer.update(gradient, state)
            return (optax.apply_updates(params, updates), state), now

        return jax.lax.scan(step, (params, state), jax.random.split(jax.random.key(1), 40))

    losses = np.asarray(steps(params, jax.jit(optimizer.init)(params))[1])
    assert np.mean(losses[-5:]) < 0.6 * losses[0]
