"""An autoencoder of whole recordings, and a classifier of its codes (R4 Problem 1, approach A).

python launch.py --config=configs/audio_autoencoder.py[:DATA][,dim=300][,split=speaker]

DATA and parts as of configs/audio_mlp.py. Two stages: an autoencoder of the utterance's frames,
padded to the longest and flattened, with a bottleneck of `dim`; then the baseline's dense layers on
its codes. The paper's L2 of "the dense layers" is taken as of all but the output layer; epochs are
chosen by the squared error alone, where Keras' validation loss also holds the penalty.

Reported (R4 section 1.2.2, fsdd, accuracy by `dim`): see REPORTED.
Measured (fsdd, seed 42, 27 November 2026, 2 cores of an EPYC), `dim` 50 to 400: .9711 .9578 .9644
.9467 .9511 .9511 .9556 .9511. With the penalty of the output layer too, `dim` 300: .7933; with no
penalty: .9556. Other seeds and unheard speakers: results/r4_representation.
"""

from configs.audio_mlp import problem_1
from fdigits.config import parse_arg
from fdigits.errors import UserError

REPORTED = {
    **{"50": 0.7556, "100": 0.8667, "150": 0.8533, "200": 0.8889},
    **{"250": 0.9133, "300": 0.9156, "350": 0.9067, "400": 0.9178},
}


def get_config(arg: str = ""):
    choice = parse_arg(arg, data="espeak", dim="300", split="")
    dim = choice["dim"]
    if not dim.isdecimal():
        raise UserError(f"dim={dim!r} is no width of a bottleneck")
    config = problem_1(f"audio_autoencoder_{dim}", choice)
    config.model.update(name="code", hidden=(256, 128, 64, 32), dropout=0.3)
    config.data.encoded["code"] = "autoencoder"
    config.paper.update(
        system=f"R4 P1 autoencoder {dim}", accuracy=REPORTED.get(dim, 0.0), source="R4 Problem 1"
    )
    config.stages["autoencoder"] = dict(
        task="autoencode",
        model=dict(name="whole", bottleneck=int(dim)),
        early_stopping=15,
        paper=dict(system=f"R4 P1 autoencoder of {dim}", accuracy=0.0),
    )
    return config.lock()
