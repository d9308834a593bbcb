"""Configuration as data: the fields every experiment has, and the arguments of a config file."""

import difflib
import json
import math
import os
import traceback
from collections.abc import Iterable, Mapping

from absl import flags
from ml_collections import ConfigDict

from fdigits.errors import UserError, exit_cleanly

DATA = dict(
    name="bundled",  # bundled | written_spoken | <image set>_<audio set> | one set alone
    dir="data",  # folder of source files
    cache="~/.cache/fdigits",  # folder of prepared arrays
    split="",  # paper | official | random | speaker, "" = the data set's own
    ratio=(14, 3, 3),  # of train, validation and test, where the split draws them
    per_class=0,  # pictures of each class to train on, 0 = all
    speaker="",  # split=speaker: the one held out for testing ("": drawn by the seed)
    limit=0,  # examples per split, 0 = all
    balance=False,  # an epoch draws all digits equally often, small joined sets more often
    pixels=(0.5, 0.5),  # mean and sd that normalise pixels in [0, 1]
    feeder="auto",  # auto | host (tf.data) | device (arrays in device memory): same batches
    encoded={},  # array -> the earlier stage that makes it of each item
    generated={},  # earlier stage -> pictures of each class that it adds to the training part
)
XLA_CACHE = "~/.cache/fdigits/xla"  # folder of compiled functions
CLASSIFIER = dict(  # the models of the task `classify`; a model takes the fields that it has
    # What there is to choose from: MODELS, ENCODERS and `fields` of models/classifiers.py.
    name="hybrid",  # image | audio | word | spectrogram | hybrid | fusion | frames | code
    image="cnn",  # encoder of pictures
    audio="cnn",  # encoder of recordings
    attention="none",  # plain: none | spatial | self | cbam | se
    #                    spectrogram: none | cbam | hybrid
    fusion="concat",  # concat | add | weighted | gated | low_rank | cross_attention | late
    filters=(32, 64),  # of cnn and word
    width=128,  # of embeddings
    hidden=(),  # widths of dense layers before the scores
    dropout=0.5,  # after the embedding of cnn, plain, word; each dense layer of frames and code
    weights="",  # "imagenet": of mobilenet, through Keras; "" = from scratch
    norm=False,  # BatchNorm after each dense layer of frames and code
)
MEMBERS = {"hidden": (1,), "frozen": ("",)}  # of tuples that are empty by default
NAMED = ("stages", "start", "players", "encoded", "generated")  # groups of a config's own names
WHERE_ONLY = ("dir", "cache", "feeder")  # of the data: where and how they come
MADE = "it must give a ConfigDict, as `fdigits.config.base` makes one"
CLASSIFYING = ("classify", "recognise")  # tasks whose models these are
OLD_FIELDS = {"reported": "paper"}
OLD_WORDS = {"protocol": {"report": "paper"}, "data.split": {"report": "paper"}}


def base(
    name: str, data: str, task: str = "classify", model: Mapping[str, object] = CLASSIFIER
) -> ConfigDict:
    """Fields and defaults shared by all experiments; `name-data` names the default workdir."""
    return ConfigDict(
        dict(
            name=f"{name}-{data}",
            task=task,  # the kind of training, a module of fdigits/tasks
            seed=0,
            epochs=20,
            batch_size=32,
            early_stopping=10,  # epochs without a better validation figure, 0 = never stop
            monitor="accuracy",  # the validation figure that chooses weights: accuracy | loss | …
            protocol="held_out",  # held_out | paper: the test part validates, last weights tested
            loss="cross_entropy",  # cross_entropy | mse (of the scores on one-hot targets)
            dtype="float32",  # float32 | bfloat16 | float16: of activations, not of parameters
            chunk=50,  # training steps per call of the device
            data=dict(DATA, name=data),
            model=dict(model),
            augment=dict(
                name="combined",  # or one of augment.AUGMENTATIONS, of pictures; words: combined
                strength=0.0,  # 0 to 1
                generated=0,  # pictures per class made before training; 0 = every batch anew
            ),
            input_noise=0.0,  # sd of Gaussian noise added to training inputs
            stages={},  # name -> fields that differ: trained before, by name in order
            start={},  # module -> "stage/module" whose best weights it starts from
            frozen=(),  # modules whose parameters and statistics stay as they started
            optimizer=dict(
                name="adam",  # adam | adadelta | sgd
                learning_rate=1e-3,
                weight_decay=1e-5,  # L2 added to the gradient, as torch's `weight_decay`
                momentum=0.9,  # sgd only
                beta1=0.9,  # adam only: what its mean of the gradient keeps of a step
                clip_norm=0.0,  # of each array's gradient, as Keras' clipnorm; 0 = no clipping
                decay_epochs=0,  # learning rate x decay_factor every so many epochs, 0 = never
                decay_factor=0.1,
            ),
            players={},  # player -> fields of `optimizer` that differ, where several learn in turn
            plateau=dict(factor=0.1, patience=5),  # patience 0 = no plateau schedule
            paper=dict(system="", accuracy=0.0, macro_f1=0.0, source=""),  # what it reports
        )
    )


def search(
    name: str, base: ConfigDict, space: Mapping, sampler: str, pruner: str = "none", trials: int = 0
) -> ConfigDict:
    """A search of `fdigits/search.py` for the fields with which `base` validates best.

    Args:
      space: nested as `base` is; for each field that varies a tuple of its values, or
        `dict(low=, high=, log=True)`, of which `log` may be left out.
      sampler: grid (every combination of the values, once) | random | tpe.
      pruner: what ends a trial that lags behind the others: none | median | hyperband.
      trials: how many in all; 0 where the grid says it.
    """
    return ConfigDict(
        dict(
            name=name,
            base=base,
            space=dict(space),
            sampler=sampler,
            pruner=pruner,
            trials=trials,
            seed=0,  # of the sampler; the trials' own is base.seed
            storage="",  # of the trials: a database's URL; "" = a journal file in the workdir
        )
    ).lock()


def stage_config(config: ConfigDict, name: str) -> ConfigDict:
    """The config of the earlier stage `name`: the whole one's with the fields that differ.

    What a stage starts from, freezes, reads of earlier ones, and its players are its own alone; the
    model of a stage of another task too.

    Raises:
      UserError: a field that no config has (names the nearest), or no value of it.
    """
    where, found = f"stages.{name}", config.copy_and_resolve_references()
    own = _group(config.stages[name], where)
    data = _group(own.pop("data", {}), f"{where}.data")
    with found.unlocked():
        found.stages, found.frozen = {}, ()
        for field in ("start", "players"):
            found[field] = _group(own.pop(field, {}), f"{where}.{field}")
        for field in ("encoded", "generated"):
            found.data[field] = _group(data.pop(field, {}), f"{where}.data.{field}")
        if own.get("task", found.task) != found.task:
            if "model" not in own:
                raise UserError(
                    f"{where} is of the task {own['task']}: it needs a model of its own"
                )
            found.model = _group(own.pop("model"), f"{where}.model")
    _override(found, own | {"data": data, "name": f"{config.name}-{name}"}, where)
    _check_types(found, _defaults(found.task), f"{where}.")
    return found.lock()


def optimizer_of(config: ConfigDict, player: str) -> ConfigDict:
    """The fields of a player's optimizer: the config's, but for what `config.players` changes.

    Raises:
      UserError: a field that no optimizer has, or no value of it.
    """
    found, where = config.optimizer.copy_and_resolve_references(), f"players.{player}"
    _override(found, _group(config.players.get(player, {}), where), where)
    _check_types(found, _defaults(config.task).optimizer, f"{where}.")
    return found


def _group(value: object, where: str) -> dict:
    if not isinstance(value, Mapping | ConfigDict):
        raise UserError(f"{where} is {value!r}: it must be a group of fields")
    return value.to_dict() if isinstance(value, ConfigDict) else dict(value)


def _override(config: ConfigDict, fields: Mapping, where: str) -> None:
    """Sets the fields that differ, at any depth."""
    for name, value in fields.items():
        field = f"{where}.{name}"
        choose(name, dict.fromkeys(config), f"{where}: field")
        if isinstance(config[name], ConfigDict):
            _override(config[name], _group(value, field), field)
            continue
        try:
            config[name] = value
        except TypeError:
            kind = type(config[name]).__name__
            raise UserError(f"{field} is {value!r}: it must be of type {kind}") from None


def modern(held: Mapping) -> dict:
    """A run's `config.json` as this code writes it.

    Old words become the new ones, and fields that its code did not have get their defaults, which
    are what that code did.
    """
    found = _translated(held)
    return _filled(found, json.loads(_defaults(found.get("task", "classify")).to_json()))


def _defaults(task: str) -> ConfigDict:
    """The fields of every config of a task; of the models of one that is no classifier, none."""
    return base("", "", task, CLASSIFIER if task in CLASSIFYING else {})


def _translated(held: Mapping, section: str = "") -> dict:
    """The fields of a config, of its data or of a stage, in today's words."""
    found = {}
    for name, value in held.items():
        name = OLD_FIELDS.get(name, name)
        if name == "stages":
            value = {stage: _translated(fields) for stage, fields in value.items()}
        elif name == "data":
            value = _translated(value, "data.")
        elif words := OLD_WORDS.get(section + name):
            value = words.get(value, value)
        found[name] = value
    return found


def modern_result(held: Mapping) -> dict:
    """A run's `result.json` as this code writes it."""
    found = {"task": "classify"} | {OLD_FIELDS.get(name, name): v for name, v in held.items()}
    protocol = str(found.get("protocol", ""))
    policy, rest = protocol.partition(",")[0], protocol.partition(",")[1:]
    return found | {"protocol": OLD_WORDS["data.split"].get(policy, policy) + "".join(rest)}


def _filled(held: Mapping, defaults: Mapping) -> dict:
    """`held` with what it lacks of `defaults`, at any depth."""
    found = dict(defaults) | dict(held)
    for name, value in defaults.items():
        if isinstance(value, Mapping) and isinstance(found[name], Mapping):
            found[name] = _filled(found[name], value)
    return found


OF_OPTIMIZER = dict(learning_rate=0, weight_decay=0, clip_norm=0, decay_epochs=0, decay_factor=0)
RATES = ("momentum", "beta1")
LOWEST = {
    **{"seed": 0, "epochs": 1, "batch_size": 1, "early_stopping": 0, "chunk": 1, "input_noise": 0},
    **{
        "data.limit": 0,
        "data.per_class": 0,
    },
    **{"plateau.patience": 0, "augment.strength": 0, "augment.generated": 0},
    **{f"optimizer.{field}": low for field, low in OF_OPTIMIZER.items()},
}
SHARES = ("model.dropout", *(f"optimizer.{field}" for field in RATES))  # at least 0, below 1


def check(config: ConfigDict) -> None:
    """Refuses values that no run can have, whatever its task.

    Raises:
      UserError: names the field.
    """
    _check_types(config, _defaults(config.task))
    sizes = {f"model.{name}": 1 for name, value in config.model.items() if type(value) is int}
    _check_ranges(config, LOWEST | sizes, SHARES)
    if round(256 * config.model.get("dropout", 0.0)) == 256:  # it counts in steps of 1/256
        raise UserError(f"model.dropout is {config.model.dropout}: it must be below 0.998")
    if config.seed >= 2**32:  # JAX's keys take no more
        raise UserError(f"seed is {config.seed}: it must be below 2 to the power of 32")
    choose(config.protocol, dict.fromkeys(("held_out", "paper")), "protocol")
    choose(config.data.feeder, dict.fromkeys(("auto", "host", "device")), "data.feeder")
    if not 0 < config.plateau.factor < 1:
        raise UserError(f"plateau.factor is {config.plateau.factor}: it must be between 0 and 1")
    _check_earlier(config)
    for player in config.players:
        _check_ranges(optimizer_of(config, player), OF_OPTIMIZER, RATES, f"players.{player}.")
    if len(config.data.pixels) != 2 or not config.data.pixels[1] > 0:
        raise UserError(
            f"data.pixels is {tuple(config.data.pixels)}: it must be a mean and a sd above 0"
        )
    if config.augment.generated and not config.augment.strength:
        raise UserError(
            f"augment.generated is {config.augment.generated}, but augment.strength is 0: nothing "
            "would be augmented"
        )
    if config.augment.strength > 1:
        raise UserError(f"augment.strength is {config.augment.strength}: it must be at most 1")
    if len(config.data.ratio) != 3 or min(config.data.ratio) < 1:
        raise UserError(
            f"data.ratio is {tuple(config.data.ratio)}: it must be three numbers of at least 1"
        )
    if config.data.speaker and config.data.split != "speaker":
        raise UserError(
            f"data.speaker={config.data.speaker} is held out by data.split=speaker only, "
            f"which here is {config.data.split or 'the default of the data set'}"
        )


def _check_ranges(
    config: ConfigDict, lowest: Mapping[str, float], shares: Iterable[str], where: str = ""
) -> None:
    for field, low in lowest.items():
        value = _value(config, field)
        if value is not None and value < low:
            raise UserError(f"{where}{field} is {value}: it must be at least {low}")
    for field in shares:
        if not 0 <= (_value(config, field) or 0) < 1:
            told = f"{where}{field} is {_value(config, field)}"
            raise UserError(f"{told}: it must be at least 0, below 1")


def _value(config: ConfigDict, field: str) -> float | None:
    """Of a field, "model.width"; None where this config has none."""
    section, _, name = field.rpartition(".")
    return (config[section] if section else config).get(name)


def _check_types(config: Mapping | ConfigDict, defaults: ConfigDict, where: str = "") -> None:
    """Refuses values of another type than their defaults', and members of tuples that are.

    A field without a default is one of a model: its own kind must hold throughout.
    """
    for name, value in config.items():
        default = defaults.get(name, value)
        if isinstance(default, Mapping | ConfigDict):
            if name not in NAMED:
                _check_types(_group(value, where + name), default, f"{where}{name}.")
            continue
        if isinstance(default, tuple | list):
            default = tuple(default) or MEMBERS.get(name, ())
            fits = _fits_all(value, default, may_be_empty=name in MEMBERS)
            kind = f"a tuple of {_members(default)}"
        else:
            fits, kind = _fits(value, default), _kind(default)
        if not fits:
            raise UserError(f"{where}{name} is {value!r}: it must be {kind}")


def _fits_all(value: object, default: tuple, may_be_empty: bool) -> bool:
    """Whether a tuple's members are of the default's kind; whole numbers are sizes, from 1 up."""
    if not isinstance(value, tuple | list) or not (value or may_be_empty):
        return False
    kind = next((one for one in default if isinstance(one, float)), default[0])
    sizes = type(kind) is int
    return all(_fits(one, kind) and (not sizes or one >= 1) for one in value)


def _fits(value: object, default: object) -> bool:
    """Whether a value is of the default's kind; True is no number, and 2.0 is no whole one."""
    if isinstance(default, float):
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return number and math.isfinite(value)
    return isinstance(value, type(default)) and isinstance(value, bool) == isinstance(default, bool)


def _members(default: tuple) -> str:
    named = {int: "whole numbers of at least 1", float: "numbers"}
    return named.get(type(default[0]), "words") if default else "at least one member"


def _kind(default: object) -> str:
    named = {bool: "True or False", int: "a whole number", float: "a finite number"}
    return named.get(type(default), "a word")


def _check_earlier(config: ConfigDict) -> None:
    """Refuses what names no earlier stage, or no part of one."""
    for module, source in config.start.items():
        stage, _, theirs = str(source).partition("/")
        if not (stage and theirs):
            raise UserError(
                f"start.{module} is {source!r}: it must be a stage and its module, "
                f'"{stage or "stage"}/{theirs or module}" say'
            )
    for name, stage in config.data.encoded.items():
        if not isinstance(stage, str):
            raise UserError(f"data.encoded.{name} is {stage!r}: it must be a stage's name")
    for stage, count in config.data.generated.items():
        if not (_fits(count, 0) and count >= 0):
            raise UserError(
                f"data.generated.{stage} is {count!r}: it must be a whole number of at least 0, "
                "of pictures per class"
            )


def parse_arg(arg: str, **defaults: str) -> dict[str, str]:
    """Splits a config file's argument, `"mnist_fsdd,audio=lstm"`; a bare word is the data set.

    The place of a data set, `folder:PATH`, may hold commas and equals signs.

    Raises:
      UserError: a key that `defaults` does not have.
    """
    values = dict(defaults)
    for part in filter(None, arg.split(",")):
        key, equals, value = part.partition("=")
        if not equals or ":" in key:
            placed = ":" in values.get("data", "")  # before the comma
            key, value = "data", f"{values['data']},{part}" if placed else part
        if key not in defaults:
            raise UserError(
                f"config argument {part!r}: no such key{nearest(key, defaults)}; "
                f"this config takes {', '.join(defaults)}"
            )
        values[key] = value
    return values


@exit_cleanly
def parse_flags(argv: list[str]) -> list[str]:
    """absl's flags parser, for `app.run`; a wrong flag, field or file is one line, exit 2."""
    try:
        rest = flags.FLAGS([_at_home(word) for word in argv])
        found = flags.FLAGS.config
        _ = getattr(found, "name", None)  # a missing file shows on first use
        if not isinstance(found, ConfigDict):
            raise UserError(f"get_config of the config file gives {type(found).__name__}: {MADE}")
        return rest
    except UserError:
        raise
    except flags.Error as error:
        flag, _, told = str(error).strip().partition(": ")
        if "Traceback" in told:  # of a config file of one's own: what it says is its last line
            told = told.splitlines()[-1]
        raise UserError(f"{flag}: {told}".replace("\n", " ").removesuffix(": ")) from None
    except OSError as error:
        told = str(error).splitlines()[-1].strip()
        raise UserError(f"the config file cannot be read: {told}; see configs/") from None
    except (AttributeError, KeyError) as error:  # ml_collections: an unknown field
        if "get_config" in str(error):
            raise UserError(f"the config file has no get_config: {MADE}") from None
        told = error.args[0]
        told = told.args[0] if isinstance(told, KeyError) else str(told)
        field, *hint = str(told).splitlines()
        for old, new in OLD_FIELDS.items():
            if old in field:
                hint = [f"It is now called {new!r}."]
        raise UserError(
            f"unknown config field {field}. {' '.join(hint) or 'See fdigits/config.py.'}"
        ) from None
    except SyntaxError as error:
        where = f"{error.filename}, line {error.lineno}"
        raise UserError(f"the config file is no Python ({where}: {error.msg})") from None
    except Exception as error:
        at = traceback.extract_tb(error.__traceback__)[-1]
        told = f"{at.filename}, line {at.lineno}: {type(error).__name__}: {error}"
        raise UserError(f"the config file cannot be run ({told})") from None


def _at_home(word: str) -> str:
    """`--config=~/mine.py` with the home folder, which no shell puts there."""
    name, _, file = word.partition("=")
    return f"{name}={os.path.expanduser(file)}" if name.strip("-") == "config" else word


def choose(value: str, options: Mapping[str, object], what: str):
    """`options[value]`, or one clear line that names the nearest option."""
    if value not in options:
        if new := OLD_WORDS.get(what, {}).get(value):
            raise UserError(f"{what} {value!r} is now called {new!r}")
        raise UserError(
            f"{what} {value!r} is unknown{nearest(value, options)}; choose one of "
            f"{', '.join(options)}"
        )
    return options[value]


def nearest(word: str, words) -> str:
    """`" (did you mean 'x'?)"`, or nothing."""
    close = difflib.get_close_matches(word, list(words), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def of_numbers(config: Mapping) -> dict:
    """A config's plain dict without the fields that change no number of its run."""
    data = {name: value for name, value in config["data"].items() if name not in WHERE_ONLY}
    return {name: value for name, value in config.items() if name != "chunk"} | {"data": data}


def differing_fields(a: Mapping, b: Mapping, prefix: str = "") -> list[str]:
    """Dotted names and both values of the fields in which two nested dicts differ."""
    fields = []
    for key in sorted(a.keys() | b.keys()):
        left, right = a.get(key), b.get(key)
        if isinstance(left, Mapping) and isinstance(right, Mapping):
            fields += differing_fields(left, right, f"{prefix}{key}.")
        elif left != right:
            fields.append(f"{prefix}{key}: {left!r} there, {right!r} here")
    return fields
