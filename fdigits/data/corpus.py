"""What every data set becomes: items with class, speaker, part and a stable name."""

import dataclasses

import numpy as np

from fdigits.errors import UserError

FRAMES, COEFFICIENTS = 39, 13
PICTURE = (128, 128)  # of a spectrogram: Mel bands, frames
_KINDS = {
    "image": ("uint8", (28, 28)),
    "audio": ("float32", (FRAMES, COEFFICIENTS)),
    "spectrogram": ("uint8", PICTURE),
}
MODALITIES = tuple(_KINDS)  # the order in which an example's parts are named


@dataclasses.dataclass(frozen=True)
class Corpus:
    """One modality of one data set: N items."""

    name: str
    # images [N,28,28] uint8 (0 paper, 255 ink) | audio [N,39,13] float32 MFCC
    # | spectrograms [N,128,128] uint8 (row 0 the highest band, 0 quiet, 255 loud)
    x: np.ndarray
    label: np.ndarray  # [N] int32, 0..9
    id: np.ndarray  # [N] str, unique, stable: "train/00017", "7_theo_3", "seven/0a2b_nohash_0"
    speaker: np.ndarray  # [N] str, "" where unknown and for images
    part: np.ndarray  # [N] str, the official part: "train" | "validation" | "test"

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


def check(corpus: Corpus, source: str) -> Corpus:
    """Returns `corpus` if it is sound.

    Raises:
      UserError: numbers or shapes of no modality, unequal lengths, a label outside 0..9, NaN, or
        an id that occurs twice; names `source`.
    """
    dtype, shape = corpus.x.dtype.name, corpus.x.shape[1:]
    kinds = {modality: shape for modality, (kind, shape) in _KINDS.items() if kind == dtype}
    if not kinds:
        raise UserError(f"{source}: numbers of type {dtype}, expected uint8 or float32")
    modality = next((modality for modality in kinds if kinds[modality] == shape), "")
    if not modality:
        expected = " or ".join(map(str, kinds.values()))
        raise UserError(f"{source}: {' or '.join(kinds)} of shape {shape}, expected {expected}")
    if not len(corpus):
        raise UserError(f"{source}: holds no items")
    for column in ("x", "id", "speaker", "part"):
        if len(getattr(corpus, column)) != len(corpus):
            raise UserError(
                f"{source}: {len(getattr(corpus, column))} {column} but {len(corpus)} labels"
            )
    outside = np.flatnonzero((corpus.label < 0) | (corpus.label > 9))
    if len(outside):
        first = outside[0]
        raise UserError(f"{source}: item {first} has label {corpus.label[first]}, outside 0..9")
    if modality == "audio" and not np.isfinite(corpus.x).all():
        first = np.flatnonzero(~np.isfinite(corpus.x).all((1, 2)))[0]
        raise UserError(f"{source}: features of item {corpus.id[first]} hold NaN or infinity")
    if len(np.unique(corpus.id)) < len(corpus):
        raise UserError(f"{source}: an item's name occurs twice")
    return corpus
