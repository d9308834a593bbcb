"""The ear: a word's samples in, an embedding out.

Cepstra of 32 bands (MFCC), each less its mean over the word, which takes away the microphone, the
room's colour and much of the voice (cepstral mean normalisation, Atal 1974), then a CNN. The level
counts as little: energies are taken against the loudest moment and end 50 dB below it.
"""

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from fdigits import voices
from fdigits.models.layers import EPSILON, MOMENTUM, Conv, ConvBlock, Dropout, watch

RATE = 8_000  # Hz
WINDOW, SHIFT, POINTS = 400, 200, 512  # samples: 50 ms every 25 ms; of the transform
BANDS, COEFFICIENTS = 32, 16
LOWEST, HIGHEST = 60.0, 4_000.0  # Hz
EMPHASIS = 0.9  # of the sample before, taken away: high frequencies count more
FLOOR = 1e-5  # of the loudest moment's power, over all bands: -50 dB
QUIET = 10**-4.5  # of the same: what is below is no part of the word
MASKS = (8, 5)  # frames at most, of the two stretches of time that training blanks
BAND_MASK = 0.25  # of the coefficients at most
# Speeds and voices that a word is heard at in use, besides as it is. Gain, mean of five trainings:
# strangers 0.5 points (-0.5 to 1.6), Speech Commands 2.2 (1 to 3); results/strangers has others.
AGAIN = ((0.87, 1.0), (1.15, 1.0), (1.0, 0.9), (1.0, 1.1))


def mel_filters(bands: int = BANDS, points: int = POINTS) -> np.ndarray:
    """`[points // 2 + 1, bands]`: triangles of area 1 Hz on Slaney's Mel scale, as librosa's."""
    edges = _hertz(np.linspace(_mel(LOWEST), _mel(HIGHEST), bands + 2))
    hz = np.fft.rfftfreq(points, 1 / RATE)[:, None]
    low, middle, high = edges[:-2], edges[1:-1], edges[2:]
    rising, falling = (hz - low) / (middle - low), (high - hz) / (high - middle)
    triangle = np.maximum(0, np.minimum(rising, falling))
    return (triangle * 2 / (high - low)).astype(np.float32)


_BEND, _STEP = 1_000.0, np.log(6.4) / 27  # Slaney's scale: linear, then logarithmic


def _mel(hz):
    return np.where(hz < _BEND, 3 * hz / 200, 15 + np.log(np.maximum(hz, _BEND) / _BEND) / _STEP)


def _hertz(mel):
    return np.where(mel < 15, 200 * mel / 3, _BEND * np.exp(_STEP * (mel - 15)))


def cosines(bands: int = BANDS, coefficients: int = COEFFICIENTS) -> np.ndarray:
    """`[bands, coefficients]`: the orthonormal DCT-II."""
    k, band = np.arange(coefficients), np.arange(bands)[:, None]
    scale = np.sqrt(np.where(k, 2, 1) / bands)
    return (scale * np.cos(np.pi * k * (2 * band + 1) / (2 * bands))).astype(np.float32)


def band_powers(word_BxT: jax.Array) -> jax.Array:
    """Power in each band of each window: `[B, 10000]` -> `[B, 49, 32]`."""
    before = jnp.pad(word_BxT, ((0, 0), (1, 0)))[:, :-1]
    emphasised = word_BxT - EMPHASIS * before
    blocks = emphasised.reshape(len(word_BxT), -1, SHIFT)
    windows = jnp.concatenate([blocks[:, :-1], blocks[:, 1:]], -1)  # WINDOW is 2 SHIFT
    windowed = windows * np.hanning(WINDOW + 1)[:-1].astype(np.float32)
    return jnp.square(jnp.abs(jnp.fft.rfft(windowed, POINTS))) @ mel_filters()


def cepstra(word_BxT: jax.Array) -> jax.Array:
    """`[B, 10000]` -> `[B, 49, 16]`: 0 where it is quiet, and on average over the rest."""
    cepstrum, loud = coloured_cepstra(word_BxT)
    mean = (cepstrum * loud).sum(1, keepdims=True) / jnp.maximum(loud.sum(1, keepdims=True), 1)
    return (cepstrum - mean) * loud


def coloured_cepstra(word_BxT: jax.Array) -> tuple[jax.Array, jax.Array]:
    """`[B, 49, 16]` with their mean over the word, and `[B, 49, 1]`: 1 where it is loud, else 0."""
    power = band_powers(word_BxT)
    total = power.sum(-1, keepdims=True)
    loudest = total.max(1, keepdims=True) + 1e-9
    cepstrum = jnp.log(power / loudest + FLOOR / BANDS) @ cosines()
    return cepstrum, (total > QUIET * loudest).astype(power.dtype)


def masked(x_BxTxC: jax.Array, key: jax.Array) -> jax.Array:
    """SpecAugment (Park et al. 2019): two stretches of time and one of coefficients become 0."""
    _, frames, coefficients = x_BxTxC.shape
    keys = jax.random.split(key, 3)
    for own, widest in zip(keys, MASKS, strict=False):
        x_BxTxC = x_BxTxC * _gap(own, len(x_BxTxC), frames, widest)[:, :, None]
    gap = _gap(keys[2], len(x_BxTxC), coefficients, BAND_MASK * coefficients)
    return x_BxTxC * gap[:, None]


def heard_again(word_BxT: jax.Array) -> jax.Array:
    """`[B, T]` -> `[5 B, T]`: the words, then slower, faster, of a longer and a shorter throat."""
    again = [jax.vmap(lambda w, c=change: voices.stretched(w, *c))(word_BxT) for change in AGAIN]
    return jnp.concatenate([word_BxT, *again])


def _gap(key, rows, size, widest):
    """`[rows, size]`: ones, but for a stretch of up to `widest` zeros."""
    width, place = jax.random.uniform(key, (2, rows, 1))
    start = place * (size - width * widest)
    i = jnp.arange(size)
    return ((i < start) | (i >= start + width * widest)).astype(jnp.float32)


class NormConv(nn.Module):
    """3 x 3 convolution, BatchNorm, ReLU: `[B, H, W, C]` -> `[B, H, W, features]`."""

    features: int

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        x = Conv(self.features, (3, 3))(x)
        norm = nn.BatchNorm(use_running_average=not train, momentum=MOMENTUM, epsilon=EPSILON)
        return watch(self, nn.relu(norm(x)))


class WordEncoder(nn.Module):
    """Cepstra, pairs of 3 x 3 convolutions, maximum and mean: `[B, 10000]` -> `[B, 2 C]`.

    Each pair doubles the channels and ends with 2 x 2 max pooling; one more convolution of C, the
    last pair's, follows. In training the cepstra are `masked`. In use the embedding is the mean
    over the word and its changed copies (`heard_again`).
    """

    filters: tuple[int, ...] = (32, 64, 128)
    dropout: float = 0.3

    @nn.compact
    def __call__(self, word: jax.Array, train: bool) -> jax.Array:
        samples = word.astype(jnp.float32)
        x = cepstra(samples if train else heard_again(samples))
        if train:
            x = masked(x, self.make_rng("dropout"))
        x = x[..., None].astype(word.dtype)
        for filters in self.filters:
            x = ConvBlock(filters)(NormConv(filters)(x, train), train)
        x = NormConv(self.filters[-1])(x, train)
        x = jnp.concatenate([x.max((1, 2)), x.mean((1, 2))], -1)
        if not train:
            x = x.reshape(-1, len(word), x.shape[-1]).mean(0)
        return Dropout(self.dropout)(x, train)
