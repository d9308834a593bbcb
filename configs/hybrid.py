"""HybridNet_CNN and HybridNet_CNN_LSTM: pictures and recordings (R0, Tables 4 to 6).

python launch.py --config=configs/hybrid.py[:DATA][,audio=lstm]

Reported (R0 Table 7, written_spoken): CNN accuracy 99.74 %, macro-F1 .997;
CNN + LSTM 99.36 %, .994.
Measured (MNIST × FSDD, split `paper`, 21 November 2026, 2 cores of a Xeon), seed 0:
CNN 100.00 %, 1.0000; CNN + LSTM 99.57 %, .9957.
Five seeds of later code: 99.90 %, 99.60 % (results/r0_table7).
The paper gives MFCC to the model as they are; here the training part standardises them.
"""

from fdigits.config import base, choose, parse_arg


def get_config(arg: str = ""):
    choice = parse_arg(arg, data="bundled", audio="cnn")
    audio = choice["audio"]
    config = base(f"hybrid_{audio}", choice["data"])
    config.model.update(name="hybrid", audio=audio)
    config.epochs = choose(audio, dict(cnn=20, lstm=30), "audio")
    config.batch_size = dict(cnn=32, lstm=64)[audio]
    config.optimizer.learning_rate = dict(cnn=1e-3, lstm=1e-4)[audio]
    config.paper.update(
        dict(
            cnn=dict(system="HybridNet_CNN", accuracy=0.9974, macro_f1=0.997),
            lstm=dict(system="HybridNet_CNN_LSTM", accuracy=0.9936, macro_f1=0.994),
        )[audio],
        source="R0 Table 7",
    )
    return config.lock()
