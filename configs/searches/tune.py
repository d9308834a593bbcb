"""A search by TPE, which learns from the trials before, for any classifier's rate and dropout.

python launch.py --config=configs/searches/tune.py[:SYSTEM[:ARGUMENT]] [--config.trials=N]

SYSTEM is a config file's name and ARGUMENT its argument: `hybrid:mnist_fsdd,audio=lstm`.
"""

from fdigits.cells import load
from fdigits.config import search


def get_config(arg: str = ""):
    system, _, argument = (arg or "hybrid").partition(":")
    base = load(f"configs/{system}.py:{argument}")
    space = dict(
        model=dict(dropout=dict(low=0.0, high=0.7)),
        optimizer=dict(
            learning_rate=dict(low=1e-5, high=1e-2, log=True),
            weight_decay=dict(low=1e-7, high=1e-2, log=True),
        ),
        batch_size=(16, 32, 64),
    )
    return search(f"tune-{base.name}", base, space, sampler="tpe", pruner="median", trials=30)
