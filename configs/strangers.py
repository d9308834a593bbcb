"""Recognisers of anyone's digits: pictures, recordings, and both. The shipped weights are its.

python launch.py --config=configs/strangers.py:picture[,DATA]
python launch.py --config=configs/strangers.py:sound[,DATA]
"""

from fdigits.config import base, choose, parse_arg


def get_config(arg: str = ""):
    kind, _, rest = arg.partition(",")
    variant = choose(kind or "picture", dict(picture=picture, sound=sound), "config argument")
    return variant(**parse_arg(rest, data=variant.__kwdefaults__["data"]))


def picture(*, data: str = "digits"):
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


def sound(*, data: str = "fsdd+gsc_partial+other_voices+voices"):
    """Cepstra less their mean and a CNN of pairs, on words altered as voices and rooms do."""
    config = base("strangers_sound", data, task="recognise")
    config.model.update(name="word", filters=(32, 64, 128), dropout=0.3)
    config.data.update(split="official", balance=True)
    config.augment.strength = 0.6
    config.update(epochs=20, batch_size=64, early_stopping=0)
    config.plateau.patience = 0
    config.optimizer.update(learning_rate=2e-3, weight_decay=0.0, decay_epochs=5, decay_factor=0.3)
    config.paper.update(system="strangers: sound")
    return config.lock()
