"""Runs the experiment, the study or the search of a config file.

python launch.py --config=configs/hybrid.py [--workdir=DIR] [--config.field=value ...]
"""

import os
import warnings

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")  # TensorFlow only feeds; this says so quietly

from absl import app, flags, logging
from ml_collections import config_flags

from fdigits.config import XLA_CACHE, parse_flags
from fdigits.errors import UserError, exit_cleanly

CONFIG = config_flags.DEFINE_config_file("config", None, "The experiment, e.g. configs/hybrid.py")
WORKDIR = flags.DEFINE_string("workdir", None, "Where it goes; default runs/<config name>")


@exit_cleanly
def main(arguments: list[str]) -> None:
    if len(arguments) > 1:
        raise UserError(f"{arguments[1]!r} is no flag: did you mean --config.{arguments[1]}?")
    logging.set_verbosity(logging.FATAL)  # what Orbax's threads meet is raised, too
    # A full disk under JAX's cache only means that it compiles again next time.
    warnings.filterwarnings("ignore", "Error writing persistent compilation cache")
    import jax

    from fdigits.files import path_of

    jax.config.update("jax_compilation_cache_dir", str(path_of(XLA_CACHE)))
    config = CONFIG.value
    workdir = path_of(WORKDIR.value or f"runs/{config.name}")
    if "space" in config:
        from fdigits.search import search as start  # needs Optuna
    elif "cells" in config:
        from fdigits.study import run_study as start
    else:
        from fdigits.run import run as start
    start(config, workdir)


flags.mark_flag_as_required("config")

if __name__ == "__main__":
    app.run(main, flags_parser=parse_flags)
