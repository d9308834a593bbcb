import librosa
import numpy as np
import pytest
from scipy import fft

from fdigits.data import features
from fdigits.data.corpus import Recordings
from fdigits.data.features import mfcc
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


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_bad_samples_name_the_recording(bad):
    signals = [word(8_000), word(8_000)]
    signals[1][100] = bad
    with pytest.raises(UserError, match="recording w1: holds NaN or infinite samples"):
        features.extract(recordings(signals, 8_000))


@pytest.mark.parametrize("signal", [np.zeros(0), np.zeros((100, 2))])
def test_no_samples_and_two_channels_are_refused(signal):
    with pytest.raises(UserError, match="recording"):
        mfcc(signal, 8_000)


def test_many_in_parallel_equal_each_alone():
    signals = [word(8_000, 0.1, seed) for seed in range(7)] * 45
    found = features.extract(recordings(signals, 8_000), progress=False)
    assert found.shape == (315, 39, 13)
    for i in (0, 6, 308):
        np.testing.assert_array_equal(found[i], mfcc(signals[i], 8_000))
