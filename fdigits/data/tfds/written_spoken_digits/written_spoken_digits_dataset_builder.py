"""TensorFlow Datasets' builder of what fdigits trains on.

    cd fdigits/data/tfds/written_spoken_digits
    tfds build --config=mnist_fsdd
    tfds build --config='{"name": "one", "data": "mnist_fsdd", "seed": 1, "dir": "~/data"}'

Version 4.9.10 of that command needs `pip install apache-beam mlcroissant` to start at all.
`python -m fdigits.data.export` does the same without them, and adds ArrayRecord files.
"""

import dataclasses
import functools
from collections.abc import Iterator

import numpy as np
import tensorflow_datasets as tfds

from fdigits.config import DATA
from fdigits.data import datasets, pairing, pipeline, prepare
from fdigits.data.corpus import CLASSES, COEFFICIENTS, FRAMES, SIDE
from fdigits.data.pairing import Split

_DESCRIPTION = """\
{title}: what fdigits trains on in the first epoch of a run with data.name={data}, \
data.split={split} and seed={seed}, in its order, and what it validates and tests on. Items are \
split first; pairs are of one digit and inside a part."""
_NOTES = {
    "image": "image: 28 x 28 pixels, 0 paper, 255 ink.",
    "audio": """audio: 39 frames (50 ms every 25 ms, of one second) of 13 MFCC, not standardised; \
metadata["statistics"] has the mean and the standard deviation of each coefficient over the \
training part's recordings, by which a run standardises.""",
}


@dataclasses.dataclass(eq=False)
class Config(tfds.core.BuilderConfig):
    """A data set of fdigits, split and paired as a run does it."""

    name: str = "bundled"
    data: str = ""  # as config.data.name; "" = `name`
    split: str = ""  # as config.data.split: paper | official | random | speaker, "" = its own
    seed: int = 0
    dir: str = DATA["dir"]
    cache: str = DATA["cache"]

    def __post_init__(self):
        self.data = self.data or self.name
        self.split = self.split or datasets.default_split(self.data)

    @functools.cached_property
    def splits(self) -> dict[str, Split]:
        """The three parts.

        Raises:
          UserError: as `prepare.load` and `pairing.splits`.
        """
        return pairing.splits(
            prepare.load(self.data, self.dir, self.cache),
            paired=datasets.is_paired(self.data),
            policy=self.split,
            seed=self.seed,
        )


class Builder(tfds.core.GeneratorBasedBuilder):
    """Digits that are written and spoken."""

    VERSION = tfds.core.Version("1.0.0")
    BUILDER_CONFIGS = [  # noqa: RUF012
        Config(name=name) for name in ("bundled", "written_spoken", *datasets.pairs())
    ]

    def _info(self) -> tfds.core.DatasetInfo:
        config = self.builder_config
        sources, held = datasets.singles(config.data), _held(config.data)
        title = datasets.title(config.data)
        about = _DESCRIPTION.format(title=title, **dataclasses.asdict(config))
        return tfds.core.DatasetInfo(
            builder=self,
            description=" ".join([about, *(_NOTES[modality] for modality in held)]),
            features=tfds.features.FeaturesDict(_features(held)),
            disable_shuffling=True,
            homepage=next((one.home for one in sources if one.home), None),
            citation="\n".join(one.citation for one in sources if one.citation),
            license="; ".join(f"{one.title}: {one.licence or 'not named'}" for one in sources),
            metadata=tfds.core.MetadataDict(split=config.split, seed=config.seed),
        )

    def _split_generators(self, _) -> dict[str, Iterator]:
        splits = self.builder_config.splits
        if "audio" in splits["train"].corpora:
            self.info.metadata["statistics"] = pipeline.statistics(splits["train"])
        return {part: _examples(split) for part, split in splits.items()}

    def _generate_examples(self):
        raise NotImplementedError("the parts' examples are made by _examples")


def _held(name: str) -> list[str]:
    """What a data set holds: image, audio or both."""
    found = datasets.find(name)
    held = {m for one in found for m in (one.modalities if one.paired else one.modalities[:1])}
    return [modality for modality in _NOTES if modality in held]


def _features(held: list[str]) -> dict[str, object]:
    """The features of images, recordings or pairs, by name."""
    image = {
        "image": tfds.features.Image(shape=(SIDE, SIDE, 1)),
        "image_id": tfds.features.Text(),
    }
    audio = {
        "audio": tfds.features.Tensor(shape=(FRAMES, COEFFICIENTS), dtype=np.float32),
        "audio_id": tfds.features.Text(),
        "speaker": tfds.features.Text(),
    }
    label = {"label": tfds.features.ClassLabel(names=[str(digit) for digit in range(CLASSES)])}
    return label | (image if "image" in held else {}) | (audio if "audio" in held else {})


def _examples(split: Split) -> Iterator[tuple[int, dict]]:
    """Training examples in the order of a run's first epoch, others in their fixed order."""
    first = split.part == "train"
    rows = pipeline.training_rows(split, split.seed, epoch=1) if first else split.examples()
    for number in range(len(split)):
        example = {"label": int(rows["label"][number])}
        for modality, corpus in split.corpora.items():
            row = rows[modality][number]
            example[modality] = corpus.x[row]
            example[f"{modality}_id"] = str(corpus.id[row])
            if modality == "audio":
                example["speaker"] = str(corpus.speaker[row])
        if "image" in example:
            example["image"] = example["image"][..., None]
        yield number, example
