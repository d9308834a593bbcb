"""Splits, and pairs of a picture and a recording of the same digit.

Items are split first and paired inside their split, so no recording stands on two sides.
"""

import dataclasses
import zlib
from collections.abc import Mapping

import numpy as np

from fdigits.config import choose
from fdigits.data.corpus import Corpus
from fdigits.errors import UserError

PARTS = ("train", "validation", "test")
RATIO = (14, 3, 3)  # R0, section 2.1


@dataclasses.dataclass(frozen=True)
class Split:
    """One part of a data set: rows of arrays that all parts share.

    A modality with fewer items than another meets the larger one's items by class: which ones is
    drawn anew for each training epoch and fixed for evaluation.
    """

    part: str
    corpora: dict[str, Corpus]
    rows: dict[str, np.ndarray]  # per modality, the rows of its corpus that belong here
    paired: bool  # row i of one modality belongs to row i of the other
    seed: int
    limit: int = 0

    @property
    def lead(self) -> str:
        """The modality an epoch goes through once: the one with more items."""
        return max(self.rows, key=lambda modality: len(self.rows[modality]))

    def __len__(self) -> int:
        n = len(self.rows[self.lead])
        return min(n, self.limit) if self.limit else n

    def examples(self, epoch: int = 0) -> dict[str, np.ndarray]:
        """Rows into each corpus, and the label, of each example `[N]`, in a fixed order.

        Training examples meet other partners each epoch; evaluation examples never do.
        """
        lead_rows = self.rows[self.lead][: len(self)]
        label = self.corpora[self.lead].label[lead_rows]
        examples = {self.lead: lead_rows}
        for modality in self.rows.keys() - {self.lead}:
            if self.paired:
                examples[modality] = self.rows[modality][: len(self)]
                continue
            redraw = epoch if self.part == "train" else 0
            partners = self.rows[modality]
            drawn = draw_partners(
                label, self.corpora[modality].label[partners], _rng(self.seed, self.part, redraw)
            )
            examples[modality] = partners[drawn]
        return {m: rows.astype(np.int32) for m, rows in examples.items()} | {"label": label}

    def ids(self) -> np.ndarray:
        """`"image id|audio id"` of each example, `[N]` of str."""
        examples = self.examples()
        columns = [self.corpora[m].id[examples[m]] for m in ("image", "audio") if m in self.corpora]
        if self.paired:
            columns = columns[:1]
        return np.array(["|".join(names) for names in zip(*columns, strict=True)])


def draw_partners(
    label: np.ndarray, candidate_label: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """For each of `label` [N] the index of a candidate [M] of its class; all are used equally.

    Raises:
      UserError: a class without a candidate.
    """
    partner = np.empty(len(label), np.int64)
    for digit in np.unique(label):
        wanted = np.flatnonzero(label == digit)
        candidates = np.flatnonzero(candidate_label == digit)
        if not len(candidates):
            raise UserError(
                f"no item of digit {digit} to pair with those of the other kind in this split: "
                "use more data (data.limit, data.split)"
            )
        rounds = -(-len(wanted) // len(candidates))
        deck = np.concatenate([rng.permutation(candidates) for _ in range(rounds)])
        partner[wanted] = deck[: len(wanted)]
    return partner


def splits(
    corpora: Mapping[str, Corpus],
    *,
    paired: bool,
    policy: str,
    seed: int,
    speaker: str = "",
    limit: int = 0,
) -> dict[str, Split]:
    """Train, validation and test part of one, or two paired, corpora."""
    rows: dict[str, dict[str, np.ndarray]] = {part: {} for part in PARTS}
    if policy == "speaker" and not any(c.speaker.astype(bool).any() for c in corpora.values()):
        raise UserError("data.split=speaker: this data set names no speakers")
    for modality, corpus in corpora.items():
        source = corpora["audio" if policy == "random" else "image"] if paired else corpus
        for part, part_rows in split_rows(source, policy, seed, speaker).items():
            rows[part][modality] = part_rows
    return {part: Split(part, dict(corpora), rows[part], paired, seed, limit) for part in PARTS}


def split_rows(corpus: Corpus, policy: str, seed: int, speaker: str = "") -> dict[str, np.ndarray]:
    """Rows of the train, validation and test part of a corpus, each in a seeded order.

    - `report`: R0's 14:3:3, drawn at random by class. Of pictures and pairs with an official test
      part, the rest is split (R0 splits the 60,000 training pairs); of recordings, all.
    - `official`: the corpus' own parts; where it names no validation part, 3 of 17 of its train.
    - `random`: 14:3:3 of all items; identical items stay together.
    - `speaker`: no speaker in two parts; `speaker` is tested on and the next one in the alphabet
      validates, or 14:3:3 of the speakers at random. Pictures have no speakers: as `report`.
    """
    split = choose(
        policy,
        {"report": _report, "official": _official, "random": _random, "speaker": _speaker},
        "data.split",
    )
    rng = _rng(seed, "split", zlib.crc32(corpus.name.encode()))
    parts = split(corpus, rng, speaker)
    for part, rows in parts.items():
        if not len(rows):
            raise UserError(
                f"split {policy!r} of {corpus.name} has no {part} items: choose another data.split"
            )
    return {part: rng.permutation(rows) for part, rows in parts.items()}


def _report(corpus: Corpus, rng: np.random.Generator, _: str) -> dict[str, np.ndarray]:
    rows = np.arange(len(corpus.label))
    if corpus.x.shape[1:] == (28, 28):
        rows = rows[corpus.part != "test"]
    return _by_class(rows, corpus.label[rows], rng)


def _official(corpus: Corpus, rng: np.random.Generator, _: str) -> dict[str, np.ndarray]:
    parts = {part: np.flatnonzero(corpus.part == part) for part in PARTS}
    if not len(parts["validation"]):
        rows = parts["train"]
        drawn = _by_class(rows, corpus.label[rows], rng, (14, 3, 0))
        parts |= {"train": drawn["train"], "validation": drawn["validation"]}
    return parts


def _random(corpus: Corpus, rng: np.random.Generator, _: str) -> dict[str, np.ndarray]:
    flat = np.ascontiguousarray(corpus.x.reshape(len(corpus.x), -1))
    keys = flat.view(np.dtype((np.void, flat.dtype.itemsize * flat.shape[1]))).ravel()
    _, first, twin = np.unique(keys, return_index=True, return_inverse=True)
    parts = _by_class(np.arange(len(first)), corpus.label[first], rng)
    return {part: np.flatnonzero(np.isin(twin, groups)) for part, groups in parts.items()}


def _speaker(corpus: Corpus, rng: np.random.Generator, speaker: str) -> dict[str, np.ndarray]:
    names = np.unique(corpus.speaker)
    if list(names) == [""]:
        return _report(corpus, rng, speaker)
    if len(names) < 3:
        raise UserError(f"{corpus.name} has {len(names)} speakers: data.split=speaker needs 3")
    if speaker:
        choose(speaker, dict.fromkeys(names.tolist()), f"data.speaker of {corpus.name}")
        at = int(np.flatnonzero(names == speaker)[0])
        test, validation = names[[at]], names[[(at + 1) % len(names)]]
    else:
        drawn = rng.permutation(names)
        n = max(1, round(len(names) * RATIO[1] / sum(RATIO)))
        test, validation = drawn[:n], drawn[n : 2 * n]
    parts = {
        "validation": np.isin(corpus.speaker, validation),
        "test": np.isin(corpus.speaker, test),
    }
    parts = {"train": ~(parts["validation"] | parts["test"])} | parts
    return {part: np.flatnonzero(mask) for part, mask in parts.items()}


def _by_class(
    rows: np.ndarray,
    label: np.ndarray,
    rng: np.random.Generator,
    ratio: tuple[int, int, int] = RATIO,
) -> dict[str, np.ndarray]:
    """Splits rows at random by `ratio`, over all exactly and in each class within two items."""
    by_class = np.lexsort([rng.permutation(len(rows)), label])
    slots = np.concatenate([(np.arange(n) + 0.5) / n for n in ratio if n])
    pattern = np.repeat(np.arange(3), ratio)[np.argsort(slots, kind="stable")]  # parts spread out
    part = np.resize(pattern, len(rows))
    return {name: rows[by_class[part == i]] for i, name in enumerate(PARTS)}


def _rng(seed: int, purpose: str, epoch: int) -> np.random.Generator:
    return np.random.default_rng([seed, zlib.crc32(purpose.encode()), epoch])
