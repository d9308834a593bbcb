"""Digit words by eSpeak NG in number, made on this machine (`pip install espeakng-loader`).

The 52 voices (variants) of the embedded data set in each of its eight accents, two takes of each
word: 8,320 recordings, of wider rates and pitches than there. A voice has the part that it has in
the embedded set. `others` are words that are no digits.
"""

import dataclasses
from pathlib import Path

import numpy as np

from fdigits.data.corpora import make_bundled
from fdigits.data.corpora.make_bundled import ACCENTS
from fdigits.data.corpora.synthesiser import Utterance
from fdigits.data.corpus import WORDS, Recordings

VERSION = 1  # of what is spoken: a new one makes the recordings anew
TAKES = 2  # of a word by a voice in an accent
RATES, PITCHES = (110, 270), (10, 90)  # words a minute; eSpeak's scale
OTHERS = 20  # words that are no digits, by each voice
# Short and common, and unlike the ten: no "for", "tree", "ate", "heaven", "line", "fix" or "oh".
OTHER_WORDS = (
    "about across after again album animal answer apple arm autumn baby back bad bag ball banana "
    "bed big bird black book bottle bottom box boy brother brown bus butter button camera car cat "
    "cheese child church city clock close coffee cold cook corner country cup dance danger dark "
    "daughter dog down dress early earth east egg elbow evening face family farmer father finger "
    "fish flower follow foot friend garden girl glass gold good green half hammer hand happy hat "
    "help hotel house ice island jacket jump kitchen lady lamp laugh learn left lemon letter "
    "listen little lock love man map market marvin milk minute money month morning mother mouth "
    "music name north off office on open orange orchard page pardon party people pepper pocket "
    "purple push question rabbit red right river rocket room salt sheila shop sister sleep smile "
    "soap south spring star stop summer table thank thumb ticket tomorrow travel umbrella under "
    "up visual voice wall warm watch water west wood world wow yellow yes yesterday"
)


def find(_: Path) -> list[Path]:
    """No files: they are made."""
    return []


def read(_: list[Path], seed: int = 0) -> Recordings:
    """All voices' digit words at 22,050 Hz, as eSpeak NG speaks them.

    Raises:
      UserError: no synthesiser.
    """
    return _spoken({voice: digits(voice, seed) for voice in make_bundled.voices()})


def others(seed: int = 0) -> Recordings:
    """1,040 words that are no digits, 20 by each voice; all have label -1.

    Raises:
      UserError: no synthesiser.
    """
    return _spoken({voice: no_digits(voice, seed) for voice in make_bundled.voices()})


def digits(voice: str, seed: int = 0) -> list[Utterance]:
    """The 160 digit words of a voice: each twice in every accent."""
    rng = np.random.default_rng([seed, 3, *voice.encode()])
    return [
        _drawn(word, accent, voice, rng)
        for accent in ACCENTS.split()
        for word in WORDS
        for _ in range(TAKES)
    ]


def no_digits(voice: str, seed: int = 0) -> list[Utterance]:
    """20 other words of a voice, each in some accent."""
    rng = np.random.default_rng([seed, 4, *voice.encode()])
    words = rng.choice(OTHER_WORDS.split(), OTHERS, replace=False)
    return [_drawn(str(word), str(rng.choice(ACCENTS.split())), voice, rng) for word in words]


def _drawn(word: str, accent: str, voice: str, rng: np.random.Generator) -> Utterance:
    rate, pitch = int(rng.integers(*RATES)), int(rng.integers(*PITCHES))
    return Utterance(word, f"{accent}+{voice}", rate, pitch)


def _spoken(plan: dict[str, list[Utterance]]) -> Recordings:
    """Ids are `{word}_{accent}+{voice}_{number}`, numbered within a voice."""
    found = make_bundled.recorded(plan)
    said = [(i, utterance) for one in plan.values() for i, utterance in enumerate(one)]
    ids = np.array([f"{utterance.word}_{utterance.voice}_{i:03d}" for i, utterance in said])
    return dataclasses.replace(found, id=ids)
