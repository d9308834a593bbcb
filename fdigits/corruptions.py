"""What goes wrong with pictures and recordings, by growing levels: items in, items out.

Each acts on what a corpus holds, `[N, ...]`, and returns the same shape and type. Draws follow from
a fixed seed and are the same at every level, so that curves are smooth. Level "none", the first of
each sweep, returns the very input.
"""

from typing import NamedTuple

import numpy as np

from fdigits.data import recordings
from fdigits.data.corpus import SIDE

WORD_LEVEL = recordings.LEVEL * 32_768  # of a word's loudest 50 ms
KEPT = 0.25  # of the variance of AV-MNIST's pictures; the other 75 % are taken away
MANY = 10_000  # pictures at most, of which principal components are made


class Sweep(NamedTuple):
    """One corruption of one modality, and the levels at which it is tried, evenly spaced."""

    modality: str
    kind: str  # "noise", "blur" or "occlusion"
    unit: str
    levels: tuple[float, ...]  # the first leaves all as it is

    @property
    def places(self) -> np.ndarray:
        """Where the levels lie on an axis `[L]`: no noise, -inf dB, one step before the least."""
        step = self.levels[-1] - self.levels[-2]
        return np.maximum(self.levels, self.levels[1] - step)


def _steps(step: float) -> tuple[float, ...]:
    return tuple(round(step * number, 3) for number in range(9))


_DEVIATIONS = "standard deviations of the training part"
SWEEPS = (
    Sweep("image", "noise", "standard deviation, ink is 1", _steps(0.3)),
    Sweep("image", "blur", "standard deviation, pixels", _steps(0.5)),
    Sweep("image", "occlusion", "side of the square, pixels", _steps(3)),
    Sweep("audio", "noise", _DEVIATIONS, _steps(0.5)),
    Sweep("frames", "noise", _DEVIATIONS, _steps(0.5)),
    Sweep("mean_mfcc", "noise", _DEVIATIONS, _steps(0.5)),
    Sweep("spectrogram", "noise", "standard deviation, silence to loudest is 1", _steps(0.1)),
    Sweep("word", "noise", "dB against the loudest 50 ms", (-np.inf, *range(-20, 20, 5))),
)


def sweeps(modality: str) -> list[Sweep]:
    """The corruptions that are tried on one modality."""
    return [sweep for sweep in SWEEPS if sweep.modality == modality]


def corrupted(
    sweep: Sweep, x: np.ndarray, level: float, std: np.ndarray | float = 1.0
) -> np.ndarray:
    """Items `[N, ...]` at one of `sweep.levels`, in the shape and dtype of `x`; `std` as
    `deviations` gives it."""
    match sweep.kind:
        case "noise":
            return noisy(x, level, std)
        case "blur":
            return blurred(x, level)
    return occluded(x, int(level))


def deviations(modality: str, training: np.ndarray) -> np.ndarray | float:
    """Standard deviations `[C]` of MFCC over training items; 1 of what has a scale of its own."""
    if training.dtype != np.float32:
        return 1.0
    if modality == "frames":
        training = training[training[..., -1] > 0][:, :-1]
    return training.std(tuple(range(training.ndim - 1)), dtype=np.float64)


def gaussian(shape: tuple[int, ...]) -> np.ndarray:
    """White noise of mean 0 and standard deviation 1, always the same."""
    return np.random.default_rng(1).normal(size=shape)


def noisy(x: np.ndarray, level: float, std: np.ndarray | float = 1.0) -> np.ndarray:
    """Items with white Gaussian noise, told apart by their type.

    Pictures and spectrograms (uint8): its standard deviation is `level`, of 255. Words (int16): it
    is `level` decibels above their loudest 50 ms; what is then louder than full scale is turned
    down, as a reader would. MFCC (float32): `level` times `std`, `[C]`; of frames, which have a
    column more, where there is sound.
    """
    if x.dtype == np.float32:
        return _noisy_mfcc(x, level * np.asarray(std))
    word = x.dtype == np.int16
    scale = WORD_LEVEL * 10 ** (level / 20) if word else 255 * level
    if not scale:
        return x
    whole = np.iinfo(x.dtype)
    added = x + scale * gaussian(x.shape)
    if word:
        added *= np.minimum(1, whole.max / abs(added).max(1, keepdims=True))
    return np.clip(np.round(added), whole.min, whole.max).astype(x.dtype)


def _noisy_mfcc(x: np.ndarray, scale: np.ndarray) -> np.ndarray:
    if scale.size == x.shape[-1] - 1:  # frames: their last column is 1 for sound
        scale = np.append(scale, 0) * x[..., -1:]
    return (x + scale * gaussian(x.shape)).astype(x.dtype)


def blurred(x: np.ndarray, level: float) -> np.ndarray:
    """Pictures `[N, 28, 28]` under a Gaussian of `level` pixels; paper lies around them."""
    from scipy import ndimage

    smooth = ndimage.gaussian_filter(x.astype(np.float32), (0, level, level), mode="constant")
    return np.round(smooth).astype(x.dtype)


def occluded(x: np.ndarray, side: int) -> np.ndarray:
    """Pictures `[N, 28, 28]` with a square of paper somewhere inside each."""
    place_Nx2 = np.random.default_rng(1).uniform(size=(len(x), 2))
    top, left = np.floor(place_Nx2 * (SIDE - side + 1)).astype(int).T[:, :, None]
    row, column = ((np.arange(SIDE) >= at) & (np.arange(SIDE) < at + side) for at in (top, left))
    return np.where(row[:, :, None] & column[:, None], 0, x).astype(x.dtype)


def without_energy(x: np.ndarray, training: np.ndarray) -> np.ndarray:
    """Pictures `[N, 28, 28]` of which the leading principal components alone are kept.

    As many as hold at most a quarter of the training pictures' variance: three of MNIST. That is
    how we read AV-MNIST's "75 % of the energy removed" (Vielzeuf et al., CentralNet, 2018).
    """
    from sklearn.decomposition import PCA

    fitted = PCA(svd_solver="full").fit(training[:MANY].reshape(len(training[:MANY]), -1))
    share = np.cumsum(fitted.explained_variance_ratio_)
    axes_KxD = fitted.components_[: max(1, np.searchsorted(share, KEPT, "right"))]
    flat = x.reshape(len(x), -1) - fitted.mean_
    kept = fitted.mean_ + flat @ axes_KxD.T @ axes_KxD
    return np.clip(np.round(kept), 0, 255).astype(x.dtype).reshape(x.shape)
