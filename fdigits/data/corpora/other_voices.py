"""Small collections of digit words by other people, brought to 16 kHz.

`other_voices/` holds `voice_a/{digit}/*.flac` (github.com/secretlessai/audio-mnist, MIT; 4 s with
one word in it, taken for one speaker) and `audio_mnist/{speaker}/{digit}_{speaker}_{take}.wav`
(AudioMNIST, MIT, 48 kHz). They have no official parts: all is "train".
"""

import re
from collections.abc import Iterator
from pathlib import Path

from fdigits.data.corpora import audio_files, audio_mnist
from fdigits.data.corpus import Corpus, Recordings

FOLDERS = ("other_voices",)
RATE = 16_000  # Hz

_NAME = re.compile(r"(?:^|/)(?P<id>(?P<speaker>voice_\w+)/(?P<digit>\d)/[^/]+)\.(?:flac|wav)$")
_LIKE = re.compile(r"(?:^|/)\d(?:/[^/]+|[^/]*)$")


def find(data_dir: Path) -> list[Path]:
    return audio_files.find(data_dir, FOLDERS, parse)


def read(paths: list[Path], keep_offset: bool = False) -> Recordings:
    """All recordings at 16 kHz, without their constant offset unless it is to be kept."""
    return audio_files.read(paths, parse, "other_voices", keep_offset, RATE, _LIKE)


def doubts(paths: list[Path], corpus: Corpus) -> Iterator[str]:
    return audio_files.doubts(paths, FOLDERS, parse, _LIKE)


def parse(path: str) -> audio_files.Fields | None:
    name = _NAME.search(path)
    if name:
        return int(name["digit"]), name["id"], name["speaker"], "train"
    known = audio_mnist.parse(path)
    return known and (*known[:3], "train")
