"""Splits, and pairs of a picture and a recording of the same digit.

Items are split first and paired inside their split, so no recording stands on two sides.
"""

import dataclasses
import zlib
from collections.abc import Collection, Iterable, Mapping

import numpy as np

from fdigits.config import DATA, choose
from fdigits.data.corpus import CLASSES, MODALITIES, PARTS, Corpus, check, modality_of
from fdigits.errors import UserError

Ratio = tuple[int, int, int]
Rows = dict[str, np.ndarray]  # by part
POLICIES = ("paper", "official", "random", "speaker")


@dataclasses.dataclass(frozen=True)
class Split:
    """One part of a data set: rows of arrays that all parts share.

    A modality with fewer items than another meets the larger one's items by class: which ones is
    drawn anew for each training epoch and fixed for evaluation.

    What a model does not read takes part in that, so that models are compared over the same
    examples; only where it is not read may a class lack it: the row is -1 then, the id "".
    """

    part: str
    corpora: dict[str, Corpus]
    rows: dict[str, np.ndarray]  # per modality, the rows of its corpus that belong here
    paired: bool  # row i of one modality belongs to row i of the other
    seed: int
    limit: int = 0
    reads: tuple[str, ...] = ()  # the modalities that are read; () = all

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
                label,
                self.corpora[modality].label[partners],
                _rng(self.seed, self.part, redraw),
                needed=not self.reads or modality in self.reads,
            )
            examples[modality] = np.append(partners, -1)[drawn]
        return {m: rows.astype(np.int32) for m, rows in examples.items()} | {"label": label}

    def ids(self) -> np.ndarray:
        """`"image id|recording id"` of each example, `[N]` of str, in the order of `MODALITIES`."""
        examples = self.examples()
        columns = [np.append(self.corpora[m].id, "")[examples[m]] for m in _ordered(self.corpora)]
        if self.paired:
            columns = columns[:1]
        return np.array(["|".join(names) for names in zip(*columns, strict=True)])

    def renamed(self, modality: str, new: str) -> "Split":
        """The same examples, one modality of which stands under the key `new`.

        Raises:
          UserError: it has no such modality, or one of the new name.
        """
        choose(modality, self.rows, "modality")
        if new in self.rows:
            raise UserError(f"{modality} cannot be called {new}: the data have a {new} already")
        name = {m: m for m in (*self.rows, *self.reads)} | {modality: new}
        return dataclasses.replace(
            self,
            corpora={name[m]: corpus for m, corpus in self.corpora.items()},
            rows={name[m]: rows for m, rows in self.rows.items()},
            reads=tuple(name[m] for m in self.reads),
        )


def draw_partners(
    label: np.ndarray, candidate_label: np.ndarray, rng: np.random.Generator, needed: bool = True
) -> np.ndarray:
    """For each of `label` [N] the index of a candidate [M] of its class; all are used equally.

    Raises:
      UserError: a class without a candidate, whose index is -1 where it is not `needed`.
    """
    partner = np.empty(len(label), np.int64)
    for digit in np.unique(label):
        wanted = np.flatnonzero(label == digit)
        candidates = np.flatnonzero(candidate_label == digit)
        if not len(candidates) and not needed:
            partner[wanted] = -1
            continue
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
    ratio: Ratio = DATA["ratio"],
    reads: Collection[str] = (),
) -> dict[str, Split]:
    """Train, validation and test part of one, or two paired, corpora.

    Args:
      corpora: by modality.
      paired: row i of one belongs to row i of the other.
      policy, seed, speaker, ratio: as of `split_rows`.
      limit: examples of a part, 0 = all.
      reads: the modalities that a model reads, () = all; see `Split`.

    Raises:
      UserError: as `split_rows`; a seed below 0; policy "speaker" where no speaker is named.
    """
    rows: dict[str, dict[str, np.ndarray]] = {part: {} for part in PARTS}
    if seed < 0:
        raise UserError(f"seed is {seed}: it must be at least 0")
    if policy == "speaker" and not any(c.speaker.astype(bool).any() for c in corpora.values()):
        raise UserError("data.split=speaker: this data set names no speakers")
    for modality, corpus in corpora.items():
        source = corpora["audio" if policy == "random" else "image"] if paired else corpus
        for part, part_rows in split_rows(source, policy, seed, speaker, ratio).items():
            rows[part][modality] = part_rows
    read = tuple(reads)
    return {
        part: Split(part, dict(corpora), rows[part], paired, seed, limit, read) for part in PARTS
    }


def validate_on_test(parts: dict[str, Split]) -> dict[str, Split]:
    """The papers' way: the validation part is trained on, and the test part validates."""
    rows = {
        modality: np.concatenate([rows, parts["validation"].rows[modality]])
        for modality, rows in parts["train"].rows.items()
    }
    train = dataclasses.replace(parts["train"], rows=rows)
    return {"train": train, "validation": parts["test"], "test": parts["test"]}


def extend(split: Split, image_Mx28x28: np.ndarray, label_M: np.ndarray, id_M: np.ndarray) -> Split:
    """A training split of pictures alone, all it has (`limit` applied) and M further pictures.

    The further ones stand in a new corpus, behind the old one's; other parts keep the old.

    Raises:
      UserError: the split has recordings; no pictures 28 x 28 uint8 with labels and new names.
    """
    if set(split.rows) != {"image"}:
        raise UserError(
            f"further pictures need a data set of pictures alone, not of {_kinds(split)}"
        )
    corpus = split.corpora["image"]
    if not len(label_M):
        return split
    further = Corpus(
        corpus.name,
        image_Mx28x28,
        np.asarray(label_M, np.int32),
        np.asarray(id_M),
        np.full(len(label_M), ""),
        np.full(len(label_M), "train"),
    )
    found, expected = (f"{x.dtype} of shape {x.shape[1:]}" for x in (further.x, corpus.x))
    if found != expected:
        raise UserError(f"further pictures: {found}, expected {expected}")
    check(further, "further pictures")
    columns = {
        column: np.concatenate([getattr(corpus, column), getattr(further, column)])
        for column in ("x", "label", "id", "speaker", "part")
    }
    whole = check(Corpus(corpus.name, **columns), f"{corpus.name} and further pictures")
    rows = np.concatenate([split.rows["image"][: len(split)], np.arange(len(corpus), len(whole))])
    return dataclasses.replace(split, corpora={"image": whole}, rows={"image": rows}, limit=0)


def per_class(split: Split, n: int) -> Split:
    """The first `n` items of each class of a split of one modality, in its order.

    Raises:
      UserError: the split has two modalities; a class holds fewer items.
    """
    if len(split.rows) != 1:
        raise UserError(
            f"data.per_class is {n}: items per class need a data set of one modality alone, not of "
            f"{_kinds(split)}; set it to 0"
        )
    rows = split.rows[split.lead][: len(split)]
    corpus = split.corpora[split.lead]
    label = corpus.label[rows]
    held = np.bincount(label, minlength=CLASSES)
    if held.min() < n:
        raise UserError(
            f"data.per_class (real=) is {n}, but the {split.part} part of {corpus.name} has "
            f"{held.min()} items of digit {held.argmin()}: lower it, or "
            + ("raise data.limit" if split.limit else "choose a larger data set")
        )
    kept = [np.flatnonzero(label == digit)[:n] for digit in range(CLASSES)]
    rows = rows[np.sort(np.concatenate(kept))]
    return dataclasses.replace(split, rows={split.lead: rows}, limit=0)


def _kinds(split: Split) -> str:
    return " and ".join(_ordered(split.rows))


def _ordered(modalities: Iterable[str]) -> list[str]:
    """The known modalities in their order, then others."""
    return sorted(modalities, key=lambda m: [*MODALITIES, m].index(m))


def split_rows(
    corpus: Corpus,
    policy: str,
    seed: int,
    speaker: str = "",
    ratio: Ratio = DATA["ratio"],
) -> Rows:
    """Rows of the train, validation and test part of a corpus, each in a seeded order.

    - `paper`: `ratio` (R0's 14:3:3), drawn at random by class. Of pictures and pairs with an
      official test part, the rest is split (R0 splits the 60,000 training pairs); of recordings,
      all.
    - `official`: the corpus' own parts; where it names no validation part, 3 of 17 (by `ratio`) of
      its train. Of joined sets some of which name one, that alone validates.
    - `random`: `ratio` of all items; identical items stay together.
    - `speaker`: no speaker in two parts; `speaker` is tested on and the next one in the alphabet
      validates, or `ratio` of the speakers at random. Pictures have no speakers: as `paper`.

    Raises:
      UserError: no such policy or speaker; a `ratio` that is not three positive whole numbers; a
        part without items.
    """
    by_policy = dict(zip(POLICIES, (_paper, _official, _random, _speaker), strict=True))
    split = choose(policy, by_policy, "data.split")
    if len(ratio) != 3 or not all(isinstance(n, int) and n > 0 for n in ratio):
        raise UserError(f"the parts' ratio {tuple(ratio)} must be three positive whole numbers")
    rng = _rng(seed, "split", zlib.crc32(corpus.name.encode()))
    parts = split(corpus, rng, ratio, speaker)
    for part, rows in parts.items():
        if not len(rows):
            raise UserError(
                f"split {policy!r} of {corpus.name} has no {part} items: "
                "choose another data.split, or add items"
            )
    return {part: rng.permutation(rows) for part, rows in parts.items()}


def _paper(corpus: Corpus, rng: np.random.Generator, ratio: Ratio, _: str) -> Rows:
    rows = np.arange(len(corpus.label))
    if modality_of(corpus.x) == "image":
        rows = rows[corpus.part != "test"]
    return _by_class(rows, corpus.label[rows], rng, ratio)


def _official(corpus: Corpus, rng: np.random.Generator, ratio: Ratio, _: str) -> Rows:
    parts = {part: np.flatnonzero(corpus.part == part) for part in PARTS}
    if not len(parts["validation"]):
        rows = parts["train"]
        drawn = _by_class(rows, corpus.label[rows], rng, (*ratio[:2], 0))
        parts |= {"train": drawn["train"], "validation": drawn["validation"]}
    return parts


def _random(corpus: Corpus, rng: np.random.Generator, ratio: Ratio, _: str) -> Rows:
    flat = np.ascontiguousarray(corpus.x.reshape(len(corpus.x), -1))
    keys = flat.view(np.dtype((np.void, flat.dtype.itemsize * flat.shape[1]))).ravel()
    _, first, twin = np.unique(keys, return_index=True, return_inverse=True)
    parts = _by_class(np.arange(len(first)), corpus.label[first], rng, ratio)
    return {part: np.flatnonzero(np.isin(twin, groups)) for part, groups in parts.items()}


def _speaker(corpus: Corpus, rng: np.random.Generator, ratio: Ratio, speaker: str) -> Rows:
    names = np.unique(corpus.speaker)
    if list(names) == [""]:
        return _paper(corpus, rng, ratio, speaker)
    if len(names) < 3:
        raise UserError(f"{corpus.name} has {len(names)} speakers: data.split=speaker needs 3")
    if speaker:
        choose(speaker, dict.fromkeys(names.tolist()), f"data.speaker of {corpus.name}")
        at = int(np.flatnonzero(names == speaker)[0])
        test, validation = names[[at]], names[[(at + 1) % len(names)]]
    else:
        drawn = rng.permutation(names)
        n, m = (max(1, round(len(names) * ratio[i] / sum(ratio))) for i in (2, 1))
        test, validation = drawn[:n], drawn[n : n + m]
    parts = {
        "validation": np.isin(corpus.speaker, validation),
        "test": np.isin(corpus.speaker, test),
    }
    parts = {"train": ~(parts["validation"] | parts["test"])} | parts
    return {part: np.flatnonzero(mask) for part, mask in parts.items()}


def _by_class(rows: np.ndarray, label: np.ndarray, rng: np.random.Generator, ratio: Ratio) -> Rows:
    """Splits rows at random by `ratio`, over all exactly and in each class within two items."""
    by_class = np.lexsort([rng.permutation(len(rows)), label])
    slots = np.concatenate([(np.arange(n) + 0.5) / n for n in ratio if n])
    pattern = np.repeat(np.arange(3), ratio)[np.argsort(slots, kind="stable")]  # parts spread out
    part = np.resize(pattern, len(rows))
    return {name: rows[by_class[part == i]] for i, name in enumerate(PARTS)}


def _rng(seed: int, purpose: str, epoch: int) -> np.random.Generator:
    return np.random.default_rng([seed, zlib.crc32(purpose.encode()), epoch])
