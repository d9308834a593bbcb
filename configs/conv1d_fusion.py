"""Convolutions on pictures and 1-D convolutions on recordings, fused (R3).

python launch.py --config=configs/conv1d_fusion.py[:DATA][,modality=image|audio][,protocol=paper]

Three stages: each encoder alone, by the squared error of its scores on one-hot targets; then both,
concatenated, with dense layers, by cross-entropy. R3 gives no sizes, split, rate, batch or epochs.
Chosen here: R4's picture encoder (R0's, at this rate, ends in scores of .1 for all under this
loss), one of our own for recordings, a dense layer of 128 behind both; Adam at 1e-3, batches of 64,
10 epochs a stage, parts of 7:1:2; the encoders go on learning when fused.

Reported (R3, written_spoken, class-code test set): fusion macro-F1 .978; accuracy of the picture
encoder alone 95.1 %, of the recording encoder alone 83.4 %.
Measured (MNIST × FSDD, held out, seed 0, 21 November 2026, 2 cores of a Xeon): fusion macro-F1
.9978, picture encoder alone 99.12 %, recording encoder alone 97.65 %.
"""

from fdigits.config import base, choose, parse_arg

READ = dict(image=dict(image="plain"), audio=dict(audio="conv1d"))
READ["fusion"] = READ["image"] | READ["audio"]
REPORTED = dict(fusion=dict(macro_f1=0.978), image=dict(accuracy=0.951), audio=dict(accuracy=0.834))


def get_config(arg: str = ""):
    choice = parse_arg(arg, data="bundled", modality="fusion", protocol="held_out")
    modality = choice["modality"]
    reported = choose(modality, REPORTED, "modality")
    config = base(f"conv1d_{modality}", choice["data"])
    config.model.update({"name": modality} | READ[modality])
    config.data.update(ratio=(7, 1, 2), pixels=(0.0, 1.0))
    config.protocol = choice["protocol"]
    config.epochs = 10
    config.batch_size = 64
    config.plateau.patience = 0
    config.optimizer.weight_decay = 0.0
    config.paper.update(reported, system=f"R3 {modality}", source="R3 Results")
    if modality != "fusion":
        config.loss = "mse"
        return config.lock()
    config.model.hidden = (128,)
    for name in ("image", "audio"):
        config.stages[name] = dict(
            loss="mse",
            model=dict(name=name, hidden=(), image="cnn", audio="cnn") | READ[name],
            paper=dict(system=f"R3 {name}", macro_f1=0.0) | REPORTED[name],
        )
        config.start[f"{name}_encoder"] = f"{name}/encoder"
    return config.lock()
