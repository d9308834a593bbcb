"""How a recogniser does on the files of people whom it never met, and on what holds no digit.

python benchmarks/strangers.py [RUN] --data-dir data [--json FILE] [--figure FILE]

Without RUN the shipped weights. The data folder holds `strangers/index.csv` (file, digit, source,
about: "photo" or "drawn" for a picture) and `odd_inputs/index.csv` (file, digit or none, what)
beside their files, and the Speech Commands digits. No model was trained on any of them.
"""

import argparse
import csv
import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from fdigits import metrics
from fdigits.console import console
from fdigits.data.corpora import audio_files, gsc_digits
from fdigits.errors import UserError, exit_cleanly
from fdigits.files import path_of, write_json
from fdigits.recogniser import Recogniser, Recognition

RECORDINGS = (".wav", ".flac", ".ogg", ".mp3")
KINDS = ("drawn", "photo")  # of pictures
SPOKEN = "Speech Commands digits"


class Item(NamedTuple):
    """A file, what is right, and whose it is."""

    file: Path
    digit: int | None
    source: str
    about: str

    @property
    def kind(self) -> str:
        return "recording" if self.file.suffix.lower() in RECORDINGS else "picture"


class Answered(NamedTuple):
    item: Item
    digit: int | None
    probabilities: tuple[float, ...]

    @property
    def right(self) -> bool:
        return self.digit == self.item.digit


def listed(folder: Path) -> list[Item]:
    """The items of a folder's `index.csv`.

    Raises:
      UserError: there is none.
    """
    try:
        with (folder / "index.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
    except OSError as error:
        raise UserError(f"{folder} has no index.csv ({error})") from None
    return [
        Item(
            folder / row["file"],
            None if row["digit"] == "none" else int(row["digit"]),
            row.get("source", ""),
            row.get("about") or row.get("what", ""),
        )
        for row in rows
    ]


def spoken(data_dir: Path, folder: Path) -> list[Item]:
    """The Speech Commands digits, as files in `folder`.

    Raises:
      UserError: there are none.
    """
    if not (found := gsc_digits.find(data_dir)):
        raise UserError(f"{data_dir} holds no {SPOKEN}: put {gsc_digits.FOLDERS[0]}/ there")
    items = []
    for name, content in audio_files.files(found, gsc_digits.parse):
        digit, key, speaker, _ = gsc_digits.parse(name)
        file = folder / f"{key.replace('/', '_')}.wav"
        file.write_bytes(content)
        items.append(Item(file, digit, speaker, ""))
    return items


def answers(recognise: Recogniser, items: Sequence[Item]) -> list[Answered]:
    found = []
    for item in items:
        try:
            told = recognise(**{item.kind: item.file})
        except UserError:
            told = Recognition(None, (0.1,) * 10, None, None, {}, ())
        found.append(Answered(item, told.digit, told.probabilities))
    return found


def share(answered: Sequence[Answered], test: Callable[[Answered], bool]) -> float:
    return round(float(np.mean([test(one) for one in answered])), 4) if answered else 0.0


def by(answered: Sequence[Answered], key: Callable[[Item], str]) -> dict[str, float]:
    """Share of right answers of each source, say."""
    groups = defaultdict(list)
    for one in answered:
        groups[key(one.item)].append(one)
    return {name: share(group, lambda one: one.right) for name, group in sorted(groups.items())}


def figures(answered: Sequence[Answered]) -> dict:
    """Share right, of each source, told to hold no digit, and the calibration error."""
    of = by(answered, lambda item: item.source)
    p_NxV = np.array([one.probabilities for one in answered])
    label_N = np.array([one.item.digit for one in answered])
    return {
        "n": len(answered),
        "right": share(answered, lambda one: one.right),
        "no_digit": share(answered, lambda one: one.digit is None),
        "mean_of_sources": round(float(np.mean(list(of.values()))), 4),
        "worst_source": min(of.values()),
        "by_source": of,
        "by_kind": by(
            [one for one in answered if one.item.about in KINDS], lambda item: item.about
        ),
        "calibration_error": round(metrics.calibration_error(p_NxV, label_N), 4),
    }


def nothing_heard(rng: np.random.Generator) -> Iterator[tuple[str, np.ndarray]]:
    """Sounds of 1.5 s at 16 kHz that hold no word, 20 of each kind, within -1..1."""
    seconds, rate = 1.5, 16_000
    t = np.arange(int(seconds * rate)) / rate
    for _ in range(20):
        white, level = rng.normal(size=len(t)), 10 ** rng.uniform(-3, -0.7)
        spectrum = np.fft.rfft(white) / np.sqrt(np.maximum(1, np.arange(len(t) // 2 + 1)))
        pink = np.fft.irfft(spectrum, len(t))
        base, click = rng.choice([50, 60]), np.zeros(len(t))
        click[rng.integers(len(t), size=rng.integers(1, 4))] = 1
        hum = sum(np.sin(2 * np.pi * base * k * t) / k for k in (1, 2, 3, 5))
        chord = sum(np.sin(2 * np.pi * f * t) for f in 220 * 2 ** (rng.integers(0, 24, 3) / 12))
        yield "silence", 1e-5 * white
        yield "white noise", level * white / 3
        yield "pink noise", level * pink / abs(pink).max()
        yield "hum", level * (hum / abs(hum).max() + 0.01 * white)
        yield "clicks", level * click + 1e-4 * white
        yield "chord", level * chord / 3


def nothing_seen(rng: np.random.Generator) -> Iterator[tuple[str, np.ndarray]]:
    """Pictures `[H, W]` or `[H, W, 3]` uint8 without a digit: paper, noise, photographs."""
    from skimage import data, util

    names = "astronaut brick camera chelsea coffee coins grass gravel page rocket text"
    for picture in (getattr(data, name)() for name in names.split()):
        for _ in range(4):
            side = int(rng.integers(100, min(picture.shape[:2])))
            top, left = (int(rng.integers(n - side + 1)) for n in picture.shape[:2])
            yield "photographs", util.img_as_ubyte(picture[top : top + side, left : left + side])
    for _ in range(20):
        side, paper = int(rng.integers(28, 400)), rng.uniform(60, 250)
        noise = rng.normal(size=(side, side))
        yield "noise", np.clip(128 + 60 * noise, 0, 255).astype(np.uint8)
        light = np.linspace(0, rng.uniform(0, 50), side)[:, None] + rng.uniform(0, 5) * noise
        yield "blank paper", np.clip(paper + light, 0, 255).astype(np.uint8)


def nothing(folder: Path) -> list[Item]:
    """Files in `folder` that hold no digit."""
    import soundfile
    from PIL import Image

    rng, items = np.random.default_rng(0), []
    for number, (kind, sound) in enumerate(nothing_heard(rng)):
        file = folder / f"{number}.wav"
        soundfile.write(file, sound.clip(-1, 1), 16_000)
        items.append(Item(file, None, kind, "sound"))
    for number, (kind, picture) in enumerate(nothing_seen(rng)):
        file = folder / f"{number}.png"
        Image.fromarray(picture).save(file)
        items.append(Item(file, None, kind, "picture"))
    return items


def measured(recognise: Recogniser, data_dir: Path, folder: Path) -> tuple[dict, dict]:
    """All figures, and the answers to strangers' files by kind."""
    given = {"picture": [], "recording": []}
    for item in listed(data_dir / "strangers"):
        given[item.kind].append(item)
    found = {kind: answers(recognise, items) for kind, items in given.items()}
    told = {f"strangers' {kind}s": figures(answered) for kind, answered in found.items()}
    told[SPOKEN] = figures(answers(recognise, spoken(data_dir, folder)))
    odd = answers(recognise, listed(data_dir / "odd_inputs"))
    wrong = {one.item.file.name: one.digit for one in odd if not one.right}
    told["odd inputs"] = {"n": len(odd), "wrong": wrong}
    empty = answers(recognise, nothing(folder))
    told["nothing answered with a digit"] = {
        kind: share([one for one in empty if one.item.source == kind], lambda one: not one.right)
        for kind in dict.fromkeys(one.item.source for one in empty)
    }
    return told, found


def draw(found: dict[str, list[Answered]], file: Path) -> None:
    """Reliability diagrams: how often a digit is right that is said with such a probability."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot as plt

    _, axes = plt.subplots(1, len(found), figsize=(8, 3.6), layout="constrained")
    for axis, (kind, answered) in zip(axes, found.items(), strict=True):
        p_NxV = np.array([one.probabilities for one in answered])
        label_N = np.array([one.item.digit for one in answered])
        confidence, right, n = metrics.reliability(p_NxV, label_N)
        axis.plot([0, 1], [0, 1], color="0.7", lw=1)
        axis.scatter(confidence, right, s=10 + 2 * n)
        axis.set(title=f"strangers' {kind}s", xlabel="probability", ylabel="share right")
    plt.savefig(file, dpi=150)


@exit_cleanly
def main() -> None:
    import tempfile

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", nargs="?", type=path_of, help="workdir of a finished run")
    parser.add_argument("--data-dir", type=path_of, default=Path("data"))
    parser.add_argument("--json", type=path_of, help="file for the figures")
    parser.add_argument("--figure", type=path_of, help="file for the reliability diagrams")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        told, found = measured(Recogniser(args.run), args.data_dir, Path(folder))
    console.print_json(json.dumps(told))
    if args.json:
        write_json(args.json, told)
    if args.figure:
        draw(found, args.figure)


if __name__ == "__main__":
    main()
