"""The memory that a training holds, beside PyTorch's.

python -m benchmarks.memory [--systems=hybrid_cnn,...] [--json=FILE]

Each is a fresh process that imports its packages, loads the same batches and trains two chunks.
The peak is the most that the process held; of training is what came after the imports, of which
PyTorch's processes have JAX's too.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
from rich.console import Console

from benchmarks import sitting
from benchmarks.scale import fresh, peak_bytes
from benchmarks.steps import fdigits_runners, import_peers, random_chunk, read_batches
from benchmarks.systems import SYSTEMS, load_config
from fdigits import provenance
from fdigits.config import choose
from fdigits.errors import exit_cleanly
from fdigits.files import path_of

PEERS = ("torch_fused", "torch_channels_last")


def write_batches(system: str, folder: Path) -> None:
    """Leaves a chunk as fdigits reads it, and as PyTorch does, in files of a folder."""
    config = load_config(system)
    chunk = random_chunk(config)
    np.savez(folder / "fdigits.npz", **chunk)
    batches = read_batches(config, chunk)
    np.savez(
        folder / "torch.npz", **{name: np.stack([b[name] for b in batches]) for name in batches[0]}
    )


def held(system: str, name: str, folder: str) -> dict[str, int]:
    """In this process: bytes at most before and after a training of two chunks, and its steps."""
    config = load_config(system)
    if name == "fdigits":
        with np.load(Path(folder, "fdigits.npz")) as file:
            imported, chunk = peak_bytes(), dict(file)
        run = fdigits_runners(config, chunk)[0]["chunk"]
    else:
        peers = import_peers()  # fdigits' process does without PyTorch
        with np.load(Path(folder, "torch.npz")) as file:
            imported, chunk = peak_bytes(), dict(file)
        batches = [{k: x[i] for k, x in chunk.items()} for i in range(config.chunk)]
        run = peers.runner(config, batches, peers.SETTINGS[name])
    steps = run() + run()
    return {"imported_bytes": imported, "peak_bytes": peak_bytes(), "steps": steps}


def in_fresh_process(system: str, name: str, folder: Path) -> dict[str, int]:
    """`held` in a process of its own.

    Raises:
      UserError: it failed, of too little memory say.
    """
    given = ", ".join(repr(value) for value in (system, name, str(folder)))
    code = f"import json; from benchmarks.memory import held; print(json.dumps(held({given})))"
    return fresh(code, f"{system} by {name}")


def row(system: str, name: str, figure: dict[str, int]) -> tuple[str, ...]:
    peak, imported = figure["peak_bytes"], figure["imported_bytes"]
    return system, name, f"{peak / 2**20:,.0f}", f"{(peak - imported) / 2**20:,.0f}"


@exit_cleanly
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--systems", default="hybrid_cnn,image_cnn,audio_cnn,hybrid_lstm")
    parser.add_argument("--json", type=path_of, help="file that the figures join")
    args = parser.parse_args()
    systems, lines = args.systems.split(","), []
    for system in systems:
        choose(system, SYSTEMS, "system")
    peers = import_peers()
    for system in systems:
        with tempfile.TemporaryDirectory() as folder:
            write_batches(system, Path(folder))
            names = ("fdigits", *PEERS)
            found = {name: in_fresh_process(system, name, Path(folder)) for name in names}
        lines += [row(system, name, figure) for name, figure in found.items()]
        if args.json:
            versions = provenance.versions() | peers.versions()
            sitting.join(args.json, {system: found}, sitting.here(versions=versions))
    columns = ("model", "by", "peak, MiB", "of training, MiB")
    Console().print(sitting.table("memory of a training", columns, lines))


if __name__ == "__main__":
    main()
