"""Augmentations of spoken words: a batch and a key in, a batch out, as `augment` for pictures.

A word is 1.25 s at 8 kHz, `[10000]`, within ±1, in the middle, with zeros around it. What is made
of it sounds as if another person said it in another room, through another microphone.

Every function takes `(word_BxT, key, strength)`: float32; one key, or one for each word; one
strength within 0..1, or one for each word. It returns the same shape, within ±1. Strength scales
the magnitudes, in `combined` instead the probability of each; 0 returns the very input. A word's
draws depend on nothing but its own key, which is `fold_in(key, row)` if there is one key only.

Room, microphone and noise are products and sums of spectra, so that `combined` needs three
transforms in all.
"""

import jax
import jax.numpy as jnp
import numpy as np

from fdigits.augment import over_batch
from fdigits.noise import gaussian

RATE = 8_000  # Hz
SPEED = np.log(1.28)  # times 0.78 to 1.28, pitch and tempo together
VOICE = np.log(1.2)  # formants and pitch times 0.83 to 1.2, the tempo kept
SHIFT = 0.06  # seconds, either way
BEFORE, AFTER = (-0.08, 0.2), (-0.03, 0.4)  # seconds of room around a word that stay; < 0: lost
KNOCK = 0.5  # of the word's peak, at most: a button or a lip
SNR = (3.0, 35.0)  # dB, against a word's mean power over `SPOKEN`
SPOKEN = 0.35  # seconds: a word's loud part
DECAY = (0.05, 0.5)  # seconds in which a room's sound falls by 60 dB
ECHO = (-18.0, 3.0)  # dB, of all reflections against the direct sound
LOW, HIGH = (20.0, 400.0), (2200.0, 4000.0)  # Hz, where a microphone's band begins and ends
TILT = 6.0  # dB an octave, either way
CLIP = (0.08, 1.0)  # of the peak, log-uniform

_HOP = 160  # samples between the pieces that `voice` puts together
_POINTS = 16_384  # of the transforms
_HZ = np.fft.rfftfreq(_POINTS, 1 / RATE).astype(np.float32)
_REFLECTIONS = 4_000  # samples


def _between(key, low_high, shape=()):
    return jax.random.uniform(key, shape, minval=low_high[0], maxval=low_high[1])


def _within(key, limit):
    return _between(key, (-limit, limit))


def _spectrum(word):
    return jnp.fft.rfft(word, _POINTS)


def _sound(spectrum, size):
    return jnp.fft.irfft(spectrum, _POINTS)[:size]


def _energy(spectrum):
    return 2 * jnp.square(jnp.abs(spectrum)).sum() / _POINTS


def _read(word, place):
    """Linear values at the places `[T]` in samples; 0 outside."""
    whole = jnp.floor(place).astype(jnp.int32)
    part = place - whole
    a, b = (word.at[whole + i].get(mode="fill", fill_value=0) for i in (0, 1))
    inside = (whole >= 0) & (whole < len(word))  # a negative index counts from the end
    return jnp.where(inside, a * (1 - part) + b * part, 0.0)


def stretched(word, speed, voice):
    """Tempo times `speed`, pitch and formants times `speed * voice`, about the middle.

    Overlapping pieces of 40 ms, each read at the one rate, their middles placed at the other.
    """
    size = len(word)
    t = np.arange(size, dtype=np.float32) - size / 2
    before = np.floor(t / _HOP) * _HOP
    fade = (0.5 - 0.5 * np.cos(np.pi * (t - before) / _HOP)).astype(np.float32)

    def piece(middle):
        return _read(word, size / 2 + middle * speed + (t - middle) * speed * voice)

    return piece(before) * (1 - fade) + piece(before + _HOP) * fade


def _moved(word, samples):
    return _read(word, jnp.arange(len(word)) - jnp.round(samples))


def _ends(word):
    """First and last sample that is not silent."""
    loud = jnp.abs(word) > 1e-4
    return jnp.argmax(loud), len(word) - 1 - jnp.argmax(loud[::-1])


def _trimmed(word, first, last):
    """Zeros before `first` and after `last`."""
    t = jnp.arange(len(word))
    return jnp.where((t >= first) & (t <= last), word, 0.0)


def _speed(word, key, strength):
    """Faster and higher or slower and lower, as a tape: by up to e^±`SPEED * strength`."""
    speed = jnp.exp(strength * _within(key, SPEED))
    return jnp.where(strength > 0, stretched(word, speed, 1.0), word)


def _voice(word, key, strength):
    """Another vocal tract and pitch at the same tempo: by up to e^±`VOICE * strength`."""
    voice = jnp.exp(strength * _within(key, VOICE))
    return jnp.where(strength > 0, stretched(word, 1.0, voice), word)


def _place(word, key, strength):
    """Moves by up to `SHIFT * strength` seconds."""
    return _moved(word, strength * _within(key, SHIFT * RATE))


def _room_gain(key, strength):
    """Spectrum of a room: the direct sound, then noise that dies away.

    Its decay is log-uniform within `DECAY`; the reflections' power is times `strength`.
    """
    keys = jax.random.split(key, 3)
    seconds = jnp.exp(_between(keys[0], np.log(DECAY)))
    fall = jnp.exp(-np.log(1e3) / RATE * np.arange(_REFLECTIONS) / seconds)
    tail = gaussian(keys[1], (_REFLECTIONS,)) * fall
    level = 10 ** (_between(keys[2], ECHO) / 20)
    return 1 + strength * level * _spectrum(tail / jnp.linalg.norm(tail))


def _band_gain(key, strength):
    """Gains of a microphone: a band within `LOW` and `HIGH`, 24 dB an octave, and a tilt."""
    keys = jax.random.split(key, 3)
    low = jnp.exp(_between(keys[0], np.log(LOW)))
    high = jnp.exp(_between(keys[1], np.log(HIGH)))
    hz = jnp.maximum(_HZ, 10.0)
    loss = jnp.log1p((low / hz) ** 8) + jnp.log1p((hz / high) ** 8)  # twice the logarithm
    octaves = np.log2(np.maximum(_HZ, 100.0) / 1000)
    tilt = _within(keys[2], TILT) * octaves * (np.log(10) / 20)
    return jnp.exp(strength * (tilt - loss / 2))


def _noise_spectrum(spectrum, key, strength):
    """Noise for a word of this spectrum: white to brown, and as much of speech's own colour."""
    keys = jax.random.split(key, 4)
    real, imaginary = gaussian(keys[0], (2, len(_HZ)))
    power = _between(keys[1], (0.0, 1.0))
    colour = jnp.maximum(_HZ, 60.0) ** -power
    blocks = jnp.abs(spectrum[:-1]).reshape(64, -1).mean(1)
    spoken = jnp.append(jnp.repeat(blocks, (len(_HZ) - 1) // 64), blocks[-1])
    mix = _between(keys[2], (0.0, 1.0))
    gain = colour / jnp.linalg.norm(colour) * (1 - mix)
    gain += mix * spoken / (jnp.linalg.norm(spoken) + 1e-9)
    noise = gain * jax.lax.complex(real, imaginary)
    level = 10 ** (-_between(keys[3], SNR) / 20) * strength
    wanted = _energy(spectrum) * (_POINTS / (SPOKEN * RATE))
    return noise * level * jnp.sqrt(wanted / (_energy(noise) + 1e-12))


def _in_spectrum(change):
    """An augmentation of the word by `change(spectrum, key, strength)`, within its own ends."""

    def one(word, key, strength):
        first, last = _ends(word)
        changed = _sound(change(_spectrum(word), key, strength), len(word))
        return _limited(jnp.where(strength > 0, _trimmed(changed, first, last), word))

    return one


def _limited(word):
    """Within ±1, by its level where it is louder."""
    return word / jnp.maximum(jnp.abs(word).max(), 1.0)


def _clip(word, key, strength):
    """Too loud for the recorder: cut at a share of its peak within `CLIP`."""
    share = jnp.exp(strength * _between(key, np.log(CLIP)))
    peak = jnp.abs(word).max()
    return jnp.clip(word, -share * peak, share * peak)


def _edges(word, key, strength):
    """Recorded too late or too long, with a knock: within `BEFORE`, `AFTER` and `KNOCK`."""
    return _edged(word, *_ends(word), key, strength)


def _edged(word, first, last, key, strength):
    keys = jax.random.split(key, 6)
    before = strength * RATE * _between(keys[0], BEFORE)
    after = strength * RATE * _between(keys[1], AFTER)
    knock = strength * KNOCK * jax.random.uniform(keys[2]) * jax.random.bernoulli(keys[3], 0.3)
    since = jnp.arange(len(word)) - first + before - _within(keys[4], 0.05 * RATE)
    ring = jnp.cos(since * _between(keys[5], (0.1, 2.5))) * jnp.exp(-jnp.abs(since) / 40)
    knocked = word + knock * jnp.abs(word).max() * jnp.where(since >= 0, ring, 0.0)
    edged = _limited(_trimmed(knocked, first - before, last + after))
    return jnp.where(strength > 0, edged, word)


def _pieces(word, key):
    """The word's pieces of 50 ms in a random order, half of them backwards."""
    keys, size = jax.random.split(key), 400
    piece_PxS = word.reshape(-1, size)
    spoken = jnp.abs(piece_PxS).max(1) > 1e-4
    order = jnp.argsort(jnp.where(spoken, jax.random.uniform(keys[0], spoken.shape), 2.0))
    shuffled = piece_PxS[order]
    turned = jax.random.bernoulli(keys[1], 0.5, (len(order), 1))
    shuffled = jnp.where(turned, shuffled[:, ::-1], shuffled).ravel()
    return jnp.roll(shuffled, (len(word) - size * spoken.sum()) // 2)


def _part(word, key):
    """A quarter of the word, from anywhere in it."""
    first, last = _ends(word)
    length = (last - first) / 4
    start = first + _between(key, (0.0, 3.0)) * length
    return _moved(_trimmed(word, start, start + length), len(word) / 2 - start - length / 2)


def _hiss(word, key):
    """Noise, white to brown."""
    keys = jax.random.split(key)
    real, imaginary = gaussian(keys[0], (2, len(_HZ)))
    colour = jnp.maximum(_HZ, 60.0) ** -_between(keys[1], (0.0, 1.5))
    noise = _sound(colour * jax.lax.complex(real, imaginary), len(word))
    return noise / (10 * jnp.std(noise))


def _tones(word, key):
    """One to six harmonics, 40 to 2000 Hz the lowest, that may glide: hum, whistles, music."""
    keys = jax.random.split(key, 4)
    hz = jnp.exp(_between(keys[0], np.log((40.0, 2000.0))))
    t = np.arange(len(word), dtype=np.float32) / RATE
    turns = hz * t * (1 + t * _within(keys[1], 0.2))
    number = np.arange(1, 7)
    amplitude = jax.random.uniform(keys[2], number.shape) * (number * hz < RATE / 2)
    amplitude *= number <= 1 + 6 * jax.random.uniform(keys[3])
    return 0.1 * amplitude @ jnp.sin(2 * np.pi * number[:, None] * turns)


def _clicks(word, key):
    """One to five knocks that ring for 2 to 30 ms."""
    keys = jax.random.split(key, 5)
    t = np.arange(len(word), dtype=np.float32) / RATE
    since = t - _between(keys[0], (0.1, 1.1), (5, 1))
    fall = jnp.exp(-since / _between(keys[1], (0.002, 0.03), (5, 1)))
    ring = jnp.sin(2 * np.pi * since * _between(keys[2], (100.0, 3000.0), (5, 1)))
    loud = jax.random.uniform(keys[3], (5, 1)) * jax.random.bernoulli(keys[4], 0.5, (5, 1))
    loud = loud.at[0].set(1.0)
    return 0.5 * (loud * jnp.where(since >= 0, fall * ring, 0.0)).sum(0) / 2


def _faint(word, key):
    """Silence but for the last bits of a converter."""
    return jnp.round(jax.random.uniform(key, word.shape)) / 32_768


_NOTHINGS = (_pieces, _part, _hiss, _tones, _clicks, _faint)


def _nothing(word, key, strength):
    keys = jax.random.split(key, 4)
    which = jax.random.randint(keys[0], (), 0, len(_NOTHINGS))
    sound = sum(jnp.where(which == i, make(word, keys[1]), 0.0) for i, make in enumerate(_NOTHINGS))
    length = jnp.exp(_between(keys[2], np.log((0.1, 1.25)))) * len(word) / 1.25
    middle = len(word) / 2
    cut = _trimmed(sound, middle - length / 2, middle + length / 2)
    sound = jnp.where(which >= 2, cut, sound)
    return jnp.where(strength > 0, _limited(sound), word)


def _combined(word, key, strength):
    """Each of the eight with probability `strength`, at full strength; clipping less often."""
    chosen, *keys = jax.random.split(key, 10)
    taken = jax.random.bernoulli(chosen, strength, (8,)).astype(jnp.float32)
    speed = jnp.exp(taken[0] * _within(keys[0], SPEED))
    voice = jnp.exp(taken[1] * _within(keys[1], VOICE))
    word = jnp.where(taken[:2].any(), stretched(word, speed, voice), word)
    first, last = _ends(word)
    spectrum = _spectrum(word) * _room_gain(keys[2], taken[2])
    spectrum = (spectrum + _noise_spectrum(spectrum, keys[3], taken[3])) * _band_gain(
        keys[4], taken[4]
    )
    heard = _sound(spectrum, len(word))
    heard = jnp.where(taken[5], heard, _trimmed(heard, first, last))
    heard = jnp.where(taken[2:5].any(), heard, word)
    word = _edged(heard, first, last, keys[5], taken[5])
    word = _clip(word, keys[6], taken[6] * jax.random.bernoulli(keys[7], 0.3))
    return _moved(word, taken[7] * _within(keys[8], SHIFT * RATE))


speed = over_batch(_speed)
voice = over_batch(_voice)
place = over_batch(_place)
room = over_batch(_in_spectrum(lambda s, key, strength: s * _room_gain(key, strength)))
band = over_batch(_in_spectrum(lambda s, key, strength: s * _band_gain(key, strength)))
noise = over_batch(_in_spectrum(lambda s, key, strength: s + _noise_spectrum(s, key, strength)))
clip = over_batch(_clip)
edges = over_batch(_edges)
combined = over_batch(_combined)
_no_digit = over_batch(_nothing)


def nothing(word_BxT: jax.Array, key: jax.Array) -> jax.Array:
    """Sounds that are no digit: pieces of the words, noise, tones, clicks, near silence."""
    return _no_digit(word_BxT, key, 1.0)


AUGMENTATIONS = dict(
    speed=speed,
    voice=voice,
    place=place,
    room=room,
    band=band,
    noise=noise,
    clip=clip,
    edges=edges,
    combined=combined,
)
