"""A finished run applied to other inputs: a picture, a recording, or another data set.

python -m fdigits.predict RUN --picture seven.png --recording seven.wav
python -m fdigits.predict RUN --data gsc_digits --data-dir data
python -m fdigits.predict RUN --data mnist --part test
"""

import argparse
from collections.abc import Mapping
from pathlib import Path

import jax
import numpy as np

from fdigits import train
from fdigits.config import DATA
from fdigits.console import console
from fdigits.data import datasets, features, pairing, pictures, pipeline, prepare
from fdigits.data.corpora import audio_files
from fdigits.data.corpus import PARTS
from fdigits.errors import UserError, exit_cleanly
from fdigits.trained import Trained, load, sources

HEARD = {
    "audio": features.mfcc,
    "spectrogram": features.spectrogram,
    "frames": lambda *recording: features.padded([features.frames(*recording)])[0],
    "mean_mfcc": features.mean_mfcc,
}


def test_on(trained: Trained, data: str, data_dir: Path, cache_dir: Path, part: str = "") -> dict:
    """Metrics on a data set the run was not trained on: all items, or those of an official part.

    Raises:
      UserError: there are no items of that part.
    """
    raw = sources(trained.config, trained.task, trained.workdir)
    reads = tuple(raw.values())
    corpora = prepare.load(data, data_dir, cache_dir, reads)
    rows = {m: np.flatnonzero((c.part == part) | (not part)) for m, c in corpora.items()}
    if not all(map(len, rows.values())):
        raise UserError(f"{data} has no {part} part")
    everything = pairing.Split("test", corpora, rows, datasets.is_paired(data), seed=0, reads=reads)
    arrays = trained.arrays({modality: corpus.x for modality, corpus in corpora.items()})
    for name, modality in raw.items():
        if name != modality:
            everything = everything.renamed(modality, name)
    evaluate = train.make_evaluate_chunk(trained.task.evaluate)
    padded = pipeline.evaluation_rows(everything, train.EVALUATION_BATCH)
    outputs = train.evaluate(evaluate, trained, padded, pipeline.make_feeder("device", arrays))
    return trained.task.summary(outputs, everything.examples()["label"])


def probabilities(trained: Trained, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
    """Class probabilities `[N, 10]` of modalities as a corpus holds them, as far as they are read.

    Pictures `[N,28,28]` uint8, MFCC `[N,39,13]`, not yet standardised, spectrograms `[N,128,128]`
    uint8, frames `[N,T,14]`, means `[N,40]`.

    Raises:
      UserError: a modality is missing, or the run names no digits.
    """
    arrays = trained.arrays(inputs)
    outputs = jax.jit(trained.task.evaluate)(trained.params, trained.batch_stats, arrays)
    return np.asarray(trained.task.probabilities(outputs))


def read(trained: Trained, picture: Path | None, recording: Path | None) -> dict[str, np.ndarray]:
    """One item of what the run reads, from a person's files.

    Raises:
      UserError: a file that is no picture or no recording.
    """
    inputs = {}
    if picture:
        inputs["image"] = pictures.read(picture).image[None]
    if recording:
        try:
            content = recording.read_bytes()
        except OSError as error:
            raise UserError(f"{recording} cannot be read ({error})") from None
        signal, rate = audio_files.decode(str(recording), content)
        for modality in sources(trained.config, trained.task, trained.workdir).values():
            if modality in HEARD:
                inputs[modality] = HEARD[modality](signal, rate, str(recording))[None]
    return inputs


def told(tested: Mapping) -> str:
    """A summary in one line."""
    words = [
        f"{name.replace('macro_f1', 'macro-F1').replace('_', ' ')} {value:.4f}"
        for name, value in tested.items()
        if isinstance(value, float) and name != "loss"
    ]
    words += [f"loss {tested['loss']:.4f}"] if "loss" in tested else []
    words.append(f"n {tested['n']}")
    if "per_class" in tested:
        words.append("recall per class " + " ".join(f"{r:.2f}" for r in tested["per_class"]))
    return ", ".join(words)


@exit_cleanly
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="workdir of a finished run")
    parser.add_argument("--picture", type=Path, help="image file of one digit")
    parser.add_argument("--recording", type=Path, help="wav file of one digit word")
    parser.add_argument("--data", help="test on all items of this data set instead")
    parser.add_argument("--part", default="", choices=PARTS, help="of it alone")
    parser.add_argument("--data-dir", type=Path, default=Path(DATA["dir"]))
    parser.add_argument("--cache", type=Path, default=Path(DATA["cache"]))
    args = parser.parse_args()
    if args.part and not args.data:
        parser.error("--part is a part of --data, which is not given")
    trained = load(args.run)
    if args.data:
        tested = test_on(trained, args.data, args.data_dir, args.cache, args.part)
        on = f"{args.data} {args.part}".strip()
        console.print(f"{trained.config.name} on {on}: {told(tested)}")
        return
    p = probabilities(trained, read(trained, args.picture, args.recording))[0]
    for digit in np.argsort(-p)[:3]:
        console.print(f"{digit}  {p[digit]:.4f}")


if __name__ == "__main__":
    main()
