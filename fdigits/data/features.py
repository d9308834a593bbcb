"""Recordings as MFCC 39 x 13, as spectrogram pictures, frames of their own length or 40 means.

One recipe each for every corpus.

MFCC follow the Written and Spoken Digits Database.

The database (DOI 10.5281/zenodo.4452953) states: Google Speech Commands (one second at 16 kHz),
windows of 50 ms every 25 ms, 12 coefficients and an energy term, 39 frames. What it leaves open was
chosen by a support vector machine trained on FSDD (November 2026): accuracy with each of the six
speakers left out, mean; of equals, the one that serves 100 Speech Commands recordings better
(second figure). On a random split all are at .96 to .98.

- Rate: 16 kHz for all (800 and 400 samples as in the database); 8 kHz for all gives the same
  (.795 and .37; .796 and .36). Mel bands end at 4 kHz, all that FSDD's 8 kHz hold, so that
  corpora of every rate are comparable.
- Level: the loudest window has mean square 1, before the energy term: .764; by peak .759, by RMS of
  the second .757, not normalised .688.
- Floor: energies end 50 dB below that. The zeros around a trimmed recording and a room's noise
  otherwise lie far apart: floor -80 dB .764 and .12, -60 dB .775 and .19, -50 dB .767 and .22.
- Place: the middle of the word (2% to 98% of its energy) stands in the middle of the second: with
  the floor .796 and .36 (-60 dB: .797 and .28; -40 dB: .756 and .43).
- 26 Mel bands, Hann window: 20 and 32 bands, Hamming and HTK's Mel scale are within .01.

A plain CNN (R0's AudioNet_CNN, 1e-3, 15 to 25 epochs) trained on these features against the same
without centring and floor, level by RMS: .996 and .983 on a random 30% of FSDD, .907 and .807 on
speakers left out, .69 and .38 on the Speech Commands recordings (two seeds; six speakers, one).

Spectrogram pictures (R4, Problem 4B, which says only "128x128x3") take the second, the level and
the highest frequency from the MFCC, so that both hear the same; the rest was decided:

- Place: 128 frames, each the middle of its 1/128 s. FSDD's words last .42 s (median), so more than
  half of a picture is empty: the price of one time scale for all.
- Window: Hann, 32 ms (256 samples at FSDD's rate): tells harmonics apart from about 100 Hz up.
  Padded with zeros to 2048 samples, which gives the narrowest of 128 bands four bins of the
  transform; without, low bands share bins and a picture has stripes.
- Loudness: a band's power is its share of the window's mean square, shown from -55 dB (0; the
  MFCC's floor, spread over narrower bands) to 0 dB (255). The loudest harmonic of a recording of
  FSDD is at -3 to -11 dB, the median within a word at -39 dB.
- Colour: see `colour`; what R4's pictures looked like is unknown.

Frames (R4, Problem 1) are librosa's MFCC with 13 coefficients, the 0th included, of windows of
15 ms every 7.5 ms at 8 kHz, FSDD's own rate; corpora of other rates are brought to it. The paper
names nothing else, so librosa's defaults hold: windows around each moment, 128 Mel bands (33 of
them, too narrow for a window of 120 samples, stay at the floor), decibels down to 80 below the
loudest band. Two things the paper leaves as recorded, and fdigits does not, as both betray FSDD's
speakers:

- Offset: removed, as by the readers.
- Level: the loudest window has mean square 1, as for the others. The mean over a recording's frames
  (the paper's baseline), read by a support vector machine: .971 on a random 15% of FSDD and .483 on
  speakers left out, as recorded .969 and .435; the means of eight equal stretches: .991 and .790,
  as recorded .987 and .741. (26 bands instead of 128: .971 and .521; .987 and .821.)

Means (R2) are of librosa's first 40 MFCC at 16 kHz, over the whole recording. The paper names no
more, so librosa's defaults hold: windows of 128 ms every 32 ms, 128 Mel bands, decibels. Offset and
level are those of the others, and so is the highest frequency: up to 8 kHz, where FSDD has nothing,
a support vector machine has .977 (random sixths left out) and .497 (speakers left out), up to 4 kHz
.974 and .474; with windows of 32 ms every 8 ms .970 and .479.
"""

import itertools
import warnings
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from fdigits.data.corpus import COEFFICIENTS, FRAMES, MEANS, PICTURE, Recordings
from fdigits.errors import UserError

RATE = 16_000  # Hz
WINDOW, SHIFT = RATE // 20, RATE // 40  # samples: 50 ms, 25 ms
MEL_BANDS, HIGHEST = 26, 4_000  # Hz
FLOOR = 1e-5  # of the loudest window's mean square: -50 dB
QUIETEST = -55.0  # dB: black in a picture; white is 0 dB
FRAME_RATE = 8_000  # Hz
FRAME_WINDOW, FRAME_SHIFT = 120, 60  # samples: 15 ms, 7.5 ms
VERSION = 1  # of the MFCC: a new one makes prepared features anew
SPECTROGRAM_VERSION = 1  # of the pictures, likewise
FRAMES_VERSION = 1  # of the frames, likewise
MEAN_VERSION = 1  # of the means, likewise

_PICTURE_WINDOW, _PICTURE_FFT = 512, 2048  # samples
_MEAN_WINDOW = 2048  # samples, librosa's default
_AT_ONCE = 64  # recordings a worker takes
_FEW = 300  # recordings for which no worker is started


def mfcc(signal: np.ndarray, rate: int, name: str = "recording") -> np.ndarray:
    """MFCC of the word in `signal`.

    Args:
      signal: mono samples [T], any level.
      rate: samples per second.
      name: what errors call it.

    Returns:
      [39, 13] float32: coefficients 1 to 12, then the logarithm of the window's mean square.

    Raises:
      UserError: no samples, not mono, or NaN or infinite samples.
    """
    import librosa

    samples, energy = levelled(one_second(prepared(signal, rate, name)))
    power = _mel_power(samples, MEL_BANDS, n_fft=WINDOW, hop_length=SHIFT)
    power /= (WINDOW / 2) ** 2  # of the window's sum, so that the floor means the same for both
    cepstrum = librosa.feature.mfcc(S=np.log(np.maximum(power, FLOOR)), n_mfcc=COEFFICIENTS)
    features = np.empty((FRAMES, COEFFICIENTS), np.float32)
    features[:, :-1] = cepstrum[1:].T
    features[:, -1] = np.log(np.maximum(energy, FLOOR))
    return features


def spectrogram(signal: np.ndarray, rate: int, name: str = "recording") -> np.ndarray:
    """Log-Mel spectrogram of the word in `signal`, as a picture.

    Args:
      signal: mono samples [T], any level.
      rate: samples per second.
      name: what errors call it.

    Returns:
      [128, 128] uint8: row 0 is the highest of 128 Mel bands, column 0 the first of 128 moments of
      one second; 0 is -55 dB and less, 255 is 0 dB. Silence is 0.

    Raises:
      UserError: as `mfcc`.
    """
    samples, _ = levelled(one_second(prepared(signal, rate, name)))
    bands, frames = PICTURE
    hop = RATE // frames
    before = (_PICTURE_FFT - hop) // 2  # frame i has its middle at i + 1/2 hops
    around = np.pad(samples, (before, _PICTURE_FFT - hop - before))
    lengths = dict(n_fft=_PICTURE_FFT, win_length=_PICTURE_WINDOW, hop_length=hop)
    power = _mel_power(around, bands, **lengths)
    power *= 2 / (_PICTURE_FFT * 3 / 8 * _PICTURE_WINDOW)  # Parseval, and Hann's mean square
    return _picture(np.log(np.maximum(power, 1e-12)))


def frames(signal: np.ndarray, rate: int, name: str = "recording") -> np.ndarray:
    """MFCC of the whole of `signal`, as R4's Problem 1 takes them.

    Args:
      signal: mono samples [T], any level.
      rate: samples per second.
      name: what errors call it.

    Returns:
      [1 + T' // 60, 13] float32 of T' samples at 8 kHz (at least one window's 120): coefficients 0
      to 12. `padded` makes an item of a corpus of it.

    Raises:
      UserError: as `mfcc`.
    """
    import librosa

    samples = prepared(signal, rate, name, FRAME_RATE)
    samples = np.pad(samples, (0, max(0, FRAME_WINDOW - len(samples))))
    samples, _ = levelled(samples, FRAME_WINDOW, FRAME_SHIFT)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Empty filters")
        cepstrum = librosa.feature.mfcc(
            y=samples,
            sr=FRAME_RATE,
            n_mfcc=COEFFICIENTS,
            n_fft=FRAME_WINDOW,
            hop_length=FRAME_SHIFT,
        )
    return np.ascontiguousarray(cepstrum.T, np.float32)


def mean_mfcc(signal: np.ndarray, rate: int, name: str = "recording") -> np.ndarray:
    """Means over time of the MFCC of the whole of `signal`, as R2 takes them.

    Args:
      signal: mono samples [T], any level.
      rate: samples per second.
      name: what errors call it.

    Returns:
      [40] float32: coefficients 0 to 39.

    Raises:
      UserError: as `mfcc`.
    """
    import librosa

    samples = prepared(signal, rate, name)
    samples, _ = levelled(np.pad(samples, (0, max(0, _MEAN_WINDOW - len(samples)))))
    lengths = dict(n_fft=_MEAN_WINDOW, hop_length=_MEAN_WINDOW // 4)
    cepstrum = librosa.feature.mfcc(y=samples, sr=RATE, n_mfcc=MEANS, fmax=HIGHEST, **lengths)
    return cepstrum.mean(1).astype(np.float32)


def described(mfcc: np.ndarray) -> np.ndarray:
    """40 numbers [N, 40] that stand for MFCC [N, 39, 13], as `mean_mfcc` stands for a recording.

    A stand-in where recordings are not at hand: the 13 coefficients' means over the frames above
    the floor, their standard deviations, and 14 zeros. Only their use is that of `mean_mfcc`.
    """
    frames_NxTxC = sounding(mfcc)
    mask_NxTx1 = frames_NxTxC[..., -1:]
    length_Nx1 = mask_NxTx1.sum(1)
    mean_NxC = frames_NxTxC[..., :-1].sum(1) / length_Nx1
    off_NxTxC = (frames_NxTxC[..., :-1] - mean_NxC[:, None]) * mask_NxTx1
    std_NxC = np.sqrt(np.square(off_NxTxC).sum(1) / length_Nx1)
    rest = np.zeros((len(mfcc), MEANS - 2 * COEFFICIENTS))
    return np.concatenate([mean_NxC, std_NxC, rest], 1).astype(np.float32)


def padded(items: Sequence[np.ndarray], length: int = 0) -> np.ndarray:
    """N times frames [T_i, 13] -> [N, T, 14] float32: zeros behind, the last column the mask.

    Args:
      items: of any lengths.
      length: T, 0 = the longest's; longer items are cut.
    """
    length = length or max(map(len, items))
    x = np.zeros((len(items), length, COEFFICIENTS + 1), np.float32)
    for row, item in zip(x, items, strict=True):
        row[: len(item), :-1] = item[:length]
        row[: len(item), -1] = 1
    return x


def _mel_power(samples: np.ndarray, bands: int, **lengths: int) -> np.ndarray:
    """Power [bands, frames] of Mel bands up to `HIGHEST`, triangles of height 1."""
    import librosa

    return librosa.feature.melspectrogram(
        y=samples,
        sr=RATE,
        window="hann",
        center=False,
        power=2.0,
        n_mels=bands,
        fmax=HIGHEST,
        norm=None,
        **lengths,
    )


def smoothed(mfcc: np.ndarray) -> np.ndarray:
    """Spectrogram pictures [N, 128, 128] uint8 that MFCC [N, 39, 13] describe.

    A stand-in where recordings are not at hand: 13 numbers tell the formants but no harmonics, and
    39 frames no short burst. Coefficients 1 to 12 give the shape of the spectrum over the 26 bands
    (`mfcc`'s cosine transform inverted, the rest 0); the 0th, its level, is what makes the bands'
    power sum to the energy term (which also counts what is above 4 kHz). Bands and frames are
    interpolated linearly in the logarithm. On FSDD such a picture correlates with the recording's
    own at .92 (median) and is 3 dB brighter, as it fills the gaps between harmonics.
    """
    band, k = np.arange(MEL_BANDS), np.arange(1, COEFFICIENTS)
    inverse = np.sqrt(2 / MEL_BANDS) * np.cos(np.pi * np.outer(k, 2 * band + 1) / (2 * MEL_BANDS))
    bands, frames = PICTURE
    narrower = (bands + 1) / (MEL_BANDS + 1)
    to_bands = _interpolation(np.arange(1, bands + 1), np.arange(1, MEL_BANDS + 1) * narrower)
    middle = (np.arange(FRAMES) * SHIFT + WINDOW / 2) / RATE
    to_frames = _interpolation((np.arange(frames) + 0.5) / frames, middle)
    pictures = np.empty((len(mfcc), bands, frames), np.uint8)
    for start in range(0, len(mfcc), _AT_ONCE):
        some = slice(start, start + _AT_ONCE)
        shape = mfcc[some, :, :-1] @ inverse.astype(np.float32)
        level = mfcc[some, :, -1:] - np.log(np.exp(shape).sum(2, keepdims=True))
        pictures[some] = _picture(to_bands @ (shape + level).mT @ to_frames.T - np.log(narrower))
    return pictures


def sounding(mfcc: np.ndarray) -> np.ndarray:
    """Frames [N, T, 14] of MFCC [N, 39, 13]: those from the first above the floor to the last.

    A stand-in where recordings are not at hand. Windows of 50 ms every 25 ms (a third as many as
    `frames` has), the energy term in the place of coefficient 0, natural logarithms of 26 bands:
    only their use is that of `frames`, not their numbers. Silence leaves one frame.
    """
    above = mfcc[..., -1] > np.log(FLOOR) + 0.01  # what ships is rounded
    ends = [np.flatnonzero(one)[[0, -1]] if one.any() else (0, 0) for one in above]
    return padded(
        [
            np.roll(one[first : last + 1], 1, axis=1)
            for one, (first, last) in zip(mfcc, ends, strict=True)
        ]
    )


def colour(intensity: np.ndarray) -> np.ndarray:
    """A picture's colours: black, red, yellow, white; `[...]` uint8 -> `[..., 3]` uint8.

    Red rises over the quietest third of the range, then green, then blue over the loudest. Their
    sum is three times the intensity, so nothing is lost. Takes arrays of NumPy and of JAX.
    """
    risen = 3 * intensity.astype(np.int16)[..., None] - np.array([0, 255, 510], np.int16)
    return risen.clip(0, 255).astype(np.uint8)


def levelled(
    samples: np.ndarray, window: int = WINDOW, shift: int = SHIFT
) -> tuple[np.ndarray, np.ndarray]:
    """`samples` [T] with the loudest window's mean square 1, and each window's (of a second [39]).

    Silence stays as it is.
    """
    import librosa

    windows = librosa.util.frame(samples, frame_length=window, hop_length=shift, axis=0)
    energy = np.mean(np.square(windows, dtype=np.float64), axis=1)
    loudest = energy.max()
    if loudest < 1e-12:  # silence
        loudest = 1.0
    return samples / np.float32(np.sqrt(loudest)), energy / loudest


def prepared(signal: np.ndarray, rate: int, name: str = "recording", to: int = RATE) -> np.ndarray:
    """`signal` [T] without its constant offset, at `to` Hz, float32."""
    import librosa

    signal = checked(signal, name)
    return librosa.resample(signal, orig_sr=rate, target_sr=to) if rate != to else signal


def checked(signal: np.ndarray, name: str = "recording") -> np.ndarray:
    """`signal` [T] without its constant offset, float32, if it is one channel of finite samples.

    Raises:
      UserError: no samples, not mono, or NaN or infinite samples.
    """
    signal = np.asarray(signal)
    if signal.ndim != 1:
        raise UserError(f"{name}: samples of shape {signal.shape}, expected one channel")
    if not len(signal):
        raise UserError(f"{name}: holds no samples")
    if not np.isfinite(signal).all():
        raise UserError(f"{name}: holds NaN or infinite samples")
    return (signal - np.mean(signal, dtype=np.float64)).astype(np.float32)


def one_second(signal: np.ndarray) -> np.ndarray:
    """The second of `signal` [T] (16 kHz) around its word [16000], zeros where it has no samples.

    Looks for the word in the second with the most energy.
    """
    energy = np.concatenate([[0.0], np.cumsum(np.square(signal, dtype=np.float64))])
    n = min(len(signal), RATE)
    start = int(np.argmax(energy[n:] - energy[:-n]))
    within = energy[start : start + n + 1] - energy[start]
    first, last = np.searchsorted(within, within[-1] * np.array([0.02, 0.98]))
    middle = start + (first + last) // 2 if within[-1] > 0 else start + n // 2
    padded = np.pad(signal, RATE // 2)
    return np.ascontiguousarray(padded[middle : middle + RATE])


def extract(
    recordings: Recordings, progress: bool = True, feature: Callable[..., np.ndarray] = mfcc
) -> np.ndarray:
    """`mfcc` [N, 39, 13] or another `feature` of N recordings, over all processors if N is large.

    Of `frames`, whose lengths differ, it is `padded` [N, T, 14].

    Raises:
      UserError: as `feature`, naming the recording; no recordings.
    """
    if not len(recordings.id):
        raise UserError(f"no recordings to make {feature.__name__} of")
    jobs = list(zip(recordings.signal, recordings.id, strict=True))
    chunks = [jobs[i : i + _AT_ONCE] for i in range(0, len(jobs), _AT_ONCE)]
    if len(jobs) <= _FEW:
        done: Iterable = (_extract(feature, chunk, recordings.rate) for chunk in chunks)
    else:
        import joblib

        with joblib.parallel_config(backend="loky", idle_worker_timeout=10):
            parallel = joblib.Parallel(n_jobs=-1, return_as="generator")
            one = joblib.delayed(_extract)
            done = parallel(one(feature, chunk, recordings.rate) for chunk in chunks)
    if progress and len(jobs) > _FEW:
        from rich.progress import track

        done = track(done, f"extracting {feature.__name__}", total=len(chunks))
    items = list(itertools.chain.from_iterable(done))
    return padded(items) if feature is frames else np.stack(items)


def _extract(
    feature: Callable[..., np.ndarray], jobs: list[tuple[np.ndarray, str]], rate: int
) -> list[np.ndarray]:
    return [feature(signal, rate, f"recording {name}") for signal, name in jobs]


def _picture(log_power: np.ndarray) -> np.ndarray:
    """Natural logarithm of power [..., bands upwards, frames] -> uint8, the highest band first."""
    decibels = log_power[..., ::-1, :] * (10 / np.log(10))
    return np.round(255 * np.clip(1 - decibels / QUIETEST, 0, 1)).astype(np.uint8)


def _interpolation(wanted: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Weights [len(wanted), len(known)] of linear interpolation, constant beyond the ends."""
    one_each = np.eye(len(known))
    return np.stack([np.interp(wanted, known, one) for one in one_each], 1).astype(np.float32)
