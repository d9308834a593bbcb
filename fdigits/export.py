"""A finished run, or the weights that ship, as StableHLO that runs without fdigits and Flax.

python -m fdigits.export [RUN] OUT

Writes into the folder OUT, for what the model reads, `NAME.stablehlo` (weights inside, a batch of
any size, for CPU and CUDA); where either modality is enough, one file for each and one for both.
Beside them `load.py`, which needs jax alone, and `README.md`, which tells the inputs.
"""

import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path

import jax
import jax.export

from fdigits import trained
from fdigits.arguments import Parser
from fdigits.console import console
from fdigits.data.corpus import MODALITIES, STANDARDISED
from fdigits.errors import UserError, exit_cleanly
from fdigits.files import atomic, path_of
from fdigits.trained import Trained

PLATFORMS = ("cpu", "cuda")
EXPORTED = "exported from fdigits"  # in an export's README
LOAD = '''"""An exported model; needs jax and flatbuffers alone: pip install jax flatbuffers

python load.py NAME.stablehlo image=IMAGES.npy ... prints each item's probabilities of the digits.
"""

import sys
from pathlib import Path


def load(file):
    """The model, a function of arrays by name, `[B, ...]` each: `load(file)(image=x)` `[B, 10]`."""
    import jax.export

    return jax.jit(jax.export.deserialize(bytearray(Path(file).read_bytes())).call)


if __name__ == "__main__":
    import numpy as np

    given = dict(pair.split("=", 1) for pair in sys.argv[2:])
    print(np.asarray(load(sys.argv[1])(**{name: np.load(file) for name, file in given.items()})))
'''
TOLD = {  # what an input is, beside its type and shape
    "image": "the digit's ink, 0 paper to 255, in MNIST's form (a box of 20 x 20)",
    "audio": "MFCC of one second",
    "spectrogram": "row 0 the highest band; black, red, yellow, white from quiet to loud",
    "frames": "MFCC of a recording, then zeros; the last column is 1 for sound, 0 for padding",
    "mean_mfcc": "MFCC of a recording, averaged over time",
    "word": "1.25 s at 8 kHz, the word in the middle, of the loudness that fdigits gives it",
}


def combinations(model: Trained) -> list[tuple[str, ...]]:
    """The inputs that the model can be given together, in order.

    Raises:
      UserError: it reads what another stage makes.
    """
    for name in model.task.reads:
        if name not in MODALITIES:
            raise UserError(
                f"{model.config.name} reads {name}, which another stage makes: an export holds one "
                "model, give a run that reads pictures or recordings"
            )
    if model.task.given:
        return [model.task.given]
    reads = model.task.reads
    sizes = range(1, len(reads) + 1)
    return [some for size in sizes for some in itertools.combinations(reads, size)]


def exported(model: Trained, reads: tuple[str, ...]) -> jax.export.Exported:
    """The function of `reads`, by name, `[B, ...]` each, to probabilities `[B, 10]`, for any B.

    Raises:
      UserError: the run names no digits.
    """

    def one(batch: Mapping[str, jax.Array]) -> jax.Array:
        """An item at a time: code that counts its items needs a number, not a symbol."""
        batch = {name: x[None] for name, x in batch.items()}
        outputs = model.task.evaluate(model.params, model.batch_stats, batch)
        return model.task.probabilities(outputs)[0]

    def probabilities(**batch: jax.Array) -> jax.Array:
        return jax.vmap(one)(batch)

    (size,) = jax.export.symbolic_shape("batch")
    shapes = {name: (size, *_shape(model, name)) for name in reads}
    kinds = {name: MODALITIES[name].dtype for name in reads}
    given = {name: jax.ShapeDtypeStruct(shapes[name], kinds[name]) for name in reads}
    return jax.export.export(jax.jit(probabilities), platforms=PLATFORMS)(**given)


def _shape(model: Trained, name: str) -> tuple[int, ...]:
    """Of one item; frames are as many as those that were trained on."""
    return tuple(size or model.statistics["length"] for size in MODALITIES[name].read)


def described(model: Trained, names: list[str]) -> Iterator[str]:
    """The export's README, in lines."""
    yield f"# {model.config.name}, {EXPORTED}\n"
    yield f"{', '.join(names)}: StableHLO with the weights inside, for {' and '.join(PLATFORMS)}."
    yield "`load.py` (jax and flatbuffers, nothing else) gives the function:\n"
    keywords = ", ".join(f"{name}={name}" for name in model.task.given or model.task.reads)
    yield "```python\nfrom load import load\n"
    yield f'p = load("{names[-1]}")({keywords})  # [B, 10], a row sums to 1\n```\n'
    yield "Inputs, a batch of any size B:\n"
    for name in model.task.given or model.task.reads:
        shape = ", ".join(map(str, ("B", *_shape(model, name))))
        yield f"- `{name}` [{shape}] {MODALITIES[name].dtype}: {TOLD[name]}"
        if name in STANDARDISED:
            mean, std = (model.statistics[key] for key in ("mean", "std"))
            yield f"  Of each coefficient less `{mean}`, divided by `{std}`."
    yield "\n`fdigits.data.pictures.read` and `fdigits.data.recordings.read` make them of files."


def write(model: Trained, out: Path) -> list[Path]:
    """Writes the export into the folder `out`; returns its files.

    Raises:
      UserError: the model cannot be exported, nothing can be written there, or what lies there is
        no export.
    """
    _refuse_others(out)
    made = {"+".join(reads): exported(model, reads) for reads in combinations(model)}
    files = {f"{name}.stablehlo": one.serialize() for name, one in made.items()}
    readme = "\n".join(described(model, list(files))) + "\n"
    files |= {"load.py": LOAD.encode(), "README.md": readme.encode()}
    try:
        for name, content in files.items():
            with atomic(out / name) as temporary:
                temporary.write_bytes(content)
    except OSError as error:
        raise UserError(f"{out} cannot be written ({error.strerror}): name a folder") from None
    return [out / name for name in files]


def _refuse_others(out: Path) -> None:
    """Leaves a run, and a person's own README, as they are."""
    if (out / "result.json").exists():
        raise UserError(f"{out} is a run: to export it, name the folder for the export after it")
    readme = out / "README.md"
    ours = readme.is_file() and EXPORTED in readme.read_text(errors="replace")
    for name in ("README.md", "load.py"):
        if (out / name).exists() and not ours:
            raise UserError(f"{out / name} is there already, of no export: name another folder")


@exit_cleanly
def main(arguments: list[str] | None = None) -> None:
    parser = Parser("fdigits.export", __doc__)
    parser.add_argument("run", type=path_of, nargs="?", help="workdir of a finished run")
    parser.add_argument("out", type=path_of, help="folder for the export")
    given = parser.parse_args(arguments)
    model = trained.load(given.run) if given.run else trained.shipped()
    files = write(model, given.out)
    told = f"the run {given.run}" if given.run else "the weights that ship"
    console.print(f"{model.config.name}, {told}:")
    for file in files:
        console.print(f"{file}  {file.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
