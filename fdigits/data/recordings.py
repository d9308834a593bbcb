"""A recording of a spoken word, brought to one form: 1.25 s at 8 kHz, the word in the middle.

- Below 70 Hz nothing is speech: a constant and most of the mains' hum go.
- The word is found where one of four bands of the spectrum rises clearly above its own noise, so
  that a hiss ("six") counts as much as a vowel. What lasts for less than 50 ms is a click and does
  not count. Gaps within a word (before the t of "eight") are bridged.
- Of what surrounds the word 150 ms are kept on each side, which hold the faint ends that are
  missed; the rest becomes zeros. So a trimmed recording and a long one look alike.
- What keeps its level is no word: noise, hum, a tone. So is what is silent.
- The loudest 50 ms have the same mean square in all words.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from fdigits.data import features
from fdigits.data.corpora import audio_files
from fdigits.data.corpus import WORD
from fdigits.errors import UserError

RATE = 8_000  # Hz
LONGEST = 120  # s, of a person's recording
VERSION = 3  # of the words: a new one makes prepared words anew
LEVEL = 0.15  # root of the mean square of the loudest 50 ms, of full scale

_LOWEST = 70  # Hz
_FRAME, _HOP = 200, 80  # samples: 25 ms, 10 ms
_BANDS = (100, 600, 1_500, 2_600, 3_900)  # Hz, edges
_STILL = 5  # frames of which the median counts: what is shorter than 50 ms does not
_WORD_FRAMES = 100  # of the longest word
_GAP = 22  # frames that are bridged within a word
_SHORTEST = 6  # frames of a word
_RISE = 8.0  # dB between noise and the loudest moments where there is a word
_FAINT = 12.0  # dB between noise and a word that is hard to hear
_AMID = 20  # frames about a word that show what it stands in
_CLEAR = 35.0  # dB above the noise, where a word's changes are not drowned
_RIVAL = 0.6  # of the word's strength: as strong as another word
_CHANGE = 4.5  # dB by which some band's level changes within a word
_AROUND = 1_200  # samples kept on each side of the word
_FADE = 80  # samples
_SILENT = 1e-6  # of full scale


class Heard(NamedTuple):
    """What was heard in a recording."""

    word: np.ndarray  # [10000] int16; without a word the loudest 1.25 s
    digit: bool  # whether there is a word, which may be a digit
    warnings: tuple[str, ...]  # what is doubtful, in words


class _Found(NamedTuple):
    """Where a recording's word is."""

    start: int  # frame
    stop: int  # the frame behind its last
    rivals: bool  # whether something nearly as strong stands elsewhere


def read(path: Path | str) -> Heard:
    """The word in a sound file: wav, FLAC, OGG or MP3 of any rate and number of channels.

    Raises:
      UserError: as `load`, or NaN or infinite samples.
    """
    signal, rate, mended = load(path)
    heard = hear(signal, rate, str(path))
    return heard._replace(warnings=mended + heard.warnings)


def load(path: Path | str) -> tuple[np.ndarray, int, tuple[str, ...]]:
    """One channel [T] of a sound file, at any level, its rate in Hz, and `mono`'s warnings.

    Raises:
      UserError: no such file, or one that holds no sound or lasts more than `LONGEST` seconds.
    """
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror})") from None
    except ValueError as error:  # a name with a null character
        raise UserError(f"{str(path)!r} cannot be read ({error})") from None
    channels, rate = audio_files.channels(str(path), content, LONGEST)
    if not np.isfinite(channels).all():
        raise UserError(f"{path} holds NaN or infinite samples")
    signal, mended = mono(channels)
    short = audio_files.cut(content)
    return signal, rate, (*mended, short) if short else mended


def word(signal: np.ndarray, rate: int, name: str = "recording") -> np.ndarray:
    """`hear`'s word [10000] int16 alone."""
    return hear(signal, rate, name).word


def hear(signal: np.ndarray, rate: int, name: str = "recording") -> Heard:
    """Finds the word in a recording.

    Args:
      signal: mono samples [T], any level.
      rate: samples per second.
      name: what errors call it.

    Raises:
      UserError: no samples, not mono, or NaN or infinite samples.
    """
    samples = features.checked(signal, name)
    samples = samples / max(1, np.abs(samples).max())  # of any scale, whose square may be none
    samples = without_hum(audio_files.resampled(samples, rate, RATE))
    level = loudness(samples)
    if level < _SILENT:
        return Heard(np.zeros(WORD, np.int16), False, ("silence: no word is heard",))
    energy_TxB = band_energies(samples)
    found = find(energy_TxB)
    if found is None:
        whole = placed(samples / level, 0, len(samples))
        return Heard(whole, False, (_nothing(energy_TxB),))
    start, stop = found.start * _HOP, (found.stop - 1) * _HOP + _FRAME
    kept = samples / loudness(samples[start:stop])
    heard = placed(kept, start - _AROUND, stop + _AROUND)
    return Heard(heard, True, _doubts(found, energy_TxB))


def mono(samples: np.ndarray) -> tuple[np.ndarray, tuple[str, ...]]:
    """One channel [T] of `samples` [T, channels], and a warning where their mean cancels out.

    The mean, as everywhere; where it is 10 dB below the loudest channel, that channel.
    """
    mean = samples.mean(1)
    power = np.square(samples - samples.mean(0), dtype=np.float64).mean(0)
    if np.var(mean, dtype=np.float64) >= 0.1 * power.max():
        return mean, ()
    loudest = int(power.argmax())
    if power.max() > 100 * np.delete(power, loudest).sum():  # others are silent, not opposite
        return samples[:, loudest], ()
    return samples[:, loudest], ("the channels cancel each other out: one of them is taken",)


def without_hum(samples: np.ndarray) -> np.ndarray:
    """`samples` [T] at 8 kHz without what is below 70 Hz: a Butterworth filter without delay."""
    n = 1 << (len(samples) + RATE // 8).bit_length()
    power = np.fft.rfftfreq(n, 1 / RATE) ** 8
    filtered = np.fft.rfft(samples, n) * np.sqrt(power / (power + _LOWEST**8))
    return np.fft.irfft(filtered, n)[: len(samples)].astype(np.float32)


def loudness(samples: np.ndarray) -> float:
    """Root of the mean square of the loudest 50 ms of `samples` [T]; clicks hardly count."""
    frames = np.median(_neighbours(_mean_squares(samples), _STILL), -1)
    return float(np.sqrt(frames.max()))


def band_energies(samples: np.ndarray) -> np.ndarray:
    """Decibels [frames, 4] of each band of `samples` [T], 80 below the loudest at least."""
    windowed = _frames(samples) * np.hanning(_FRAME)
    power = np.abs(np.fft.rfft(windowed, 256)) ** 2
    edges = np.round(np.array(_BANDS) * 256 / RATE).astype(int)
    bands = np.add.reduceat(power[:, : edges[-1]], edges[:-1], axis=1)
    return 10 * np.log10(np.maximum(bands, 1e-8 * bands.max() + 1e-30))


def find(energy_TxB: np.ndarray) -> _Found | None:
    """The word in the energies of the bands (dB), or None."""
    still = np.median(_neighbours(energy_TxB, _STILL), -1)
    over, rise = _over_noise(still, energy_TxB.max())
    excess = np.clip(over, 0, None).sum(1)
    runs = _bridged(_runs(excess > 0))
    if not runs:
        return None
    strength = np.array([excess[slice(*run)].sum() for run in runs])
    word = runs[strength.argmax()]
    if word[1] - word[0] < _SHORTEST or (rise > _CLEAR and _steady(still, *word)):
        return None
    rivals = np.count_nonzero(strength > _RIVAL * strength.max()) > 1
    return _Found(*word, rivals)


def _over_noise(still_TxB: np.ndarray, loudest: float) -> tuple[np.ndarray, float]:
    """Decibels [T, B] above the threshold of each band, and the greatest rise of a band.

    Noise is the median of what is no word, or the quietest tenth where a word fills the recording.
    Bands that hardly rise above it are left out.
    """
    empty = max(0, 1 - _WORD_FRAMES / len(still_TxB))  # share that holds no word
    shares = [max(10, 50 * empty), max(10, 90 * empty)]
    noise, restless = np.percentile(still_TxB, shares, axis=0)
    loud = still_TxB.max(0)
    rise = loud - noise
    least = np.maximum(loud - 30, max(loud.max() - 35, loudest - 40))
    threshold = np.maximum.reduce([noise + np.maximum(5, 0.3 * rise), restless + 5, least])
    return np.where(rise >= _RISE, still_TxB - threshold, -1), float(rise.max())


def _steady(still_TxB: np.ndarray, start: int, stop: int) -> bool:
    """Whether all bands keep their level in a sound amid quiet, as those of a beep do."""
    inside = still_TxB[start + 3 : stop - 3]
    if len(still_TxB) - (stop - start) < _AMID or len(inside) < 10:
        return False
    return bool(np.ptp(np.percentile(inside, [5, 95], axis=0), axis=0).max() < _CHANGE)


def placed(samples: np.ndarray, start: int, stop: int) -> np.ndarray:
    """`samples[start:stop]` in the middle of a word [10000] int16, loudness 1 at `LEVEL`.

    Zeros where there are no samples; of more than 10,000 the loudest 10,000.
    """
    start, stop = max(start, 0), min(stop, len(samples))
    if stop - start > WORD:
        energy = np.concatenate([[0.0], np.cumsum(np.square(samples[start:stop], dtype=float))])
        start += int(np.argmax(energy[WORD:] - energy[:-WORD]))
        stop = start + WORD
    piece = samples[start:stop] * (LEVEL * 32_768)
    fade = np.minimum(1, (np.arange(len(piece)) + 0.5) / _FADE)
    piece = np.clip(np.round(piece * fade * fade[::-1]), -32_768, 32_767).astype(np.int16)
    before = (WORD - len(piece)) // 2
    return np.pad(piece, (before, WORD - len(piece) - before))


def _frames(samples: np.ndarray) -> np.ndarray:
    """Windows [1 + (T - 200) // 80, 200] of `samples` [T]; one at least."""
    enough = np.pad(samples, (0, max(0, _FRAME - len(samples))))
    return np.lib.stride_tricks.sliding_window_view(enough, _FRAME)[::_HOP]


def _mean_squares(samples: np.ndarray) -> np.ndarray:
    return np.square(_frames(samples)).mean(1)


def _neighbours(x: np.ndarray, n: int) -> np.ndarray:
    """Of each row of `x` [T, ...] the `n` (odd) around it: [T, ..., n]."""
    padding = ((n // 2, n // 2), *((0, 0),) * (x.ndim - 1))
    return np.lib.stride_tricks.sliding_window_view(np.pad(x, padding, "edge"), n, axis=0)


def _runs(active: np.ndarray) -> list[tuple[int, int]]:
    """Start and stop of each stretch of True."""
    change = np.flatnonzero(np.diff(np.concatenate([[0], active.astype(int), [0]])))
    return list(zip(change[::2].tolist(), change[1::2].tolist(), strict=True))


def _bridged(runs: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Runs whose gaps are no longer than a closure within a word are one."""
    joined: list[tuple[int, int]] = []
    for start, stop in runs:
        if joined and start - joined[-1][1] <= _GAP:
            start = joined.pop()[0]
        joined.append((start, stop))
    return joined


def _nothing(energy_TxB: np.ndarray) -> str:
    still = np.median(_neighbours(energy_TxB, _STILL), -1)
    if energy_TxB.max() - still.max() > 10:
        return "nothing but a click: no word is heard"
    return "nothing but a steady sound, as of noise, hum or a tone: no word is heard"


def _doubts(found: _Found, energy_TxB: np.ndarray) -> tuple[str, ...]:
    """Warnings about a word that was found."""
    doubts, within = [], slice(found.start, found.stop)
    if (found.stop - found.start) * _HOP > WORD:
        doubts.append("longer than one word: the loudest 1.25 s are taken")
    if found.rivals:
        doubts.append("more than one word: the strongest is taken")
    whole = 10 * np.log10((10 ** (energy_TxB / 10)).sum(1))
    around = np.delete(whole, within)
    if len(around) > _AMID and whole[within].max() - np.median(around) < _FAINT:
        doubts.append("the noise is nearly as loud as the word")
    return tuple(doubts)
