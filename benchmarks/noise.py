"""A picture, a word, and both together, against noise; and what one is worth where the other lacks.

python -m benchmarks.noise [RUN] --data-dir data [--json FILE]

Without RUN the shipped weights. `fdigits.robustness` at levels of its own, on the same 1,000 pairs
of MNIST's and FSDD's official test parts.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

from fdigits import trained
from fdigits.config import DATA
from fdigits.console import console
from fdigits.corruptions import noisy
from fdigits.errors import exit_cleanly
from fdigits.files import path_of, write_json
from fdigits.robustness import SHIPPED_DATA, Items, System, accuracy, official_items, systems

SIGMAS = (0, 0.2, 0.4, 0.6, 0.8, 1.0, 1.3, 1.6, 2.0, 2.5, 3.0)  # of ink
LEVELS = (-60, -20, -10, -5, 0, 3, 6, 9, 12, 15, 20)  # dB


def rows(system: System, items: Items) -> Iterator[dict]:
    """Noise on one of the two, and on both at the same step of their scales."""

    def right(**inputs) -> float:
        return accuracy(system, inputs, items.label)

    for sigma, level in zip(SIGMAS, LEVELS, strict=True):
        image, word = noisy(items.x["image"], sigma), noisy(items.x["word"], level)
        yield dict(
            sigma=sigma,
            level=level,
            picture=right(image=image),
            word=right(word=word),
            noisy_picture_and_word=right(image=image, word=items.x["word"]),
            picture_and_noisy_word=right(image=items.x["image"], word=word),
            both_noisy=right(image=image, word=word),
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
    folders = args.data_dir, args.cache.expanduser()
    items = official_items(SHIPPED_DATA, ("image", "word"), *folders)
    found = list(rows(systems(run, "shipped")[0], items))
    for row in found:
        console.print_json(json.dumps(row), indent=None)
    if args.json:
        write_json(args.json, found)


if __name__ == "__main__":
    main()
