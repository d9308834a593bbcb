"""Runs the experiment, the study or the search of a config file.

python launch.py --config=configs/hybrid.py [--workdir=DIR] [--config.field=value ...]

Several seeds: --seeds=0,1,2. As one of several processes: docs/scaling.md.
"""

import os
import warnings
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")  # TensorFlow only feeds; this says so quietly

from fdigits.errors import UserError, exit_cleanly, importing  # first: it listens to Ctrl-C

# isort: split
from absl import app, flags, logging
from ml_collections import ConfigDict, config_flags

from fdigits.config import XLA_CACHE, parse_flags

CONFIG = config_flags.DEFINE_config_file("config", None, "The experiment, e.g. configs/hybrid.py")
WORKDIR = flags.DEFINE_string("workdir", None, "Where it goes; default runs/<config name>")
SEEDS = flags.DEFINE_list("seeds", [], "Runs with these seeds, in seed_<S>/ of the workdir: 0,1,2")
COORDINATOR = flags.DEFINE_string(
    "coordinator", "", "host:port of the first of several processes; auto = JAX looks for it"
)
PROCESSES = flags.DEFINE_integer("processes", 0, "How many processes there are")
PROCESS = flags.DEFINE_integer("process", -1, "Which of them this is, from 0")


@exit_cleanly
def main(arguments: list[str]) -> None:
    if len(arguments) > 1:
        raise UserError(f"{arguments[1]!r} is no flag: did you mean --config.{arguments[1]}?")
    logging.set_verbosity(logging.FATAL)  # what Orbax's threads meet is raised, too
    # A full disk under JAX's cache only means that it compiles again next time.
    warnings.filterwarnings("ignore", "Error writing persistent compilation cache")
    with importing():
        import jax

        from fdigits import devices
        from fdigits.console import console
        from fdigits.files import default_workdir, path_of
        from fdigits.run import run, run_seeds

    jax.config.update("jax_compilation_cache_dir", str(path_of(XLA_CACHE)))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
    config, seeds = CONFIG.value, _seeds(SEEDS.value)
    workdir = path_of(WORKDIR.value) if WORKDIR.value else default_workdir(config.name)
    if "space" in config or "cells" in config:
        if seeds or COORDINATOR.value or PROCESSES.value > 0 or PROCESS.value >= 0:
            raise UserError(
                "a study or search has seeds of its own, and several processes share its runs "
                "without --coordinator: start the same command as often"
            )
        _many_runs(config, workdir)
        return
    devices.join(COORDINATOR.value, PROCESSES.value, PROCESS.value)
    console.quiet = not devices.is_first()
    if seeds:
        run_seeds(config, workdir, seeds)
    else:
        run(config, workdir)


def _many_runs(config: ConfigDict, workdir: Path) -> None:
    from fdigits.files import check_writable, refuse_place

    refuse_place(workdir, "a search" if "space" in config else "a study")
    check_writable(workdir)
    with importing():
        if "space" in config:
            from fdigits.search import search as start  # needs Optuna
        else:
            from fdigits.study import run_study as start  # needs SciPy
    start(config, workdir)


def _seeds(words: list[str]) -> list[int]:
    found = [int(word) for word in words if word.isdecimal()]
    if len({*found}) < len(words):
        told = ",".join(words)
        raise UserError(f"--seeds={told}: give different whole numbers from 0 up, as 0,1,2")
    return found


flags.mark_flag_as_required("config")

if __name__ == "__main__":
    app.run(main, flags_parser=parse_flags)
