"""The embedded data set: readers of the file that ships with the package; NumPy alone.

`make_bundled.py` made it: scikit-learn's handwritten digits in MNIST's form, and digit words by the
eSpeak NG synthesiser. It proves the program, not the science.
"""

import functools
from pathlib import Path

import numpy as np

from fdigits.data.corpus import Corpus
from fdigits.errors import UserError
from fdigits.files import read_arrays

FOLDER = Path(__file__).parent.parent / "bundled"
FEATURES = "features.npz"
SAMPLES = "samples"  # {digit}.wav and {digit}.png, one per digit, of the test part
HELD = (
    *("digits.image", "digits.label", "digits.id", "digits.part"),
    *("espeak.audio", "espeak.label", "espeak.id", "espeak.voice", "espeak.part"),
    *("sample.picture", "sample.recording"),
)


def read(name: str) -> dict[str, Corpus]:
    """`digits` -> {"image": 1,797 pictures}, `espeak` -> {"audio": 2,600 utterances}."""
    held = _arrays()
    column = {key.split(".")[1]: values for key, values in held.items() if key.startswith(name)}
    label, part, ids = column["label"].astype(np.int32), column["part"], column["id"]
    if name == "digits":
        return {"image": Corpus(name, column["image"], label, ids, np.full(len(label), ""), part)}
    audio = column["audio"].astype(np.float32)
    return {"audio": Corpus(name, audio, label, ids, column["voice"], part)}


@functools.cache
def _arrays() -> dict[str, np.ndarray]:
    try:
        held = read_arrays(FOLDER / FEATURES)
        return {name: held[name] for name in HELD}
    except (ValueError, KeyError) as error:
        raise UserError(
            f"the data that ship, {FOLDER / FEATURES}, are damaged ({error}): install fdigits again"
        ) from error


def samples() -> dict[str, list[str]]:
    """Ids of the ten items whose wav and PNG ship, by digit: {"image": [10], "audio": [10]}."""
    held = _arrays()
    return {"image": held["sample.picture"].tolist(), "audio": held["sample.recording"].tolist()}
