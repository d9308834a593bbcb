"""AudioNet_CNN and AudioNet_LSTM: recordings alone (R0, Tables 2 and 3).

python launch.py --config=configs/audio.py[:DATA][,net=lstm]

Reported (R0 Table 7, written_spoken): CNN accuracy 97.75 %, macro-F1 .978;
LSTM 97.18 %, .972.
Measured (MNIST × FSDD, split `paper`, 21 November 2026, 2 cores of a Xeon): CNN
seed 0 99.52 %, .9955; LSTM seed 0 96.92 %, .9690, seeds 1 and 2 99.33 %, 97.52 %.
Five seeds of later code: CNN 98.98 %, LSTM 97.85 % (results/r0_table7).
The paper gives MFCC to the model as they are; here the training part standardises them.
"""

from fdigits.config import base, choose, parse_arg


def get_config(arg: str = ""):
    choice = parse_arg(arg, data="bundled", net="cnn")
    net = choice["net"]
    config = base(f"audio_{net}", choice["data"])
    config.model.update(name="audio", audio=net, width=choose(net, dict(cnn=128, lstm=64), "net"))
    config.epochs = dict(cnn=100, lstm=50)[net]
    config.batch_size = 64
    config.optimizer.learning_rate = dict(cnn=1e-4, lstm=5e-4)[net]
    config.paper.update(
        dict(
            cnn=dict(system="AudioNet_CNN", accuracy=0.9775, macro_f1=0.978),
            lstm=dict(system="AudioNet_LSTM", accuracy=0.9718, macro_f1=0.972),
        )[net],
        source="R0 Table 7",
    )
    return config.lock()
