"""What a training learns from and is tested on: splits and arrays, as its config asks."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from ml_collections import ConfigDict

from fdigits import augment, tasks
from fdigits.config import choose
from fdigits.data import datasets, pairing, pipeline, prepare
from fdigits.data.corpus import CLASSES, MODALITIES, STANDARDISED, Corpus
from fdigits.data.pairing import Split
from fdigits.errors import UserError
from fdigits.trained import Trained, earlier, load, sources

GENERATED_AT_ONCE = 500
AUGMENTED = {"image", "word"}  # what augmentation alters


class Examples(NamedTuple):
    """The parts of a data set, and the arrays `[N, ...]` that their rows point into."""

    splits: dict[str, Split]
    arrays: dict[str, np.ndarray]  # what the model reads
    statistics: dict | None  # of the training part's MFCC, where the model hears
    raw: dict[str, str]  # array -> the modality that it is made of

    def sample(self) -> dict[str, np.ndarray]:
        """One training item as a batch, and its label."""
        rows = {name: column[:1] for name, column in self.splits["train"].examples().items()}
        batch = {name: array[rows[name]] for name, array in self.arrays.items()}
        return batch | {"label": rows["label"]}


def prepared(config: ConfigDict, task: tasks.Task, workdir: Path) -> Examples:
    """The examples of a config; earlier stages must be finished.

    Raises:
      UserError: no such data, or data that do not fit the model, the split or the batch.
    """
    raw = sources(config, task, workdir)
    splits = load_splits(config, tuple(raw.values()), workdir)
    hears = set(STANDARDISED) & set(task.reads)
    statistics = pipeline.statistics(splits["train"]) if hears else None
    # The training part's corpora hold all that the others' do.
    held = {name: corpus.x for name, corpus in splits["train"].corpora.items()}
    arrays = Trained(config, task, {}, {}, statistics, workdir).arrays(held)
    for name, modality in raw.items():
        if name != modality:
            splits = {part: split.renamed(modality, name) for part, split in splits.items()}
    return Examples(splits, arrays, statistics, raw)


def fingerprint(corpora: Mapping[str, Corpus]) -> str:
    """sha256 of the data sets that a training draws from, wherever they lie."""
    told = sorted(one.fingerprint for one in corpora.values())
    return hashlib.sha256("\n".join(told).encode()).hexdigest()


def check_reads(config: ConfigDict, task: tasks.Task) -> None:
    """Refuses stages' arrays and augmentation that the task would never read.

    Raises:
      UserError: names the field.
    """
    read = f"{config.name} reads {', '.join(task.reads)}"
    for name in config.data.encoded:
        if name in MODALITIES:
            raise UserError(
                f"data.encoded.{name}: {name} is what recordings and pictures are read as; call "
                "the array of a stage otherwise (code, say)"
            )
        if name not in task.reads:
            raise UserError(f"data.encoded.{name} would change nothing: {read}")
    chosen = config.augment
    choose(chosen.name, augment.AUGMENTATIONS, "augment.name")
    if chosen.generated and "image" not in task.reads:
        raise UserError(
            f"augment.generated is {chosen.generated}, but {read}: pictures alone are made before "
            "training; set it to 0"
        )
    if chosen.strength and not chosen.generated and not AUGMENTED & set(task.reads):
        raise UserError(
            f"augment.strength is {chosen.strength}, but would change nothing: {read}, so it "
            "reads no pictures or words as they are"
        )


def check_size(config: ConfigDict, task: tasks.Task) -> None:
    """Refuses a training part that is too small, as far as it is known before earlier stages are
    trained: not where one makes what is read.

    Raises:
      UserError: as `load_splits`.
    """
    if not set(task.reads) <= MODALITIES.keys():
        return
    train, chosen = _real_splits(config, task.reads)["train"], config.augment
    augmented = chosen.generated if chosen.strength else 0
    digits = len(np.unique(train.examples()["label"]))
    further = augmented * digits + sum(config.data.generated.values()) * CLASSES
    _check_batch(config, len(train) + further)


def load_splits(config: ConfigDict, reads: tuple[str, ...], workdir: Path) -> dict[str, Split]:
    """The three parts, as the config's protocol, augmentation and earlier stages ask.

    Args:
      reads: the modalities that the model needs.

    Raises:
      UserError: no such data; parts or classes that hold too few.
    """
    chosen, splits = config.augment, _real_splits(config, reads)
    if chosen.strength and chosen.generated:
        splits["train"] = _with_augmented(splits["train"], config)
    for stage, count in config.data.generated.items():
        splits["train"] = _with_generated(splits["train"], config.seed, workdir, stage, count)
    _check_batch(config, len(splits["train"]))
    for split in splits.values():
        split.examples()  # what cannot be paired shows before anything is written
    return splits


def _check_batch(config: ConfigDict, count: int) -> None:
    if count < config.batch_size:
        raise UserError(
            f"{config.name}: {count} training examples are fewer than one batch of "
            f"{config.batch_size}: raise data.limit or lower batch_size"
        )


def _real_splits(config: ConfigDict, reads: tuple[str, ...]) -> dict[str, Split]:
    """The three parts, before anything is made for the training part."""
    data, chosen = config.data, config.augment
    corpora = prepare.load(data.name, data.dir, data.cache, reads)
    for modality in reads:
        if modality not in corpora:
            raise UserError(f"data.name={data.name} has no {modality}, which {config.name} reads")
    if chosen.strength and not AUGMENTED & set(reads):
        raise UserError(
            f"augment.strength is {chosen.strength}, but {config.name} reads no pictures or words"
        )
    splits = pairing.splits(
        corpora,
        paired=datasets.is_paired(data.name),
        policy=data.split,
        seed=config.seed,
        speaker=data.speaker,
        limit=data.limit,
        ratio=tuple(data.ratio),
        reads=reads,
    )
    if config.protocol == "paper":
        splits = pairing.validate_on_test(splits)
    if data.per_class:
        splits["train"] = pairing.per_class(splits["train"], data.per_class)
    return splits


def _with_augmented(train_split: Split, config: ConfigDict) -> Split:
    """The training part and `augment.generated` augmented pictures of each class."""
    rows = train_split.examples()
    chosen, corpus = config.augment, train_split.corpora["image"]
    image, label, source = augment.generate(
        corpus.x[rows["image"]],
        rows["label"],
        chosen.generated,
        chosen.name,
        chosen.strength,
        config.seed,
    )
    ids = corpus.id[rows["image"]][source]
    ids = np.array([f"{name}+{number}" for number, name in enumerate(ids)])
    return pairing.extend(train_split, image, label, ids)


def _with_generated(split: Split, seed: int, workdir: Path, stage: str, count: int) -> Split:
    """The training part and `count` pictures of each class that an earlier stage draws.

    They follow from the stage's weights and the seed, and are drawn anew at each start.
    """
    made = load(earlier(workdir, stage))
    label = np.repeat(np.arange(CLASSES, dtype=np.int32), count)
    draw, key = jax.jit(made.task.generate), jax.random.key(seed)
    images = [np.zeros((0, *MODALITIES["image"].shape), MODALITIES["image"].dtype)]
    for start in range(0, len(label), GENERATED_AT_ONCE):
        some = np.resize(label[start : start + GENERATED_AT_ONCE], GENERATED_AT_ONCE)
        own = jax.random.fold_in(key, start)
        images.append(np.asarray(draw(made.params, made.batch_stats, own, some)))
    ids = np.array([f"{stage}/{number}" for number in range(len(label))])
    return pairing.extend(split, np.concatenate(images)[: len(label)], label, ids)


def shown(split: Split, raw: Mapping[str, str]) -> dict[str, np.ndarray]:
    """What figures show of each example: `image`, `spectrogram`, and of MFCC, `audio` say, each
    once, beside the example's `audio_row`."""
    rows, inputs = split.examples(), {}
    named = {raw.get(name, name): name for name in split.rows}
    for modality, name in named.items():
        if rows[name].min() < 0:
            continue  # some have none
        x = split.corpora[name].x
        if modality in STANDARDISED:
            used, inputs[f"{modality}_row"] = np.unique(rows[name], return_inverse=True)
            inputs[modality] = x[used].astype(np.float16)
        else:
            inputs[modality] = x[rows[name]]
    return inputs


def resolved(config: ConfigDict) -> ConfigDict:
    """The config with what the data set decides: its own split.

    Raises:
      UserError: no such data set; names the nearest.
    """
    config = config.copy_and_resolve_references()
    with config.unlocked():
        config.data.split = config.data.split or datasets.default_split(config.data.name)
    return config.lock()
