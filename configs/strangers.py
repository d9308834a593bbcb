"""Recognisers of anyone's digits: pictures, recordings, and both. The shipped weights are its.

python launch.py --config=configs/strangers.py:picture[,DATA]
python launch.py --config=configs/strangers.py:sound[,DATA]
"""

from fdigits.config import base, parse_arg


def get_config(arg: str = ""):
    choice = parse_arg(arg, data="digits")
    return picture(choice["data"])


def picture(data: str):
    """R0's picture CNN with a third layer, on pictures altered as pens and cameras do."""
    config = base("strangers_picture", data, task="recognise")
    config.model.update(name="image", image="cnn", filters=(32, 64, 128), width=128)
    config.data.update(split="official", pixels=(0.1307, 0.3081))
    config.augment.update(name="handwriting", strength=0.4)
    config.update(epochs=12, batch_size=64, early_stopping=0)
    config.plateau.patience = 0
    config.optimizer.update(weight_decay=0.0, decay_epochs=4, decay_factor=0.3)
    config.paper.update(system="strangers: picture")
    return config.lock()
