"""Free Spoken Digit Dataset (Z. Jackson and contributors): 3,000 recordings, 8 kHz, 6 speakers.

`fsdd/` holds wavs `{digit}_{speaker}_{index}.wav` in any folder, or a tar of them.
"""

import re
from pathlib import Path

from fdigits.data.corpora import audio_files
from fdigits.data.corpus import Recordings

FOLDERS = ("fsdd", "free-spoken-digit-dataset")

_NAME = re.compile(r"(?:^|/)(?P<id>(?P<digit>\d)_(?P<speaker>[A-Za-z]+)_(?P<index>\d+))\.wav$")


def find(data_dir: Path) -> list[Path]:
    return audio_files.find(data_dir, FOLDERS, parse)


def read(paths: list[Path], keep_offset: bool = False) -> Recordings:
    """All recordings; index 0 to 4 is the official test part, the rest train.

    Without their constant offset (nicolas' is -238 of 32,768 and betrays him), unless it is to be
    kept.
    """
    return audio_files.read(paths, parse, "fsdd", keep_offset)


def parse(path: str) -> audio_files.Fields | None:
    name = _NAME.search(path)
    if not name:
        return None
    part = "test" if int(name["index"]) < 5 else "train"
    return int(name["digit"]), name["id"], name["speaker"], part
