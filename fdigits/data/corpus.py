"""What every data set becomes: items with class, speaker, part and a stable name."""

import dataclasses
import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from fdigits.errors import UserError

CLASSES = 10
WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
PARTS = ("train", "validation", "test")
SIDE = 28  # pixels of an image
FRAMES, COEFFICIENTS = 39, 13  # of a recording's MFCC
MEANS = 40  # MFCC whose means over time describe a recording (R2)
WORD = 10_000  # samples of a spoken word: 1.25 s at 8 kHz
PICTURE = (128, 128)  # of a spectrogram: Mel bands, frames


class Modality(NamedTuple):
    """One kind of array that a corpus may hold."""

    dtype: str
    shape: tuple[int | None, ...]  # of one stored item; None = any length
    read: tuple[int | None, ...]  # of one item as a model reads it
    title: str


MODALITIES = {  # in the order in which an example's parts are named
    # 0 paper, 255 ink
    "image": Modality("uint8", (SIDE, SIDE), (SIDE, SIDE), "images"),
    # MFCC of one second
    "audio": Modality("float32", (FRAMES, COEFFICIENTS), (FRAMES, COEFFICIENTS), "recordings"),
    # row 0 the highest band, 0 quiet, 255 loud; read in colour
    "spectrogram": Modality("uint8", PICTURE, (*PICTURE, 3), "spectrograms"),
    # MFCC of a recording's own length, then zeros; the last column is 1 for sound, 0 for padding
    "frames": Modality(
        "float32", (None, COEFFICIENTS + 1), (None, COEFFICIENTS + 1), "MFCC frames"
    ),
    # MFCC of a recording, averaged over time
    "mean_mfcc": Modality("float32", (MEANS,), (MEANS,), "mean MFCC"),
    # samples of one spoken word, which lies in the middle, all of one loudness
    "word": Modality("int16", (WORD,), (WORD,), "words"),
}
RECORDED = (
    "audio",
    "spectrogram",
    "frames",
    "mean_mfcc",
    "word",
)  # what can be made of a recording
STANDARDISED = ("audio", "frames", "mean_mfcc")  # what models read standardised


@dataclasses.dataclass(frozen=True)
class Corpus:
    """One modality of one data set: N items."""

    name: str
    x: np.ndarray  # [N, *shape] of one of `MODALITIES`
    label: np.ndarray  # [N] int32, 0..9
    id: np.ndarray  # [N] str, unique, stable: "train/00017", "7_theo_3", "seven/0a2b_nohash_0"
    speaker: np.ndarray  # [N] str, "" where unknown and for images
    part: np.ndarray  # [N] str, the official part: one of `PARTS`
    fingerprint: str = ""  # of the source files and of how they were prepared, wherever they lie

    def __len__(self) -> int:
        return len(self.label)

    def take(self, rows: np.ndarray) -> "Corpus":
        """The items at `rows` (indices or a mask)."""
        columns = ("x", "label", "id", "speaker", "part")
        return dataclasses.replace(self, **{c: getattr(self, c)[rows] for c in columns})


@dataclasses.dataclass(frozen=True)
class Recordings:
    """What an audio reader gives, before features: N recordings of one rate."""

    signal: list[np.ndarray]  # mono float32 in [-1, 1]
    rate: int  # Hz
    label: np.ndarray  # [N] int32, 0..9
    id: np.ndarray  # [N] str
    speaker: np.ndarray  # [N] str
    part: np.ndarray  # [N] str


def joined(corpora: Sequence[Corpus]) -> Corpus:
    """One corpus of several of one modality, `a+b`; its ids and speakers begin with `a/` or `b/`.

    Frames of fewer places are filled up with zeros.
    """
    longest = max(one.x.shape[1] for one in corpora)
    x = [np.pad(one.x, _behind(one.x, longest - one.x.shape[1])) for one in corpora]
    return Corpus(
        "+".join(one.name for one in corpora),
        np.concatenate(x),
        np.concatenate([one.label for one in corpora]),
        np.array([f"{one.name}/{name}" for one in corpora for name in one.id]),
        np.array([name and f"{one.name}/{name}" for one in corpora for name in one.speaker]),
        np.concatenate([one.part for one in corpora]),
        hashlib.sha256(" ".join(one.fingerprint for one in corpora).encode()).hexdigest(),
    )


def _behind(x: np.ndarray, n: int) -> list[tuple[int, int]]:
    """Padding of `n` places behind those of each item of `x` [N, T, ...]."""
    return [(0, n if axis == 1 else 0) for axis in range(x.ndim)]


def modality_of(x: np.ndarray) -> str:
    """The modality of items `x` [N, ...], told by type and shape; "" if it is none."""
    for name, modality in MODALITIES.items():
        if modality.dtype == x.dtype.name and _fits(x.shape[1:], modality.shape):
            return name
    return ""


def _fits(shape: tuple[int, ...], expected: tuple[int | None, ...]) -> bool:
    return len(shape) == len(expected) and all(
        wanted in (None, found) for found, wanted in zip(shape, expected, strict=True)
    )


def check(corpus: Corpus, source: str) -> Corpus:
    """Returns `corpus` if it is sound.

    Raises:
      UserError: numbers or shapes of no modality, unequal lengths, a label outside 0..9, NaN,
        frames whose mask is none, or an id that occurs twice; names `source`.
    """
    modality = modality_of(corpus.x)
    if not modality:
        raise UserError(f"{source}: {_expected(corpus.x)}")
    if not len(corpus):
        raise UserError(f"{source}: holds no items")
    for column in ("x", "id", "speaker", "part"):
        if len(getattr(corpus, column)) != len(corpus):
            raise UserError(
                f"{source}: {len(getattr(corpus, column))} {column} but {len(corpus)} labels"
            )
    outside = np.flatnonzero((corpus.label < 0) | (corpus.label >= CLASSES))
    if len(outside):
        first = outside[0]
        raise UserError(
            f"{source}: item {first} has label {corpus.label[first]}, outside 0..{CLASSES - 1}"
        )
    if MODALITIES[modality].dtype == "float32" and not np.isfinite(corpus.x).all():
        finite = np.isfinite(corpus.x).reshape(len(corpus), -1).all(1)
        first = np.flatnonzero(~finite)[0]
        raise UserError(f"{source}: features of item {corpus.id[first]} hold NaN or infinity")
    if modality == "frames" and not _masked(corpus.x).all():
        first = np.flatnonzero(~_masked(corpus.x))[0]
        raise UserError(f"{source}: the mask of item {corpus.id[first]} is not ones, then zeros")
    if len(np.unique(corpus.id)) < len(corpus):
        raise UserError(f"{source}: an item's name occurs twice")
    return corpus


def _expected(x: np.ndarray) -> str:
    """What is wrong with numbers that are of no modality."""
    dtype, shape = x.dtype.name, x.shape[1:]
    kinds = {name: m.shape for name, m in MODALITIES.items() if m.dtype == dtype}
    if not kinds:
        known = " or ".join(dict.fromkeys(m.dtype for m in MODALITIES.values()))
        return f"numbers of type {dtype}, expected {known}"
    shapes = " or ".join(str(kind).replace("None", "any") for kind in kinds.values())
    return f"{' or '.join(kinds)} of shape {shape}, expected {shapes}"


def _masked(frames: np.ndarray) -> np.ndarray:
    """Whether the last column of each item [N, T, C] is ones, at least one, and then zeros."""
    mask = frames[..., -1]
    length = mask.sum(1)
    return (length >= 1) & (mask == (np.arange(mask.shape[1]) < length[:, None])).all(1)
