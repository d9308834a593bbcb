"""A short run of a config on the embedded recordings, without its page.

python -m tests.tasks.short WORKDIR CONFIG[:ARGUMENT] [FIELD=VALUE ...]
"""

import sys
from pathlib import Path

from ml_collections import ConfigDict

from fdigits import report
from fdigits.run import run
from tests.test_config import get_config

SHORT = {"epochs": 8, "batch_size": 20, "data.limit": 120, "data.feeder": "device", "chunk": 2}


def short(spec: str, **fields: object) -> ConfigDict:
    """The config of "name:argument", shortened; `fields` as `optimizer__learning_rate=1.0`."""
    config = get_config(*spec.split(":"))
    with config.unlocked():
        fields = {name.replace("__", "."): value for name, value in fields.items()}
        config.update_from_flattened_dict(SHORT | fields)
    return config


if __name__ == "__main__":
    report.write = lambda runs, out: out
    fields = dict(field.split("=") for field in sys.argv[3:])
    run(short(sys.argv[2], **{k: int(v) for k, v in fields.items()}), Path(sys.argv[1]))
