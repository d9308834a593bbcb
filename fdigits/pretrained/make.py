"""Makes the weights that come with fdigits, of a finished run of `configs/strangers.py`.

python -m fdigits.pretrained.make RUN --picture .5 --recording .5 --data-dir data

Parameters and statistics go into `weights.msgpack` in half precision (msgpack of arrays, which runs
no code), the config into `config.json`, the least probabilities that count as a digit into
`thresholds.json`, the digests of these three into `digests.json`, and accuracies of what was
written into `figures.json`. README.md beside them is the model card: write its figures anew.
"""

from pathlib import Path

import jax
import numpy as np

from fdigits import evaluate
from fdigits.arguments import Parser
from fdigits.config import DATA
from fdigits.errors import UserError, exit_cleanly
from fdigits.files import atomic, digest, path_of, write_json
from fdigits.trained import DIGESTS, SHIPPED, THRESHOLDS, WEIGHTS, Trained, load, shipped

FIGURES = "figures.json"
TESTED = (("digits", ""), ("mnist", "test"), ("fsdd", "test"), ("gsc_digits", ""))  # data, part


def ship(run: Trained, least: dict[str, float], folder: Path = SHIPPED) -> None:
    """Writes a run's weights, its config and `least` into `folder`.

    Raises:
      UserError: the run reads something that a person's file does not give.
    """
    from flax import serialization

    if run.statistics or run.config.data.encoded:
        raise UserError(f"{run.workdir} reads what other files hold: ship a recogniser's run")
    weights = {"params": run.params, "batch_stats": run.batch_stats}
    halved = jax.tree.map(lambda x: np.asarray(x, np.float16), weights)
    if not all(np.isfinite(x).all() for x in jax.tree.leaves(halved)):
        raise UserError(f"{run.workdir} has weights beyond half precision: it cannot ship")
    with atomic(folder / WEIGHTS) as file:
        file.write_bytes(serialization.msgpack_serialize(halved))
    config = run.config.to_dict() | {"stages": {}, "start": {}, "frozen": ()}
    config["data"] |= {name: DATA[name] for name in ("dir", "cache")}  # not the trainer's folders
    write_json(folder / "config.json", config)
    write_json(folder / THRESHOLDS, least)
    shipping = (WEIGHTS, "config.json", THRESHOLDS)
    write_json(folder / DIGESTS, {name: digest(folder / name) for name in shipping})


def measure(data_dir: Path, cache: Path) -> None:
    """Writes the shipped weights' accuracy on `TESTED`."""
    run, figures = shipped(), {}
    for data, part in TESTED:
        tested = evaluate.test_on(run, data, data_dir, cache, part)
        figures[f"{data} {part}".strip()] = {key: tested[key] for key in ("accuracy", "n")}
    write_json(SHIPPED / FIGURES, figures)


@exit_cleanly
def main() -> None:
    parser = Parser("fdigits.pretrained.make", __doc__.splitlines()[0])
    parser.add_argument("run", type=path_of, help="workdir of a finished run of strangers.py:both")
    for kind in ("picture", "recording"):
        parser.add_argument(f"--{kind}", type=float, default=0.5, help="least probability")
    parser.add_argument("--data-dir", type=path_of, default=Path(DATA["dir"]))
    parser.add_argument("--cache", type=path_of, default=Path(DATA["cache"]))
    args = parser.parse_args()
    ship(load(args.run), {"picture": args.picture, "recording": args.recording})
    measure(args.data_dir, args.cache)


if __name__ == "__main__":
    main()
