"""Mean MFCC and dense layers: R4's baseline on spoken digits (R4 Problem 1).

python launch.py --config=configs/audio_mlp.py[:DATA][,split=speaker]

DATA: espeak (the default; its frames are a stand-in), fsdd, or another set of recordings. Parts of
14:3:3 (70, 15, 15 %) drawn by class, or by speaker; the weights with the lowest cross-entropy of
the validation part are tested.

Reported (R4 section 1.1.2, fsdd, accuracy): .9511 (its plot and Table 1 say .9311).
Measured (fsdd, seeds 42, 0, 1, 27 November 2026, 2 cores of an EPYC): .9444 .9422 .9489, which the
450 test recordings do not tell from .9511; unheard speakers: results/r4_representation.
"""

from fdigits.config import base, parse_arg


def problem_1(name: str, choice: dict, epochs: int = 100, batch_size: int = 32):
    """What R4's systems of Problem 1 share; the arguments are of a classifier."""
    config = base(name, choice["data"])
    config.data.split = choice["split"]
    config.update(seed=42, epochs=epochs, batch_size=batch_size, monitor="loss", early_stopping=10)
    config.plateau.patience = 0
    config.optimizer.weight_decay = 0.0
    return config


def get_config(arg: str = ""):
    config = problem_1("audio_mlp", parse_arg(arg, data="espeak", split=""))
    config.model.update(name="frames", hidden=(256, 128, 64, 32), dropout=0.3)
    config.paper.update(system="R4 P1 baseline", accuracy=0.9511, source="R4 Problem 1")
    return config.lock()
