"""A finished run applied to other inputs: a picture, a recording, or another data set.

python -m fdigits.predict RUN --picture seven.png --recording seven.wav
python -m fdigits.predict RUN --data gsc_digits --data-dir data
python -m fdigits.predict RUN --data mnist --part test
"""

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from ml_collections import ConfigDict

from fdigits import metrics, train
from fdigits.checkpoint import Checkpoints
from fdigits.console import console
from fdigits.data import features, pairing, pictures, pipeline, prepare
from fdigits.data.corpora import audio_files
from fdigits.errors import UserError, exit_cleanly
from fdigits.models import classifiers
from fdigits.stages import classify


class Trained(NamedTuple):
    """A classifier with the weights that validation chose."""

    config: ConfigDict
    stage: classify.Classify
    state: train.TrainState
    statistics: dict | None  # of the training part's MFCC, where the model hears

    def arrays(self, corpora: Mapping) -> dict[str, np.ndarray]:
        """What the model reads of some corpora, prepared as in training."""
        wanted = classifiers.modalities(self.config.model)
        for modality in set(wanted) - corpora.keys():
            raise UserError(f"{self.config.name} reads {modality}, which is not given")
        arrays = {m: corpora[m].x for m in wanted}
        if "audio" in arrays:
            arrays["audio"] = pipeline.standardise(arrays["audio"], self.statistics)
        if "spectrogram" in arrays:
            arrays["spectrogram"] = features.colour(arrays["spectrogram"])
        return arrays


def load(workdir: Path) -> Trained:
    """Reads config, best checkpoint and training statistics of a finished run.

    Raises:
      UserError: there is no finished run.
    """
    try:
        config = ConfigDict(json.loads((workdir / "config.json").read_text()))
        best_epoch = json.loads((workdir / "result.json").read_text())["best_epoch"]
        heard = "audio" in classifiers.modalities(config.model)
        statistics = json.loads((workdir / "statistics.json").read_text()) if heard else None
        stage = classify.make(config)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"{workdir} holds no finished run of this code ({error}): train it first"
        ) from None
    state = train.create_state(stage, config, classify.blank_batch(), steps_per_epoch=1)
    with Checkpoints(workdir / "checkpoints") as checkpoints:
        state, _ = checkpoints.restore(best_epoch, state)
    return Trained(config, stage, state, statistics)


def test_on(trained: Trained, data: str, data_dir: Path, cache_dir: Path, part: str = "") -> dict:
    """Metrics on a data set the run was not trained on: all items, or those of an official part.

    Raises:
      UserError: there are no items of that part.
    """
    heard = "spectrogram" in classifiers.modalities(trained.config.model)
    corpora = prepare.load(data, data_dir, cache_dir, spectrogram=heard)
    rows = {m: np.flatnonzero((c.part == part) | (not part)) for m, c in corpora.items()}
    if not all(map(len, rows.values())):
        raise UserError(f"{data} has no {part} part")
    everything = pairing.Split("test", corpora, rows, prepare.is_paired(data), seed=0)
    feeder = pipeline.make_feeder("device", trained.arrays(corpora))
    evaluate = train.make_evaluate_chunk(trained.stage)
    outputs = train.evaluate(evaluate, trained.state, everything, feeder)
    label = everything.examples()["label"]
    return metrics.summary(outputs["logits"], label)


def probabilities(trained: Trained, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
    """Class probabilities `[N, 10]` of pictures `[N,28,28]` uint8, MFCC `[N,39,13]`, not yet
    standardised, and spectrograms `[N,128,128]` uint8, as far as the model reads them."""

    class Given(NamedTuple):
        x: np.ndarray

    arrays = trained.arrays({m: Given(x) for m, x in inputs.items()})
    logits = trained.stage.evaluate(trained.state.params, trained.state.batch_stats, arrays)
    return np.asarray(jax.nn.softmax(logits["logits"]))


@exit_cleanly
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="workdir of a finished run")
    parser.add_argument("--picture", type=Path, help="image file of one digit")
    parser.add_argument("--recording", type=Path, help="wav file of one digit word")
    parser.add_argument("--data", help="test on all items of this data set instead")
    parser.add_argument("--part", default="", choices=pairing.PARTS, help="of it alone")
    parser.add_argument("--data-dir", type=Path, default=Path("data"))
    parser.add_argument("--cache", type=Path, default=Path(prepare.CACHE))
    args = parser.parse_args()
    if args.part and not args.data:
        parser.error("--part is a part of --data, which is not given")
    trained = load(args.run)
    if args.data:
        tested = test_on(trained, args.data, args.data_dir, args.cache, args.part)
        recall = " ".join(f"{r:.2f}" for r in tested["per_class"])
        console.print(
            f"{trained.config.name} on {f'{args.data} {args.part}'.strip()}: "
            f"accuracy {tested['accuracy']:.4f}, macro-F1 {tested['macro_f1']:.4f}, "
            f"n {tested['n']}, recall per class {recall}"
        )
        return
    inputs = {}
    if args.picture:
        inputs["image"] = pictures.read(args.picture)[None]
    if args.recording:
        try:
            content = args.recording.read_bytes()
        except OSError as error:
            raise UserError(f"{args.recording} cannot be read ({error})") from None
        signal, rate = audio_files.decode(str(args.recording), content)
        inputs["audio"] = features.mfcc(signal, rate, str(args.recording))[None]
        inputs["spectrogram"] = features.spectrogram(signal, rate, str(args.recording))[None]
    p = probabilities(trained, inputs)[0]
    for digit in np.argsort(-p)[:3]:
        console.print(f"{digit}  {p[digit]:.4f}")


if __name__ == "__main__":
    main()
