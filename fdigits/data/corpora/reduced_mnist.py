"""Reduced MNIST as R4 uses it: 1,000 training and 200 test images of each class.

Its pictures cannot be had, so it is derived: the first of each class in MNIST's order.
"""

import dataclasses
from pathlib import Path

import numpy as np

from fdigits.data.corpora import mnist
from fdigits.data.corpora.mnist import FOLDERS, find
from fdigits.data.corpus import CLASSES, Corpus

__all__ = ["FOLDERS", "find", "read", "reduce"]

PER_CLASS = {"train": 1_000, "test": 200}


def read(paths: list[Path]) -> Corpus:
    """MNIST's files -> 10,000 + 2,000 images; ids as in MNIST."""
    return reduce(mnist.read(paths))


def reduce(corpus: Corpus) -> Corpus:
    """The first 1,000 / 200 of each class of the train / test part."""
    rows = [
        np.flatnonzero((corpus.part == part) & (corpus.label == digit))[:count]
        for part, count in PER_CLASS.items()
        for digit in range(CLASSES)
    ]
    return dataclasses.replace(corpus.take(np.sort(np.concatenate(rows))), name="reduced_mnist")
