"""The ten digit words of Google Speech Commands (P. Warden, arXiv:1804.03209): 16 kHz, one second.

`gsc_digits/` or `speech_commands/` holds `{word}/{speaker}_nohash_{take}.wav` in any folder, or a
tar of them, such as the corpus' own archive; the archive that TensorFlow Datasets downloaded
(`downloads/`) serves too. What it prepared from it does not: there every digit is `_unknown_`.
"""

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

from fdigits.data.corpora import audio_files
from fdigits.data.corpus import WORDS, Corpus, Recordings

FOLDERS = ("gsc_digits", "speech_commands")

_NAME = re.compile(
    rf"(?:^|/)(?P<id>(?P<word>{'|'.join(WORDS)})/(?P<speaker>[^/]+)_nohash_\d+)\.wav$"
)
LIKE = re.compile(rf"(?:^|/)(?:{'|'.join(WORDS)})/[^/]+$", re.I)
_LARGEST = 2**27 - 1  # of the corpus' hash
_TFDS_DOWNLOAD = "downloads/**/*speech_command_v0*.tar.gz"


def find(data_dir: Path) -> list[Path]:
    found = audio_files.find(data_dir, FOLDERS, parse)
    return found or sorted(data_dir.glob(_TFDS_DOWNLOAD))[:1]


def read(paths: list[Path], keep_offset: bool = False) -> Recordings:
    """All digit words, without their constant offset unless it is to be kept."""
    return audio_files.read(paths, parse, "gsc_digits", keep_offset, like=LIKE)


def doubts(paths: list[Path], corpus: Corpus) -> Iterator[str]:
    return audio_files.doubts(paths, FOLDERS, parse, LIKE)


def parse(path: str) -> audio_files.Fields | None:
    name = _NAME.search(path)
    if not name:
        return None
    return WORDS.index(name["word"]), name["id"], name["speaker"], partition(name["speaker"])


def partition(speaker: str) -> str:
    """The official part of a speaker: 10% validation, 10% test, by the hash of the name.

    The rule is published with the corpus, whose two lists are made by it.
    """
    digest = int(hashlib.sha1(speaker.encode()).hexdigest(), 16)
    percentage = digest % (_LARGEST + 1) * (100 / _LARGEST)
    return "validation" if percentage < 10 else "test" if percentage < 20 else "train"
