"""ImageNet_CNN: pictures alone (R0, Table 1).

python launch.py --config=configs/image.py[:DATA]

Reported (R0 Table 7, written_spoken): accuracy 99.13 %, macro-F1 .991.
Measured (MNIST × FSDD, split `paper`, 21 November 2026, 2 cores of a Xeon): seed 0
accuracy 99.04 %, macro-F1 .9904; seeds 1 and 2 98.93 %, 98.94 %.
Five seeds of later code: 98.99 % (results/r0_table7).
"""

from fdigits.config import base, parse_arg


def get_config(arg: str = ""):
    choice = parse_arg(arg, data="bundled")
    config = base("image_cnn", choice["data"])
    config.model.name = "image"
    config.epochs = 10
    config.batch_size = 32
    config.optimizer.learning_rate = 1e-3
    config.paper.update(system="ImageNet_CNN", accuracy=0.9913, macro_f1=0.991, source="R0 Table 7")
    return config.lock()
