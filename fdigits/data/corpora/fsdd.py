"""Free Spoken Digit Dataset (Z. Jackson and contributors): 3,000 recordings, 8 kHz, 6 speakers.

`fsdd/` holds wavs `{digit}_{speaker}_{index}.wav` in any folder, or a tar of them. Else it is read
from what TensorFlow Datasets prepared, whose `spoken_digit` is of an earlier release.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from fdigits.data.corpora import audio_files, tfds_folder
from fdigits.data.corpus import Corpus, Recordings

FOLDERS = ("fsdd", "free-spoken-digit-dataset")
TFDS = "spoken_digit"

_NAME = re.compile(r"(?:^|/)(?P<id>(?P<digit>\d)_(?P<speaker>[A-Za-z]+)_(?P<index>\d+))\.wav$")


def find(data_dir: Path) -> list[Path]:
    return audio_files.find(data_dir, FOLDERS, parse) or tfds_folder.find(data_dir, TFDS)


def read(paths: list[Path], keep_offset: bool = False) -> Recordings:
    """All recordings; index 0 to 4 is the official test part, the rest train.

    Without their constant offset (nicolas' is -238 of 32,768 and betrays him), unless it is to be
    kept.
    """
    if not tfds_folder.is_prepared(paths):
        return audio_files.read(paths, parse, "fsdd", keep_offset)
    builder = tfds_folder.opened(paths)
    rate, found = builder.info.features["audio"].sample_rate, []
    for _, example in tfds_folder.examples(builder):
        samples = np.float32(example["audio"]) / 32_768
        fields = parse(example["audio/filename"].decode())
        found.append((fields, samples if keep_offset else samples - samples.mean(), rate))
    return audio_files.gathered(found, "fsdd")


def doubts(paths: list[Path], corpus: Corpus) -> Iterator[str]:
    return audio_files.doubts(paths, FOLDERS, parse)


def parse(path: str) -> audio_files.Fields | None:
    name = _NAME.search(path)
    if not name:
        return None
    part = "test" if int(name["index"]) < 5 else "train"
    return int(name["digit"]), name["id"], name["speaker"], part
