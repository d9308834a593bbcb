"""The quickest way here to 99 % on MNIST's test part: what benchmarks/epochs.py times.

python launch.py --config=configs/quick.py --config.data.dir=DATA

ImageNet_CNN with half its channels, large batches and a rate that falls from epoch to epoch; chosen
on the validation part. No figure of a paper.
"""

from fdigits.config import base, parse_arg


def get_config(arg: str = ""):
    choice = parse_arg(arg, data="mnist")
    config = base("quick", choice["data"])
    config.model.update(name="image", filters=(16, 32), width=64, dropout=0.0)
    config.data.update(split="official", ratio=(55, 5, 1))  # of 60,000: 55,000 and 5,000
    config.epochs = 3
    config.batch_size = 128
    config.early_stopping = 0
    config.optimizer.update(learning_rate=4e-3, decay_epochs=1, decay_factor=0.3)
    config.plateau.patience = 0
    return config.lock()
