"""From workdirs to the blocks of a report."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from fdigits.errors import UserError
from fdigits.report import attention, embeddings, figures, fusion, statistics, words
from fdigits.report.artifacts import Run, load
from fdigits.report.comparison import comparison, same_test
from fdigits.report.page import Block, Grid, Heading, Items, Note, Picture, publish
from fdigits.report.style import png
from fdigits.report.terminal import percent

THING = {"image": "images", "audio": "recordings", "spectrogram": "spectrograms"}
LOSSES = {"mse": "squared error"}  # else cross-entropy


def build(paths: list[Path], out: Path, apart: bool) -> Path:
    """See `fdigits.report.write`."""
    paths, out = [Path(path) for path in paths], Path(out)
    if not paths:
        raise UserError("no run given: name the workdir of at least one finished run")
    if out.exists() and not out.is_dir():
        raise UserError(f"{out} is a file: give a folder to write the report into")
    twice = [path for path in paths if [p.resolve() for p in paths].count(path.resolve()) > 1]
    if twice:
        raise UserError(f"the run {twice[0]} is given twice: name each run once")
    loaded = [load(path) for path in paths]
    runs = dict(zip(words.labels(loaded), loaded, strict=True))
    subject = "; ".join(runs) if len(runs) <= 3 else f"{len(runs)} runs"
    groups = same_test(runs, apart)
    blocks = [*results(runs), *samples(runs), *learning(runs)]
    for number, group in enumerate(groups, start=1):
        blocks += comparison(group, f"_{number}" if len(groups) > 1 else "")
    blocks += [*confusions(runs), *attention.looks(runs), *fusion.weights(runs), *maps(runs)]
    try:
        return publish(f"fdigits report: {subject}", blocks, out)
    except OSError as error:
        raise UserError(f"cannot write the report into {out}: {error}") from error


def results(runs: dict[str, Run]) -> Iterator[Block]:
    yield Heading("Results")
    rows, methods = [], set()
    for run in runs.values():
        test, reported = run.result["metrics"]["test"], words.reported(run)
        interval = statistics.accuracy_interval(run.correct_n, run.seen())
        methods.add(interval.method)
        sign = "" if interval.method == "Wilson" else " *"
        rows.append([
            run.system, words.data(run.config["data"]["name"]), words.short_protocol(run),
            str(run.result["seed"]), f"{run.result['parameters']:,}",
            percent(test["accuracy"]),
            f"{percent(interval.low)}–{percent(interval.high)}{sign}",
            f"{test['macro_f1']:.4f}", f"{test['n']:,}", percent(reported.get("accuracy")),
            f"{reported['macro_f1']:.3f}" if reported.get("macro_f1") else "–",
            reported.get("source") or "–",
        ])  # fmt: skip
    yield Grid(
        ["system", "data", "protocol", "seed", "parameters", "accuracy %", "95% interval",
         "macro-F1", "n", "reported %", "reported F1", "source"],
        rows, numbers=range(3, 11),
    )  # fmt: skip
    text = "Accuracy and macro-F1 are of the test part, "
    once = "looked at once, with the weights best on the validation part"
    watched = "which also validates, as in the report, with the last epoch's weights"
    if all(words.test_validates(run) for run in runs.values()):
        text += watched
    elif any(words.test_validates(run) for run in runs.values()):
        text += f"{once}, or, where marked †, {watched}"
    else:
        text += once
    text += ". Intervals are Wilson's"
    if methods - {"Wilson"}:
        text += (
            "; those marked * are a bootstrap over whole clusters, because the same image or "
            "recording stands in several test items"
        )
    yield Note(text + ". They speak of new items of the same writers and speakers.")
    yield Items(facts(runs))


def facts(runs: dict[str, Run]) -> list[str]:
    """Data and protocol of each run, runs alike in one line, and what to know of them."""
    alike: dict[str, list[str]] = {}
    for name, run in runs.items():
        alike.setdefault(words.setting(run).removeprefix("Data: "), []).append(name)
    lines = [f"{', '.join(names)}: {setting}" for setting, names in alike.items()]
    for run in runs.values():
        lines += words.notes(run)
    return list(dict.fromkeys(lines))


def samples(runs: dict[str, Run]) -> Iterator[Block]:
    yield Heading("The data")
    for name in dict.fromkeys(run.config["data"]["name"] for run in runs.values()):
        of_data = [run for run in runs.values() if run.config["data"]["name"] == name]
        for run in [run for run in of_data if run.image_nx28x28 is not None][:1]:
            figure = figures.pictures(run.image_nx28x28, run.label_n)
            caption = f"Images of the test part, a column per class. {words.setting(run)}"
            title = f"Images of {words.data(name)}"
            yield Picture(f"{words.slug(name)}_images", png(figure), title, caption, 720)
        for run in [run for run in of_data if run.audio_mxtxc is not None][:1]:
            frames, coefficients = run.audio_mxtxc.shape[1:]
            label_m = np.zeros(len(run.audio_mxtxc), int)
            label_m[run.audio_row_n] = run.label_n
            caption = (
                f"MFCC of one test recording of each digit: {frames} frames × {coefficients} "
                "coefficients, each coefficient standardised over the test recordings; colours "
                f"end at three standard deviations. {words.setting(run)}"
            )
            figure = figures.recordings(run.audio_mxtxc, label_m)
            title = f"Recordings of {words.data(name)}"
            yield Picture(f"{words.slug(name)}_recordings", png(figure), title, caption, 720)
        for run in [run for run in of_data if run.spectrogram_nxhxw is not None][:1]:
            figure = figures.spectrograms(run.spectrogram_nxhxw, run.label_n)
            caption = (
                "Spectrogram of one test recording of each digit over one second, in Mel bands up "
                "to 4 kHz; 0 dB is the mean square of the recording's loudest 50 ms, black is "
                f"-55 dB and less. The model sees it in three colours. {words.setting(run)}"
            )
            title = f"Spectrograms of {words.data(name)}"
            yield Picture(f"{words.slug(name)}_spectrograms", png(figure), title, caption, 720)
        for run in [run for run in of_data if run.augmentations][:1]:
            shown = run.augmentations
            caption = (
                "One test image and what each augmentation makes of it, at full strength, combined "
                f"at the run's. {words.setting(run)}"
            )
            figure = figures.augmentations(shown["name"].tolist(), shown["image"])
            title = f"Augmentations of {words.data(name)}"
            yield Picture(f"{words.slug(name)}_augmentations", png(figure), title, caption, 420)


def learning(runs: dict[str, Run]) -> Iterator[Block]:
    yield Heading("Learning curves")
    losses = {LOSSES.get(run.config.get("loss", ""), "cross-entropy") for run in runs.values()}
    loss = " or ".join(sorted(losses))
    figure = figures.curves({name: run.history for name, run in runs.items()}, loss)
    caption = (
        f"Loss ({loss}) and accuracy over epochs: training (dashed), as it is trained, with "
        "dropout or noise where there is some, and validation (solid). Both axes are logarithmic, "
        "accuracy by its distance from 100%. "
    )
    if len(losses) > 1:
        caption += "Losses of different kinds cannot be compared. "
    caption += words.settings(runs)
    yield Picture("curves", png(figure), "Learning curves", caption, 720)


def confusions(runs: dict[str, Run]) -> Iterator[Block]:
    yield Heading("Confusion matrices")
    for name, run in runs.items():
        counts = figures.confusion_counts(run.label_n, run.predicted_n)
        caption = (
            "Counts of test items, a row per true digit, with the recall of each digit; the "
            f"errors' shade is their share of the row. {words.setting(run)}"
        )
        figure = png(figures.confusion(counts))
        yield Picture(f"confusion_{words.slug(name)}", figure, f"Confusion of {name}", caption, 520)


def maps(runs: dict[str, Run]) -> Iterator[Block]:
    yield Heading("Embeddings")
    for name, run in runs.items():
        for encoder, embedding_nxd in run.embeddings.items():
            sources = run.sources()
            source_n = sources.get(encoder, np.arange(len(run.id_n)))
            rows = embeddings.choose(source_n)
            title = f"{name}: {encoder} encoder"
            try:
                plane = embeddings.project(embedding_nxd[rows], run.label_n[rows])
            except ValueError as error:
                yield Note(f"{title}: not drawn, {error}.")
                continue
            total = len(np.unique(source_n))
            what = THING.get(encoder, "items")
            some = f"all {total:,}" if len(rows) == total else f"{len(rows):,} of {total:,}"
            caption = (
                f"Embeddings [{embedding_nxd.shape[1]}] of {some} different held-out test {what}: "
                f"PCA to {min(50, *embedding_nxd[rows].shape)}, t-SNE to 2, k-means on the plane; "
                "a cluster has the colour of the digit it matches best. R0 drew training data. "
                f"{words.setting(run)}"
            )
            figure = png(embeddings.draw(plane))
            yield Picture(
                f"map_{words.slug(name)}_{words.slug(encoder)}", figure, title, caption, 720
            )
