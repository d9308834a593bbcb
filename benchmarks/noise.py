"""A picture, a word, and both together, against noise; and what one is worth where the other lacks.

python -m benchmarks.noise [RUN] --data-dir data [--json FILE]

Without RUN the shipped weights. Items are of MNIST's and FSDD's official test parts, 1,000 pairs.
Noise is white and Gaussian: of a picture told by its standard deviation (ink is 1), of a word by
its level against the word's loudest 50 ms.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from fdigits import trained
from fdigits.config import DATA
from fdigits.console import console
from fdigits.data import pairing, prepare, recordings
from fdigits.errors import exit_cleanly
from fdigits.files import path_of, write_json
from fdigits.trained import Trained

PAIRS = 1000
SIGMAS = (0, 0.2, 0.4, 0.6, 0.8, 1.0, 1.3, 1.6, 2.0, 2.5, 3.0)  # of ink
LEVELS = (-60, -20, -10, -5, 0, 3, 6, 9, 12, 15, 20)  # dB
WORD_LEVEL = recordings.LEVEL * 32_768  # of a word's loudest 50 ms


def pairs(data_dir: Path, cache: Path) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Pictures and words of the test parts, `[1000, ...]`, and the labels."""
    corpora = prepare.load("mnist_fsdd", data_dir, cache, ("image", "word"))
    rows = {m: np.flatnonzero(one.part == "test") for m, one in corpora.items()}
    rng = np.random.default_rng(0)
    image = rng.permutation(rows["image"])[:PAIRS]
    label, words = corpora["image"].label[image], corpora["word"].label[rows["word"]]
    word = rows["word"][pairing.draw_partners(label, words, rng)]
    return {"image": corpora["image"].x[image], "word": corpora["word"].x[word]}, label


def noisy(name: str, x: np.ndarray, noise: float) -> np.ndarray:
    """Pictures or words with noise of a standard deviation, or of so many decibels."""
    rng = np.random.default_rng(1)
    scale = 255 * noise if name == "image" else WORD_LEVEL * 10 ** (noise / 20)
    whole = np.iinfo(x.dtype)
    added = x + scale * rng.normal(size=x.shape)
    if name == "word":  # louder than full scale: turned down, as a reader would
        added *= np.minimum(1, whole.max / abs(added).max(1, keepdims=True))
    return np.clip(np.round(added), whole.min, whole.max).astype(x.dtype)


def right(run: Trained, inputs: dict[str, np.ndarray], label: np.ndarray) -> float:
    """Share right of what is given."""
    logits = run.outputs(run.arrays(inputs))["logits"]
    return round(float((logits.argmax(-1) == label).mean()), 4)


def rows(run: Trained, clean: dict[str, np.ndarray], label: np.ndarray) -> Iterator[dict]:
    """Noise on one of the two, and on both at the same step of their scales."""
    for sigma, level in zip(SIGMAS, LEVELS, strict=True):
        image = noisy("image", clean["image"], sigma)
        word = noisy("word", clean["word"], level)
        yield dict(
            sigma=sigma,
            level=level,
            picture=right(run, {"image": image}, label),
            word=right(run, {"word": word}, label),
            noisy_picture_and_word=right(run, clean | {"image": image}, label),
            picture_and_noisy_word=right(run, clean | {"word": word}, label),
            both_noisy=right(run, {"image": image, "word": word}, label),
        )


@exit_cleanly
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", nargs="?", type=path_of, help="workdir of strangers.py:both")
    parser.add_argument("--data-dir", type=path_of, default=Path(DATA["dir"]))
    parser.add_argument("--cache", type=path_of, default=Path(DATA["cache"]))
    parser.add_argument("--json", type=path_of, help="file for the figures")
    args = parser.parse_args()
    run = trained.load(args.run) if args.run else trained.shipped()
    found = list(rows(run, *pairs(args.data_dir, args.cache.expanduser())))
    for row in found:
        console.print_json(json.dumps(row), indent=None)
    if args.json:
        write_json(args.json, found)


if __name__ == "__main__":
    main()
