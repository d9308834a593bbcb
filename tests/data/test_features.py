import warnings

import librosa
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import fft

from fdigits.data import features
from fdigits.data.corpus import Recordings
from fdigits.data.features import (
    colour,
    frames,
    mean_mfcc,
    mfcc,
    padded,
    smoothed,
    spectrogram,
)
from fdigits.errors import UserError


def word(rate: int, seconds: float = 0.5, seed: int = 0) -> np.ndarray:
    """A few gliding tones below 3 kHz under a hump: the same sound at every rate."""
    rng = np.random.default_rng(seed)
    time = np.arange(int(rate * seconds)) / rate
    tones = sum(
        np.sin(2 * np.pi * (start + glide * time) * time) / (i + 1)
        for i, (start, glide) in enumerate(rng.uniform([100, 0], [2500, 400], (6, 2)))
    )
    return (0.1 * tones * np.sin(np.pi * time / seconds) ** 0.3).astype(np.float32)


def recordings(signals: list[np.ndarray], rate: int) -> Recordings:
    n = len(signals)
    ids = np.array([f"w{i}" for i in range(n)])
    return Recordings(signals, rate, np.zeros(n, np.int32), ids, np.full(n, ""), np.full(n, ""))


def test_by_hand():
    """Framing, window, spectrum, Mel bands, logarithm and cosine transform written out."""
    signal = word(16_000, 0.8) + np.float32(0.01)
    signal_16k = signal - signal.mean()
    energy = np.cumsum(signal_16k.astype(np.float64) ** 2)
    first = np.flatnonzero(energy >= 0.02 * energy[-1])[0] + 1
    last = np.flatnonzero(energy >= 0.98 * energy[-1])[0] + 1
    second = np.zeros(16_000)
    offset = 8_000 - (first + last) // 2
    second[offset : offset + len(signal)] = signal_16k

    frames = np.stack([second[400 * i : 400 * i + 800] for i in range(39)])
    power_of_frames = (frames**2).mean(1)
    loudest = power_of_frames.max()
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(800) / 800)
    power = np.abs(np.fft.rfft(frames / np.sqrt(loudest) * hann)) ** 2 / hann.sum() ** 2

    def to_mel(hertz):  # Slaney: linear to 1 kHz, then 27 steps an octave-and-a-bit (6.4)
        hertz = np.asarray(hertz, float)
        above = 15 + np.log(np.maximum(hertz, 1) / 1000) * 27 / np.log(6.4)
        return np.where(hertz < 1000, hertz * 3 / 200, above)

    grid = np.arange(401) * 20.0
    mels = np.linspace(0, to_mel(4000), 28)
    edges = np.where(mels < 15, mels * 200 / 3, 1000 * np.exp((mels - 15) * np.log(6.4) / 27))
    bands = np.stack(
        [
            np.clip(np.minimum((grid - a) / (b - a), (c - grid) / (c - b)), 0, None)
            for a, b, c in zip(edges, edges[1:], edges[2:], strict=False)
        ]
    )
    log_power = np.log(np.maximum(power @ bands.T, 1e-5))
    k, n = np.arange(26)[:, None], np.arange(26)[None]
    cosine = np.cos(np.pi * k * (2 * n + 1) / 52) * np.sqrt(2 / 26)
    expected = np.concatenate(
        [
            (log_power @ cosine.T)[:, 1:13],
            np.log(np.maximum(power_of_frames / loudest, 1e-5))[:, None],
        ],
        axis=1,
    )
    np.testing.assert_allclose(mfcc(signal, 16_000), expected, atol=2e-3)


def test_agrees_with_librosa_and_scipy():
    second = features.one_second(features.prepared(word(16_000), 16_000))
    spectrum = np.abs(librosa.stft(second, n_fft=800, hop_length=400, window="hann", center=False))
    bands = librosa.filters.mel(sr=16_000, n_fft=800, n_mels=26, fmax=4_000, norm=None)
    frames = librosa.util.frame(second, frame_length=800, hop_length=400)
    loudest = (frames.astype(np.float64) ** 2).mean(0).max()
    log_power = np.log(np.maximum(bands @ spectrum**2 / loudest / 400**2, features.FLOOR))
    expected = fft.dct(log_power, axis=0, norm="ortho")[1:13].T
    np.testing.assert_allclose(mfcc(word(16_000), 16_000)[:, :12], expected, atol=2e-3)


@pytest.mark.parametrize("rate", [8_000, 22_050, 48_000])
def test_rates_agree(rate):
    difference = np.abs(mfcc(word(rate), rate) - mfcc(word(16_000), 16_000))
    assert np.median(difference) < 0.02
    assert np.quantile(difference, 0.95) < 0.6  # edges of the word, near the floor


def test_level_and_offset_do_not_matter():
    signal = word(8_000)
    np.testing.assert_allclose(mfcc(0.05 * signal + 0.2, 8_000), mfcc(signal, 8_000), atol=2e-2)
    assert mfcc(signal, 8_000)[:, 12].max() == 0  # the loudest window


def test_silence_around_the_word_does_not_matter():
    signal = word(16_000)
    signal -= signal.mean()
    padded = np.concatenate([np.zeros(9_000, np.float32), signal, np.zeros(30_000, np.float32)])
    np.testing.assert_allclose(mfcc(padded, 16_000), mfcc(signal, 16_000), atol=2e-2)


def test_one_second_of_a_long_recording_holds_its_loudest_part():
    long = np.zeros(40_000, np.float32)
    long[2_000:4_000] = 0.2
    long[25_000:29_000] = 1
    second = features.one_second(long)
    assert second.shape == (16_000,)
    assert (second == 1).sum() == 4_000
    middle = np.flatnonzero(second == 1).mean()
    assert abs(middle - 8_000) < 2


@pytest.mark.parametrize("samples", [1, 7, 399, 16_000, 16_001, 50_000])
def test_silence_and_any_length_are_finite(samples):
    for signal in (np.zeros(samples, np.float32), np.full(samples, 0.3, np.float32)):
        found = mfcc(signal, 16_000)
        assert found.shape == (39, 13)
        assert found.dtype == np.float32
        assert np.isfinite(found).all()


@pytest.mark.parametrize("feature", [mfcc, spectrogram, frames, mean_mfcc])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_bad_samples_name_the_recording(bad, feature):
    signals = [word(8_000), word(8_000)]
    signals[1][100] = bad
    with pytest.raises(UserError, match="recording w1: holds NaN or infinite samples"):
        features.extract(recordings(signals, 8_000), feature=feature)


@pytest.mark.parametrize("feature", [mfcc, spectrogram, frames, mean_mfcc])
@pytest.mark.parametrize("signal", [np.zeros(0), np.zeros((100, 2))])
def test_no_samples_and_two_channels_are_refused(signal, feature):
    with pytest.raises(UserError, match="recording"):
        feature(signal, 8_000)


@pytest.mark.parametrize("feature", [mfcc, spectrogram, frames])
def test_many_in_parallel_equal_each_alone(feature):
    signals = [word(8_000, 0.1, seed) for seed in range(7)] * 45
    found = features.extract(recordings(signals, 8_000), progress=False, feature=feature)
    assert len(found) == 315
    for i in (0, 6, 308):
        alone = feature(signals[i], 8_000)
        alone = padded([alone], found.shape[1])[0] if feature is frames else alone
        np.testing.assert_array_equal(found[i], alone)
        assert found.dtype == alone.dtype


@pytest.mark.parametrize("feature", [mfcc, spectrogram, frames])
def test_no_recordings_are_refused(feature):
    with pytest.raises(UserError, match=f"no recordings to make {feature.__name__} of"):
        features.extract(recordings([], 8_000), feature=feature)


def test_frames_by_hand():
    """Framing, window, Mel bands, decibels and cosine transform of librosa's own pieces."""
    signal = word(8_000, 0.3) + np.float32(0.01)
    centred = signal - signal.mean()
    windows = np.stack([centred[i : i + 120] for i in range(0, len(centred) - 119, 60)])
    levelled = centred / np.sqrt((windows.astype(np.float64) ** 2).mean(1).max())
    around = np.pad(levelled, 60)
    pieces = np.stack([around[i : i + 120] for i in range(0, len(around) - 119, 60)])
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(120) / 120)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        bands = librosa.filters.mel(sr=8_000, n_fft=120, n_mels=128)
    power = np.abs(np.fft.rfft(pieces * hann)) ** 2 @ bands.T
    decibels = 10 * np.log10(np.maximum(power, 1e-10))
    expected = fft.dct(np.maximum(decibels, decibels.max() - 80), norm="ortho")[:, :13]
    found = frames(signal, 8_000)
    assert (found.shape, found.dtype) == ((1 + len(signal) // 60, 13), np.float32)
    np.testing.assert_allclose(found, expected, atol=0.02)


def test_frames_take_every_rate_and_no_level_or_offset():
    signal = word(8_000)
    expected = frames(signal, 8_000)
    np.testing.assert_allclose(frames(0.05 * signal + 0.2, 8_000), expected, atol=0.5)
    for rate in (16_000, 48_000):
        found = frames(word(rate), rate)
        assert found.shape == expected.shape
        assert np.median(np.abs(found - expected)) < 2  # of some hundred decibels


@pytest.mark.parametrize("samples", [1, 59, 119, 120, 50_000])
def test_frames_of_silence_and_of_any_length_are_finite(samples):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for signal in (np.zeros(samples), np.full(samples, 0.3)):
            found = frames(signal, 8_000)
            assert found.shape == (1 + max(samples, 120) // 60, 13)
            assert np.isfinite(found).all()


@given(st.lists(st.integers(1, 9), min_size=1, max_size=6), st.integers(0, 12))
def test_padding_keeps_what_fits_and_marks_it(lengths, length):
    items = [np.full((n, 13), n, np.float32) for n in lengths]
    found = padded(items, length)
    total = length or max(lengths)
    assert (found.shape, found.dtype) == ((len(items), total, 14), np.float32)
    for n, row in zip(lengths, found, strict=True):
        kept = min(n, total)
        assert (row[:kept, :-1] == n).all() and (row[:kept, -1] == 1).all()
        assert not row[kept:].any()


def test_means_are_librosas_of_the_levelled_recording():
    signal = word(16_000) + np.float32(0.02)
    windows = np.lib.stride_tricks.sliding_window_view(signal - signal.mean(), 800)[::400]
    level = np.sqrt(np.square(windows, dtype=np.float64).mean(1).max())
    samples = ((signal - signal.mean()) / level).astype(np.float32)
    expected = librosa.feature.mfcc(y=samples, sr=16_000, n_mfcc=40, fmax=4_000).mean(1)
    found = mean_mfcc(signal, 16_000)
    assert found.shape == (40,) and found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(mean_mfcc(7 * signal - 3, 16_000), found, rtol=1e-2, atol=1e-2)
    for silence in (np.zeros(3), np.zeros(900)):
        assert np.isfinite(mean_mfcc(silence, 8_000)).all()


def test_what_describes_shipped_mfcc_are_means_and_deviations_of_the_sound():
    rng = np.random.default_rng(0)
    heard = rng.normal(size=(2, 39, 13)).astype(np.float32)
    heard[..., -1] = np.log(features.FLOOR)
    heard[0, 5:20, -1] = rng.uniform(-5, 0, 15)  # the second is silent
    found = features.described(heard)
    sound = np.roll(heard[0, 5:20], 1, axis=1)  # the energy first, in the place of coefficient 0
    assert found.shape == (2, 40) and found.dtype == np.float32 and not found[:, 26:].any()
    np.testing.assert_allclose(found[0, :13], sound.mean(0), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found[0, 13:26], sound.std(0), rtol=1e-4, atol=1e-5)
    assert not found[1, 13:].any()  # one frame


def test_sounding_frames_of_silence_and_of_a_word_with_a_pause():
    signal = word(16_000, 0.3)
    paused = np.concatenate([signal, np.zeros(4_000, np.float32), signal])
    heard = np.stack([mfcc(np.zeros(16_000), 16_000), mfcc(paused, 16_000)])
    found = features.sounding(heard)
    assert found[0, :, -1].sum() == 1
    assert found[1, :, -1].all()
    assert 0.85 * 40 - 3 <= found.shape[1] <= 0.85 * 40 + 3
    assert (found[1, :, 0] == heard[1, :, -1].min()).any()  # the pause is kept


def tone(hertz: float, seconds: float, rate: int = 16_000) -> np.ndarray:
    return np.sin(2 * np.pi * hertz * np.arange(round(rate * seconds)) / rate)


def nearest_row(hertz: float) -> int:
    middles = librosa.mel_frequencies(130, fmin=0, fmax=4_000)[1:-1]
    return 127 - int(np.argmin(np.abs(middles - hertz)))


@pytest.mark.parametrize(("low", "high"), [(150, 3_800), (440, 1_200), (990, 2_000)])
def test_a_tone_stands_at_its_frequency_and_time(low, high):
    """A low tone of .2 s, then a high one; the word's middle is the picture's."""
    picture = spectrogram(np.concatenate([tone(low, 0.2), tone(high, 0.2)]), 16_000)
    assert (picture.shape, picture.dtype) == ((128, 128), np.uint8)
    first, second = slice(42, 60), slice(68, 86)  # of 38.4 to 64 and 64 to 89.6, less the window
    assert abs(np.median(picture[:, first].argmax(0)) - nearest_row(low)) <= 1
    assert abs(np.median(picture[:, second].argmax(0)) - nearest_row(high)) <= 1
    assert not picture[:, :35].any() and not picture[:, 93:].any()


def test_the_bands_of_a_loud_tone_have_all_its_power():
    picture = spectrogram(tone(700, 1), 16_000)[:, 30:98].astype(float)
    power = 10 ** ((picture / 255 - 1) * -features.QUIETEST / 10) * (picture > 0)
    np.testing.assert_allclose(power.sum(0), 1, atol=0.03)


def test_a_chirp_rises():
    time = np.arange(16_000) / 16_000
    chirp = np.sin(2 * np.pi * (200 + 1_700 * time) * time)  # 200 to 3,600 Hz
    rows = spectrogram(chirp, 16_000)[:, 3:-3].argmax(0)
    assert (np.diff(rows) <= 0).all()
    assert abs(rows[0] - nearest_row(280)) <= 3 and abs(rows[-1] - nearest_row(3_520)) <= 3


def test_backwards_is_the_mirror_image():
    signal = word(16_000)
    signal -= signal.mean()
    mirrored = spectrogram(signal[::-1], 16_000)[:, ::-1].astype(int)
    assert np.abs(mirrored - spectrogram(signal, 16_000)).mean() < 0.5


def test_level_offset_rate_and_silence_around_do_not_matter_to_pictures():
    signal = word(8_000)
    expected = spectrogram(signal, 8_000).astype(int)
    centred = signal - signal.mean()
    for other in (
        spectrogram(0.05 * signal + 0.2, 8_000),
        spectrogram(300 * signal, 8_000),
        spectrogram(np.pad(centred, (4_000, 9_000)), 8_000),
    ):
        assert np.abs(other - expected).max() <= 2
    assert np.mean(spectrogram(word(48_000), 48_000) != expected) < 0.1  # the edges ring


@pytest.mark.parametrize("samples", [1, 399, 16_000, 50_000])
def test_silence_is_black(samples):
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # of Mel bands without a bin
        for signal in (np.zeros(samples), np.full(samples, 0.3)):
            assert not spectrogram(signal, 16_000).any()


def test_colour_loses_nothing():
    import jax.numpy as jnp

    intensity = np.arange(256, dtype=np.uint8).reshape(16, 16)
    colours = colour(intensity)
    assert (colours.shape, colours.dtype) == ((16, 16, 3), np.uint8)
    np.testing.assert_array_equal(colours.sum(-1, dtype=int), 3 * intensity.astype(int))
    assert (np.diff(colours.reshape(256, 3).astype(int), axis=0) >= 0).all()
    assert colours[5, 5].tolist() == [255, 0, 0]  # 85
    assert colours[10, 10].tolist() == [255, 255, 0]  # 170
    np.testing.assert_array_equal(colour(jnp.asarray(intensity)), colours)


def blocks(pictures: np.ndarray) -> np.ndarray:
    """[N, 128, 128] -> [N, 32, 32] means: about what 26 bands and 39 frames tell."""
    return pictures.reshape(-1, 32, 4, 32, 4).mean((2, 4))


def test_smoothed_pictures_resemble_the_recordings_own():
    signals = [word(16_000, 0.5, seed) for seed in range(8)]
    own = blocks(np.stack([spectrogram(signal, 16_000) for signal in signals]))
    found = smoothed(np.stack([mfcc(signal, 16_000) for signal in signals]))
    assert (found.shape, found.dtype) == ((8, 128, 128), np.uint8)
    for one, other in zip(own, blocks(found), strict=True):
        assert np.corrcoef(one.ravel(), other.ravel())[0, 1] > 0.7  # lone tones have no formants


def test_smoothed_noise_has_the_level_of_its_picture():
    """Noise has no harmonics that 26 bands could miss."""
    noise = np.random.default_rng(0).normal(size=(12, 16_000))
    own = np.stack([spectrogram(one, 16_000) for one in noise])[:, 8:, 8:-8].mean()
    found = smoothed(np.stack([mfcc(one, 16_000) for one in noise]))[:, 8:, 8:-8].mean()
    below_4_khz = 255 * 10 * np.log10(2) / -features.QUIETEST  # the energy term counts all
    assert abs(found - below_4_khz - own) < 13  # 2.5 dB, the mean logarithm of a narrow band


def test_smoothed_silence_is_black():
    silence = mfcc(np.zeros(16_000, np.float32), 16_000)
    assert not smoothed(silence[None]).any()
    assert smoothed(np.empty((0, 39, 13), np.float32)).shape == (0, 128, 128)


@pytest.mark.real
def test_smoothed_pictures_resemble_those_of_real_recordings(real_data):
    from fdigits.data.corpora import fsdd

    held = fsdd.read(fsdd.find(real_data))
    rows = range(0, 3_000, 60)
    own = blocks(np.stack([spectrogram(held.signal[i], held.rate) for i in rows]))
    found = blocks(smoothed(np.stack([mfcc(held.signal[i], held.rate) for i in rows])))
    alike = [np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in zip(own, found, strict=True)]
    assert np.median(alike) > 0.92
    assert np.min(alike) > 0.8
