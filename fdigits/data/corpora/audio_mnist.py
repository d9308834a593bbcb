"""AudioMNIST (S. Becker et al., arXiv:1807.03418): 30,000 recordings, 48 kHz, 60 speakers.

`audio_mnist/` holds `data/{speaker}/{digit}_{speaker}_{take}.wav` with `audioMNIST_meta.txt`, or a
tar of them.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path

from fdigits.data.corpora import audio_files
from fdigits.data.corpus import Corpus, Recordings
from fdigits.errors import UserError

FOLDERS = ("audio_mnist", "AudioMNIST", "audio_mnist_sample")

_NAME = re.compile(
    r"(?:^|/)(?P<speaker>\d\d)/(?P<id>(?P<digit>\d)_(?P=speaker)_(?P<take>\d+))\.wav$"
)
_META = "audioMNIST_meta.txt"
# the first of the authors' five folds for digits
_VALIDATION = {4, 11, 12, 15, 21, 27, 31, 41, 44, 47, 50, 59}
_TEST = {5, 13, 18, 22, 26, 32, 33, 42, 45, 51, 52, 60}


def find(data_dir: Path) -> list[Path]:
    return audio_files.find(data_dir, FOLDERS, parse)


def read(paths: list[Path], keep_offset: bool = False) -> Recordings:
    """All recordings, without their constant offset unless it is to be kept."""
    return audio_files.read(paths, parse, "audio_mnist", keep_offset)


def doubts(paths: list[Path], corpus: Corpus) -> Iterator[str]:
    return audio_files.doubts(paths, FOLDERS, parse)


def parse(path: str) -> audio_files.Fields | None:
    name = _NAME.search(path)
    if not name:
        return None
    number = int(name["speaker"])
    part = "validation" if number in _VALIDATION else "test" if number in _TEST else "train"
    return int(name["digit"]), name["id"], name["speaker"], part


def speakers(paths: list[Path]) -> dict[str, dict]:
    """Speaker -> gender, accent (lower case), age (None where it is a placeholder), {} if unknown.

    Args:
      paths: as `find` gives them: wavs (the file lies beside their folders) or archives.
    """
    if paths[0].suffix.lower() == ".wav":
        beside = paths[0].parent.parent / _META
        found = [beside.read_bytes()] if beside.is_file() else []
    else:
        found = [c for _, c in audio_files.files(paths, lambda path: path.endswith(_META))]
    if not found:
        return {}
    try:
        entries = json.loads(found[0])
    except ValueError as error:
        raise UserError(f"{_META} of {paths[0]}: not JSON ({error})") from error
    return {
        speaker: {
            "gender": entry.get("gender", "").lower(),
            "accent": entry.get("accent", "").lower(),
            "age": int(entry["age"]) if 0 < int(entry.get("age", 0)) < 120 else None,
        }
        for speaker, entry in entries.items()
    }
