"""Makes docs/recognised.png: what the shipped recogniser says of pairs of MNIST's and FSDD's tests.

python docs/recognised.py DATA_DIR    (holds mnist/ and fsdd/, see docs/data.md)

In the last three columns noise is laid over the picture, the recording, and both.
"""

import sys
import tempfile
from pathlib import Path

import matplotlib
import numpy as np
import soundfile
from matplotlib.figure import Figure
from PIL import Image

from fdigits import Recogniser
from fdigits.data.corpora import fsdd, mnist
from fdigits.report.style import INK, PALE, RUNS, STYLE

PAIRS = (  # a digit, the noise on its picture in greys, the noise on its word in parts of its peak
    (2, 0, 0), (7, 0, 0), (5, 110, 0), (3, 0, 0.3), (8, 70, 0.15),
)  # fmt: skip
SHOWN = {"picture": RUNS[0], "recording": RUNS[1], "both": INK}


@matplotlib.rc_context(STYLE)
def main(data_dir: Path) -> None:
    pictures = mnist.read(mnist.find(data_dir))
    words = fsdd.read(fsdd.find(data_dir))
    recognise, random = Recogniser(), np.random.default_rng(0)
    figure = Figure(figsize=(9, 3.9))
    grid = figure.subplots(3, len(PAIRS), height_ratios=(1.5, 0.6, 1.2))
    for column, (digit, grey, hiss) in zip(grid.T, PAIRS, strict=True):
        image, word = _item(pictures, words, digit)
        image = np.clip(image + grey * random.normal(size=image.shape), 0, 255).astype(np.uint8)
        word = word + hiss * np.abs(word).max() * random.normal(size=word.shape)
        with tempfile.TemporaryDirectory() as folder:
            picture, recording = Path(folder) / "x.png", Path(folder) / "x.wav"
            Image.fromarray(255 - image).resize((224, 224)).save(picture)
            soundfile.write(recording, word / np.abs(word).max() / 2, 8000)
            found = recognise(picture=picture, recording=recording)
        _draw(column, image, word, found)
    grid[2, 0].set_ylabel("probability")
    bars = [matplotlib.patches.Patch(color=colour, label=name) for name, colour in SHOWN.items()]
    figure.legend(handles=bars, loc="outside lower center", ncols=3)
    figure.savefig(Path(__file__).with_suffix(".png"), dpi=120)


def _item(pictures, words, digit: int) -> tuple[np.ndarray, np.ndarray]:
    """A picture and a recording of a test part."""
    picture = np.flatnonzero((pictures.label == digit) & (pictures.part == "test"))[1]
    word = np.flatnonzero((words.label == digit) & (words.part == "test"))[digit]
    return pictures.x[picture].astype(float), np.asarray(words.signal[word], float)


def _draw(column, image, word, found) -> None:
    column[0].imshow(image, cmap="gray_r")
    column[0].set_title("no digit" if found.digit is None else f"“{found.digit}”", fontsize=13)
    column[1].plot(word, color=RUNS[1], linewidth=0.4)
    for axes in column[:2]:
        axes.set_axis_off()
    opinions = {**found.modalities, "both": found}
    for number, (name, colour) in enumerate(SHOWN.items()):
        where = np.arange(10) + 0.28 * (number - 1)
        column[2].bar(where, opinions[name].probabilities, 0.28, color=colour)
    column[2].set(ylim=(0, 1), xticks=range(10))
    column[2].tick_params(labelsize=7)
    column[2].grid(axis="y", color=PALE, linewidth=0.5)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
