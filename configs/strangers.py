"""Recognisers of anyone's digits, written, spoken, or both. Their weights come with fdigits.

python launch.py --config=configs/strangers.py:[both|picture|sound][,DATA]

`picture` reads pictures, `sound` recordings; `both`, the default, trains these two as stages and
joins them: each votes with as much weight as it has learnt to deserve, and either may be absent.
DATA: digits_voices (the default), for what ships mnist_fsdd+gsc_partial+other_voices+voices. To any
pictures scikit-learn's digits, printed and sketched ones are added. `voices` are made on the spot
by eSpeak NG (pip install espeakng-loader).

No paper has these; figures over strangers' files stand in results/strangers.
"""

from fdigits.config import CLASSIFIER, base, choose, parse_arg
from fdigits.data import datasets
from fdigits.errors import UserError

KINDS = ("both", "picture", "sound")
WHAT = {"picture": "pictures", "sound": "recordings"}
EXPERTS = {
    f"{theirs}_{part}": f"{stage}/{part}"
    for stage, theirs in (("picture", "image"), ("sound", "word"))
    for part in ("encoder", "head")
}


def get_config(arg: str = ""):
    arg = ",".join(f"kind={part}" if part in KINDS else part for part in arg.split(","))
    choice = parse_arg(arg, kind="both", data="digits_voices")
    kind = choose(choice["kind"], {name: name for name in KINDS}, "kind")
    data, named = _sets(kind, choice["data"]), choice["data"]
    config = base(f"strangers_{kind}", named, task="recognise")
    config.update(early_stopping=0, batch_size=64)
    config.plateau.patience = 0
    config.optimizer.weight_decay = 0.0
    config.monitor = "loss"
    config.data.update(split="official", pixels=(0.1307, 0.3081))
    config.update(fields(kind, name=data.get(kind, named)))
    if kind == "both":
        config.stages = {stage: fields(stage, name=name) for stage, name in data.items()}
        config.start, config.frozen = EXPERTS, tuple(EXPERTS)
    return config.lock()


def _sets(kind: str, named: str) -> dict[str, str]:
    """DATA -> what `picture` and `sound` train on: of a pair each its own set.

    Raises:
      UserError: no such data set, or none of this kind in it.
    """
    found = {one.modalities[0]: one.name for one in datasets.find(named)}
    stages = {"picture": found.get("image"), "sound": found.get("audio")}
    for stage, name in stages.items():
        if kind in (stage, "both") and not name:
            raise UserError(f"strangers.py:{kind} needs a data set with {WHAT[stage]}, not {named}")
    return {s: with_others(n) if s == "picture" else n for s, n in stages.items() if n}


def with_others(images: str) -> str:
    """A set of pictures with those that fdigits has by itself: other hands, typefaces, forms."""
    return "+".join(dict.fromkeys((*images.split("+"), "digits", "printed", "sketched")))


def fields(kind: str, **data) -> dict:
    """What differs between the three; `data` are further fields of `data`."""
    model = CLASSIFIER | dict(filters=(32, 64, 128))
    found = dict(
        picture=dict(
            task="recognise",
            model=model | dict(name="image", dropout=0.25),
            data=dict(balance=True, limit=0),
            augment=dict(name="handwriting", strength=0.4),
            epochs=16,
            optimizer=dict(learning_rate=1e-3, decay_epochs=5, decay_factor=0.3),
        ),
        sound=dict(
            task="recognise",
            model=model | dict(name="word", dropout=0.3),
            data=dict(balance=True, limit=0),
            augment=dict(strength=0.6),
            epochs=20,
            monitor="accuracy",
            optimizer=dict(learning_rate=2e-3, decay_epochs=5, decay_factor=0.3),
        ),
        both=dict(
            task="classify",
            model=model | dict(name="experts"),
            data=dict(limit=12_800),  # two numbers are learnt, their temperatures
            augment=dict(name="handwriting", strength=0.4),
            optimizer=dict(learning_rate=1e-2, decay_epochs=0),
            epochs=1,
        ),
    )[kind]
    return found | {"data": found["data"] | data, "paper": dict(system=f"strangers: {kind}")}
