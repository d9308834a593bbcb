"""The embeddings of finished runs on a plane, from any checkpoint that they keep.

python -m fdigits.embed RUN [RUN ...] --out DIR [--epoch N] [--part train] [--method pca]

Writes a PNG and a CSV (id, label, cluster, x, y) for each encoder of each run, of several runs into
a folder each: PCA to 50 and t-SNE
to 2, or PCA to 2, with the true labels beside k-means' clusters (R0 Figures 6 to 8, which show
training data).
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from rich.console import Console

from fdigits import evaluate
from fdigits.arguments import Parser
from fdigits.data import pipeline
from fdigits.data.corpus import PARTS
from fdigits.errors import UserError, exit_cleanly
from fdigits.examples import shown
from fdigits.files import atomic, path_of
from fdigits.report import embeddings
from fdigits.report.artifacts import sources
from fdigits.report.page import Undrawable
from fdigits.report.style import png
from fdigits.report.words import slug
from fdigits.trained import Trained, load


def encoders(
    trained: Trained, part: str, data_dir: Path | None = None
) -> Iterator[tuple[str, np.ndarray, np.ndarray, np.ndarray]]:
    """Name, embeddings `[K, D]`, ids and labels `[K]` of each encoder, over a part's items.

    An item that stands in many pairs counts once. In training, pairs change with each epoch:
    these are the first epoch's before shuffling.

    Raises:
      UserError: the data cannot be had, or the task leaves no embeddings.
    """
    examples = evaluate.again(trained, data_dir)
    split = examples.splits[part]
    feeder = pipeline.make_feeder(trained.config.data.feeder, examples.arrays)
    outputs = evaluate.outputs(trained, split, feeder)
    found = {name: x for name, x in outputs.items() if name not in trained.task.PREDICTIONS}
    if not found:
        raise UserError(f"{trained.workdir}: its task {trained.config.task} leaves no embeddings")
    id_N, label_N = split.ids(), split.examples()["label"]
    source = sources(id_N, shown(split, examples.raw), trained.task.reads)
    for name, embedding_NxD in found.items():
        row = embeddings.choose(source.get(name, np.arange(len(id_N))))
        # As a run keeps them, so that both commands draw the same.
        yield name, embedding_NxD[row].astype(np.float16), id_N[row], label_N[row]


def draw(
    trained: Trained, part: str, method: str, out: Path, data_dir: Path | None, epoch: int = 0
) -> list[Path]:
    """Writes the figures and tables of one run; returns the figures. The epoch is in their names,
    unless it is the chosen one, 0."""
    written, which = [], f"{part}_{method}" + (f"_epoch{epoch}" if epoch else "")
    for name, embedding_KxD, id_K, label_K in encoders(trained, part, data_dir):
        try:
            plane = embeddings.project(embedding_KxD, label_K, method=method)
        except Undrawable as error:
            raise UserError(f"{trained.workdir}, {name}: not drawn, {error}") from error
        file = out / f"{slug(trained.config.name)}_{slug(name)}_{which}"
        with atomic(file.with_suffix(".png")) as temporary:
            temporary.write_bytes(png(embeddings.draw(plane)))
        with atomic(file.with_suffix(".csv")) as temporary:
            temporary.write_text(embeddings.table(plane, id_K), encoding="utf-8")
        written.append(file.with_suffix(".png"))
    return written


def _folders(runs: Sequence[Path]) -> list[str]:
    """A folder for each of several runs, by its name; numbered where names are equal."""
    names = [run.resolve().name for run in runs]
    if len(names) == 1:
        return [""]
    return [
        f"{name}_{number}" if names.count(name) > 1 else name
        for number, name in enumerate(names, start=1)
    ]


@exit_cleanly
def main(arguments: list[str] | None = None) -> None:
    parser = Parser("fdigits.embed", __doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", type=path_of, metavar="RUN", help="a run's workdir")
    parser.add_argument("--out", required=True, type=path_of, help="the folder to write into")
    parser.add_argument("--epoch", type=int, default=0, help="a kept one; else the chosen one")
    parser.add_argument("--part", default="test", choices=PARTS)
    parser.add_argument("--method", default="tsne", choices=("tsne", "pca"))
    parser.add_argument(
        "--data-dir", type=path_of, help="the folder of source files, if not the run's own"
    )
    given = parser.parse_args(arguments)
    for run, folder in zip(given.runs, _folders(given.runs), strict=True):
        trained, out = load(run, given.epoch), given.out / folder
        with Console(stderr=True).status(f"{run} ..."):
            try:
                files = draw(trained, given.part, given.method, out, given.data_dir, given.epoch)
            except OSError as error:
                raise UserError(f"cannot write into {out}: {error}") from error
        for file in files:
            print(file)


if __name__ == "__main__":
    main()
