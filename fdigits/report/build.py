"""From workdirs to the blocks of a report: what every run has, and what its task adds."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np

from fdigits.data.corpus import MODALITIES
from fdigits.errors import UserError
from fdigits.report import (
    autoencode,
    classify,
    embeddings,
    figures,
    generate,
    sound_to_image,
    words,
)
from fdigits.report.artifacts import Run, load
from fdigits.report.page import Block, Heading, Items, Note, Picture, publish, sound
from fdigits.report.results import MOST, Runs, by_task, results, settings

PAGES: dict[str, Callable[[Runs, bool], Iterator[Block]]] = {  # task -> the blocks of its own
    "classify": classify.blocks,
    "recognise": classify.blocks,
    "autoencode": autoencode.blocks,
    "gan": generate.blocks,
    "cvae": generate.blocks,
    "flow": generate.blocks,
    "sound_to_image": sound_to_image.blocks,
    "tune_judge": sound_to_image.blocks,
}
LOSSES = {"mse": "squared error"}  # of classifiers, else cross-entropy
BOUNDS = {"sound_to_image": "minus the evidence bound, nats"}  # of other tasks
SAMPLES = {  # modality -> how its inputs are drawn, and what the caption says
    "image": (figures.pictures, "Test part, a column per class."),
    "audio": (
        figures.recordings,
        "One test recording of each digit: {1} frames × {2} coefficients, each standardised; "
        "colours end at three standard deviations.",
    ),
    "spectrogram": (
        figures.spectrograms,
        "One test recording of each digit over one second, in Mel bands; 0 dB is its loudest 50 "
        "ms, black is -55 dB and less. The model sees it in three colours.",
    ),
    "frames": (
        figures.frames,
        "One test recording of each digit at its own length, standardised; "
        "colours end at three standard deviations.",
    ),
}


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
    own = own_blocks(runs, apart)  # first: it refuses runs that cannot be compared
    leading = {task: [block for block in page if isinstance(block, Picture)][:1]
               for task, page in own.items()}  # fmt: skip
    rest = [block for page in own.values() for block in page if [block] not in leading.values()]
    before = [*sound(results(runs, leading)), *sound(samples(runs)), *sound(learning(runs))]
    blocks = [*before, *rest, *sound(maps(runs))]
    try:
        return publish(f"fdigits report: {subject}", blocks, out)
    except OSError as error:
        raise UserError(f"cannot write the report into {out}: {error}") from error


def own_blocks(runs: Runs, apart: bool) -> dict[str, list[Block]]:
    """What each task adds to the page, its picture that says most before its others."""
    pages = by_task(runs).items()
    return {task: [*sound(PAGES[task](some, apart))] for task, some in pages if task in PAGES}


def samples(runs: Runs) -> Iterator[Block]:
    """Many settings at length; inputs and augmentations of each data set, where runs left some."""
    told = settings(runs)
    found: list[Block] = [Items(told)] if len(told) > MOST else []
    for name in dict.fromkeys(run.config["data"]["name"] for run in runs.values()):
        of_data = [run for run in runs.values() if run.config["data"]["name"] == name]
        labelled = [run for run in of_data if run.label_N is not None]
        for modality in SAMPLES:
            first = [run for run in labelled if modality in run.held][:1]
            found += [_sample(run, modality) for run in first]
        found += [_augmented(run) for run in [run for run in of_data if run.augmentations][:1]]
    if found:
        yield Heading("The data")
        yield from found


def _sample(run: Run, modality: str) -> Picture:
    (draw, caption), held = SAMPLES[modality], run.held[modality]
    label_M = np.zeros(len(held), int)
    label_M[run.rows(modality)] = run.label_N
    title = MODALITIES[modality].title
    caption = f"{caption.format(*held.shape)} {words.brief(run)}"
    file = f"{words.slug(run.config['data']['name'])}_{words.slug(title)}"
    title = f"{title[0].upper()}{title[1:]} of {words.data(run)}"
    return Picture(file, partial(draw, held, label_M), title, caption, 720)


def _augmented(run: Run) -> Picture:
    shown = run.augmentations
    own = run.config["augment"]
    told = f"Each at full strength, {own['name']} at the run's own, {own['strength']:g}."
    caption = f"{told} {words.brief(run)}"
    figure = partial(figures.augmentations, shown["name"].tolist(), shown["image"])
    file = f"{words.slug(run.config['data']['name'])}_augmentations"
    return Picture(file, figure, f"Augmentations of {words.data(run)}", caption, 420)


def learning(runs: Runs) -> Iterator[Block]:
    """The curves of each task in a figure of its own, as losses of two cannot be compared."""
    yield Heading("Learning curves")
    tasks = by_task(runs)
    for task, some in tasks.items():
        alone = len(tasks) == 1
        title = "Learning curves" if alone else f"Learning curves of the task {task}"
        histories = {name: run.history for name, run in some.items()}
        losses = {BOUNDS.get(task) or LOSSES.get(run.config.get("loss", ""), "cross-entropy")
                  for run in some.values() if run.classifies}  # fmt: skip
        loss = " or ".join(sorted(losses))
        figure = partial(figures.curves, histories, loss)
        caption = _curves_caption(figures.scalars(histories))
        if len(losses) > 1:
            caption += "Losses of different kinds cannot be compared. "
        file = "curves" if alone else f"curves_{words.slug(task)}"
        yield Picture(file, figure, title, caption + words.brief(*some.values()), 720)


def _curves_caption(names: list[str]) -> str:
    both = set(names) == {"loss", "accuracy"}
    axes = "Logarithmic axes" if both else "Axes are logarithmic where they can be"
    axes += ", accuracy by its distance from 100%" if "accuracy" in names else ""
    return f"Dashed: training, with dropout and noise; solid: validation. {axes}. "


def maps(runs: Runs) -> Iterator[Block]:
    found = [(name, run, encoder) for name, run in runs.items() for encoder in run.embeddings]
    if found:
        yield Heading("Embeddings")
    for name, run, encoder in found:
        yield _map(name, run, encoder)


def _map(name: str, run: Run, encoder: str) -> Block:
    title = f"{name}: {encoder} encoder"
    if run.label_N is None:
        return Note(f"{title}: not drawn, the run left no labels.")
    source_N = run.sources().get(encoder, np.arange(len(run.id_N)))
    rows = embeddings.choose(source_N)
    embedding_KxD = run.embeddings[encoder][rows]
    total = len(np.unique(source_N))
    caption = f"{embeddings.caption(encoder, embedding_KxD.shape, total)} {words.brief(run)}"
    file = f"map_{words.slug(name)}_{words.slug(encoder)}"
    figure = partial(embeddings.figure, embedding_KxD, run.label_N[rows])
    return Picture(file, figure, title, caption, 720)
