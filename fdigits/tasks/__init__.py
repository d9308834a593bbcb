"""The kinds of training, a module each. A new one is named here, and in `report/build.py` where its
page shows more than any task's."""

import importlib

from ml_collections import ConfigDict

from fdigits.config import choose
from fdigits.errors import UserError
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
      UserError: no such task, a field of the model that it needs and the config lacks, or values
        that its model cannot have.
    """
    module, _, name = choose(config.task, KINDS, "task").rpartition(".")
    task = getattr(importlib.import_module(module), name)
    if lacking := [field for field in task.FIELDS if field not in config.model]:
        raise UserError(
            f"task={config.task} needs model.{lacking[0]}, which {config.name} does not have: its "
            f"model has {', '.join(sorted(config.model)) or 'no fields'}"
        )
    return task.of(config)
