"""Any of the ten digit words of Google Speech Commands, as many of each as there are.

`gsc_partial/` holds `{word}/{speaker}_nohash_{take}.wav` in any folder, or a tar of them. What was
gathered there has 453 speakers and four of the words in number: weigh the classes, or pair them
with pictures, or a model learns that six digits are rare.
"""

from collections.abc import Iterator
from pathlib import Path

from fdigits.data.corpora import audio_files
from fdigits.data.corpora.gsc_digits import LIKE, parse
from fdigits.data.corpus import Corpus, Recordings

FOLDERS = ("gsc_partial",)


def find(data_dir: Path) -> list[Path]:
    return audio_files.find(data_dir, FOLDERS, parse)


def read(paths: list[Path], keep_offset: bool = False) -> Recordings:
    """All digit words, without their constant offset unless it is to be kept."""
    return audio_files.read(paths, parse, "gsc_partial", keep_offset, like=LIKE)


def doubts(paths: list[Path], corpus: Corpus) -> Iterator[str]:
    return audio_files.doubts(paths, FOLDERS, parse, LIKE)
