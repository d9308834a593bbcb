"""Attention on spectrograms (R4 Problem 4, part B).

python launch.py --config=configs/spectrogram.py:[DATA,][model=lenet|cbam|hybrid]

DATA: espeak (the default; its spectrograms are smooth ones, drawn from its MFCC), fsdd, or another
set of recordings.

Reported (R4 Table 13, fsdd, random 80/10/10, accuracy on 256 of 300 test recordings): lenet .9727,
cbam .9922, hybrid .9844. The paper prints 1,629,144 parameters for the hybrid; its description
gives 1,628,959, BatchNorm's statistics counted, and so it is here (44 of them are statistics).
Measured (fsdd, all 300, seeds 0, 1, 2, 21 November 2026, 2 cores of a Xeon): lenet .9867 .9733
.9833, cbam .9867 .9933 .9900, hybrid .9867 .9433 .9833. Five seeds of later code: .9807, .9867,
.9720 (results/r4_table13). Weights are chosen by the cross-entropy of
the validation part; Keras' validation loss, in the paper, also holds the hybrid's L2 penalty.
"""

from fdigits.config import base, choose, parse_arg

REPORTED = dict(lenet=0.9727, cbam=0.9922, hybrid=0.9844)


def get_config(arg: str = ""):
    words = REPORTED.keys()
    arg = ",".join(f"model={part}" if part in words else part for part in arg.split(","))
    choice = parse_arg(arg, data="espeak", model="lenet")
    model = choice["model"]
    reported = choose(model, REPORTED, "model")
    config = base(f"spectrogram_{model}", choice["data"])
    config.model.update(name="spectrogram", attention="none" if model == "lenet" else model)
    config.data.ratio = (8, 1, 1)
    config.input_noise = 0.02
    config.epochs = 15
    config.batch_size = 16
    config.monitor = "loss"
    config.early_stopping = 3
    config.plateau.patience = 0
    config.optimizer.update(learning_rate=1e-4, weight_decay=0.0, clip_norm=1.0)
    config.paper.update(system=f"R4 P4B {model}", accuracy=reported, source="R4 Table 13")
    return config.lock()
