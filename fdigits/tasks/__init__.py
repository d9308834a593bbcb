"""The kinds of training, a module each. A new one is named here, and in `report/build.py` where its
page shows more than any task's."""

from ml_collections import ConfigDict

from fdigits.config import choose
from fdigits.tasks import autoencode, classify, cvae, flow, gan, merge, recognise, sound_to_image
from fdigits.tasks.task import Task

KINDS = {
    "classify": classify.Classify,
    "recognise": recognise.Recognise,
    "autoencode": autoencode.Autoencode,
    "merge": merge.Merge,
    "gan": gan.Gan,
    "cvae": cvae.Cvae,
    "flow": flow.Flow,
    "sound_to_image": sound_to_image.SoundToImage,
    "tune_judge": sound_to_image.TuneJudge,
}

__all__ = ["KINDS", "Task", "make"]


def make(config: ConfigDict) -> Task:
    """The task of a config.

    Raises:
      UserError: no such task, or values that its model cannot have.
    """
    return choose(config.task, KINDS, "task").of(config)
