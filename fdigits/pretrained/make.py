"""Makes the weights that come with fdigits, of a finished run of `configs/strangers.py`.

python -m fdigits.pretrained.make RUN --picture .5 --recording .5

Parameters and statistics go into `weights.msgpack` in half precision (msgpack of arrays, which runs
no code), the config into `config.json`, and the least probabilities that count as a digit into
`thresholds.json`. README.md beside them is the model card: write its figures anew.
"""

import argparse
from pathlib import Path

import jax
import numpy as np

from fdigits.errors import UserError, exit_cleanly
from fdigits.files import atomic, write_json
from fdigits.trained import SHIPPED, THRESHOLDS, WEIGHTS, Trained, load


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
    with atomic(folder / WEIGHTS) as file:
        file.write_bytes(serialization.msgpack_serialize(halved))
    config = run.config.to_dict() | {"stages": {}, "start": {}, "frozen": ()}
    config["data"]["dir"] = "data"
    write_json(folder / "config.json", config)
    write_json(folder / THRESHOLDS, least)


@exit_cleanly
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="workdir of a finished run of strangers.py:both")
    for kind in ("picture", "recording"):
        parser.add_argument(f"--{kind}", type=float, default=0.5, help="least probability")
    args = parser.parse_args()
    ship(load(args.run), {"picture": args.picture, "recording": args.recording})


if __name__ == "__main__":
    main()
