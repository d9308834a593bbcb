"""The kinds of training, a module each. A new one is named here, and in `report/build.py` where its
page shows more than any task's."""

import importlib

from ml_collections import ConfigDict

from fdigits.config import choose
from fdigits.tasks.task import Task

KINDS = {  # task -> its module and class; only what a run needs is imported
    "classify": "fdigits.tasks.classify.Classify",
    "recognise": "fdigits.tasks.recognise.Recognise",
    "autoencode": "fdigits.tasks.autoencode.Autoencode",
    "merge": "fdigits.tasks.merge.Merge",
    "gan": "fdigits.tasks.gan.Gan",
    "cvae": "fdigits.tasks.cvae.Cvae",
    "flow": "fdigits.tasks.flow.Flow",
    "sound_to_image": "fdigits.tasks.sound_to_image.SoundToImage",
    "tune_judge": "fdigits.tasks.sound_to_image.TuneJudge",
}

__all__ = ["KINDS", "Task", "make"]


def make(config: ConfigDict) -> Task:
    """The task of a config.

    Raises:
      UserError: no such task, or values that its model cannot have.
    """
    module, _, name = choose(config.task, KINDS, "task").rpartition(".")
    return getattr(importlib.import_module(module), name).of(config)
