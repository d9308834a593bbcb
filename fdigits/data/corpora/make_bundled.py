"""Makes the embedded data set: `python -m fdigits.data.corpora.make_bundled FOLDER`.

Handwriting: scikit-learn's `load_digits` (1,797 pictures 8x8 of the UCI test set by 13 writers,
E. Alpaydin and C. Kaynak, CC BY 4.0) brought to MNIST's form. Speech: digit words by the eSpeak NG
synthesiser in 52 voices (its variants), each in all of eight English accents; no voice is in two
parts. Robots, whispers, near copies of another variant and voices with a loud echo are left out.
All draws are seeded. Needs scikit-learn, librosa, soundfile, Pillow, espeakng-loader.
"""

import importlib.metadata
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from fdigits.arguments import Parser
from fdigits.data import features
from fdigits.data.corpora import synthesiser
from fdigits.data.corpora.bundled import FEATURES, FOLDER, SAMPLES
from fdigits.data.corpora.synthesiser import Utterance
from fdigits.data.corpus import CLASSES, PARTS, WORDS, Recordings
from fdigits.data.pictures import BOX, centre
from fdigits.errors import exit_cleanly
from fdigits.files import atomic, path_of, write_arrays

SEED = 0
TAKES = 5  # utterances of a word by a voice
RATES, PITCHES = (130, 230), (20, 80)  # words a minute; eSpeak's scale
ACCENTS = "en-us en-us-nyc en en-gb-scotland en-gb-x-rp en-gb-x-gbclan en-gb-x-gbcwmd en-029"
FEMALE = "Andrea Annie anika aunty belinda f1 f2 f3 f4 f5 grandma shelby steph zac"
MALE = (
    "Alex Andy Denis Diogo Gene Jacky Lee Mario Mike Nguyen adam antonio boris david ed edward "
    "grandpa gustave ian iven john kaukovalta m1 m2 m3 m4 m5 m6 m7 m8 marcelo max norbert paul "
    "quincy rob travis victor"
)


def voices(seed: int = SEED) -> dict[str, str]:
    """Voice (variant) -> part: 36 train, 8 validation, 8 test, both sexes in each."""
    rng = np.random.default_rng([seed, 1])
    part = {}
    for variants in (FEMALE.split(), MALE.split()):
        held_out = round(len(variants) * 0.15)
        for i, variant in enumerate(rng.permutation(variants).tolist()):
            part[variant] = (
                "test" if i < held_out else "validation" if i < 2 * held_out else "train"
            )
    return part


def utterances(voice: str, seed: int = SEED) -> list[Utterance]:
    """The 50 words of a voice, by digit and take: each take another accent, rate and pitch."""
    rng = np.random.default_rng([seed, 2, *voice.encode()])
    return [
        Utterance(word, f"{accent}+{voice}", int(rng.integers(*RATES)), int(rng.integers(*PITCHES)))
        for word in WORDS
        for accent in rng.choice(ACCENTS.split(), TAKES, replace=False)
    ]


def speech(names: list[str], seed: int = SEED) -> Recordings:
    """All words of some voices, at 22,050 Hz; ids `{digit}_{accent}+{voice}`."""
    return recorded({name: utterances(name, seed) for name in names}, seed)


def recorded(plan: Mapping[str, list[Utterance]], seed: int = SEED) -> Recordings:
    """Each voice's utterances, spoken; label and id of a word that is no digit have -1.

    Raises:
      UserError: as `synthesiser.speak_lists`.
    """
    spoken = synthesiser.speak_lists(list(plan.values()))
    said = [utterance for one in plan.values() for utterance in one]
    label = [WORDS.index(one.word) if one.word in WORDS else -1 for one in said]
    part = voices(seed)
    return Recordings(
        [samples.astype(np.float32) / 32_768 for one in spoken for samples in one],
        synthesiser.SAMPLING_RATE,
        np.array(label, np.int32),
        np.array([f"{d}_{u.voice}" for d, u in zip(label, said, strict=True)]),
        np.array([name for name, one in plan.items() for _ in one]),
        np.array([part[name] for name, one in plan.items() for _ in one]),
    )


def like_mnist(picture: np.ndarray) -> np.ndarray:
    """A picture [8,8] of 0..16 -> [28,28] uint8.

    As MNIST was made (LeCun 1998): the digit's box scaled to 20 pixels, its aspect kept, its centre
    of mass put into the middle.
    """
    from scipy import ndimage

    ink = np.argwhere(picture > 0)
    (top, left), (bottom, right) = ink.min(0), ink.max(0) + 1
    box = np.pad(picture[top:bottom, left:right].astype(np.float64), 1)
    scale = BOX / max(bottom - top, right - left)
    grown = ndimage.zoom(box, scale, order=3, mode="grid-constant", grid_mode=True)
    grown = 255 * np.clip((grown / grown.max() - 0.1) / 0.8, 0, 1)  # no ringing, MNIST's contrast
    return centre(grown)


def handwriting(seed: int = SEED) -> dict[str, np.ndarray]:
    """image [1797,28,28] uint8, label, id, part (70/15/15 of each class, drawn by `seed`)."""
    from sklearn.datasets import load_digits

    source = load_digits()
    label = source.target.astype(np.int32)
    part = np.empty(len(label), "U10")
    rng = np.random.default_rng([seed, 3])
    for digit in range(CLASSES):
        rows = rng.permutation(np.flatnonzero(label == digit))
        cuts = np.round(np.array([0.7, 0.85]) * len(rows)).astype(int)
        for name, piece in zip(PARTS, np.split(rows, cuts), strict=True):
            part[piece] = name
    image = np.stack([like_mnist(picture) for picture in source.images])
    return {
        "image": image,
        "label": label,
        "id": np.array([f"digits/{i:04d}" for i in range(len(label))]),
        "part": part,
    }


def make(target: Path) -> None:
    """Writes `features.npz` and `samples/{digit}.wav`, `.png` into `target`."""
    pictures = handwriting()
    recordings = speech(list(voices()))
    audio = features.extract(recordings).astype(np.float16)
    shown = {
        "picture": _one_per_digit(pictures["label"], pictures["part"]),
        "recording": _one_per_digit(recordings.label, recordings.part),
    }
    for digit in range(CLASSES):
        _write_png(target / SAMPLES / f"{digit}.png", pictures["image"][shown["picture"][digit]])
        row = shown["recording"][digit]
        _write_wav(target / SAMPLES / f"{digit}.wav", recordings.signal[row])
    packages = ("numpy", "scikit-learn", "scipy", "librosa", "espeakng-loader")
    write_arrays(
        target / FEATURES,
        **{f"digits.{column}": values for column, values in pictures.items()},
        **{
            "espeak.audio": audio,
            "espeak.label": recordings.label.astype(np.uint8),
            "espeak.voice": recordings.speaker,
            "espeak.part": recordings.part,
            "espeak.id": recordings.id,
            "sample.picture": pictures["id"][shown["picture"]],
            "sample.recording": recordings.id[shown["recording"]],
            "version": np.array(features.VERSION),
            "made_with": np.array([f"{p} {importlib.metadata.version(p)}" for p in packages]),
        },
    )


def _one_per_digit(label: np.ndarray, part: np.ndarray) -> np.ndarray:
    rng = np.random.default_rng([SEED, 4])
    return np.array(
        [rng.choice(np.flatnonzero((label == d) & (part == "test"))) for d in range(CLASSES)]
    )


def _write_wav(path: Path, signal: np.ndarray) -> None:
    import soundfile

    with atomic(path) as temporary:
        samples = features.prepared(signal, synthesiser.SAMPLING_RATE)
        soundfile.write(temporary, samples, features.RATE, subtype="PCM_16")


def _write_png(path: Path, picture: np.ndarray) -> None:
    from PIL import Image

    with atomic(path) as temporary:
        Image.fromarray(picture).save(temporary, optimize=True)


@exit_cleanly
def main() -> None:
    parser = Parser("fdigits.data.corpora.make_bundled", "Makes the bundled set anew.")
    parser.add_argument(
        "folder", type=path_of, help=f"where to write it; the package's is {FOLDER}"
    )
    folder = parser.parse_args().folder
    make(folder)
    print(f"{folder / FEATURES}: {(folder / FEATURES).stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
