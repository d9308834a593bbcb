import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

from fdigits.config import (
    base,
    check,
    differing_fields,
    modern,
    modern_result,
    parse_arg,
    stage_config,
)
from fdigits.data import datasets
from fdigits.errors import UserError

ROOT = Path(__file__).parents[1]


def get_config(name: str, arg: str = ""):
    spec = importlib.util.spec_from_file_location(name, ROOT / "configs" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.get_config(arg)


def test_parse_arg_takes_bare_data_and_keys():
    assert parse_arg("mnist_fsdd,audio=lstm", data="bundled", audio="cnn") == {
        "data": "mnist_fsdd",
        "audio": "lstm",
    }
    assert parse_arg("", data="bundled") == {"data": "bundled"}


def test_parse_arg_names_the_nearest_key():
    with pytest.raises(UserError, match="did you mean 'audio'"):
        parse_arg("adio=lstm", data="bundled", audio="cnn")


def test_differing_fields_are_dotted_and_show_both_values():
    a, b = base("x", "bundled").to_dict(), base("x", "bundled").to_dict()
    assert differing_fields(a, b) == []
    b["optimizer"]["learning_rate"] = 0.5
    assert differing_fields(a, b) == ["optimizer.learning_rate: 0.001 there, 0.5 here"]


# R0, section 2.3: learning rate, epochs, batch size.
@pytest.mark.parametrize(
    ("name", "arg", "system", "schedule"),
    [
        ("image", "", "ImageNet_CNN", (1e-3, 10, 32)),
        ("audio", "", "AudioNet_CNN", (1e-4, 100, 64)),
        ("audio", "net=lstm", "AudioNet_LSTM", (5e-4, 50, 64)),
        ("hybrid", "", "HybridNet_CNN", (1e-3, 20, 32)),
        ("hybrid", "audio=lstm", "HybridNet_CNN_LSTM", (1e-4, 30, 64)),
    ],
)
def test_configs_hold_the_papers_schedules(name, arg, system, schedule):
    config = get_config(name, f"mnist_fsdd,{arg}" if arg else "mnist_fsdd")
    assert config.paper.system == system
    assert (config.optimizer.learning_rate, config.epochs, config.batch_size) == schedule
    assert config.data.name == "mnist_fsdd" and config.is_locked
    assert (config.plateau.patience, config.early_stopping) == (5, 10)
    assert config.optimizer.weight_decay == 1e-5


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("epochs", 0, "epochs is 0: it must be at least 1"),
        ("seed", -1, "seed is -1"),
        ("batch_size", 0, "batch_size is 0"),
        ("chunk", 0, "chunk is 0"),
        ("data.limit", -5, "data.limit is -5"),
        ("optimizer.learning_rate", float("nan"), "learning_rate is nan"),
        ("data.speaker", "theo", "data.speaker=theo is held out by data.split=speaker only"),
    ],
)
def test_values_that_no_run_can_have_are_told(field, value, told):
    config = get_config("image", "")
    check(config)
    with config.unlocked():
        config.update_from_flattened_dict({field: value})
    with pytest.raises(UserError, match=told):
        check(config)


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--config=configs/hybrid.py", "--config.epoch=3"], '"epochs" instead of "epoch"'),
        (["--config=configs/hybrid.py", "--config.data.nam=x"], '"name" instead of "nam"'),
        (["--config=configs/hybrid.py", "--config.epochs=many"], "--config.epochs=many"),
        (["--config=configs/hybrid.py:adio=lstm"], "did you mean 'audio'"),
        (["--config=configs/hybrid.py:audio=lstn"], "did you mean 'lstm'"),
        (["--config=configs/hybird.py"], "hybird.py"),
        (
            ["--config=configs/image.py", '--config.model.filters=(8,"a")'],
            "model.filters is (8, 'a'): it must be a tuple of whole numbers of at least 1",
        ),
        (["--config=configs/hybrid.py", "--config.reported.accuracy=1"], "now called 'paper'"),
        (["--config=configs/hybrid.py", "--config.protocol=report"], "now called 'paper'"),
        (["--config=configs/image.py", "--config.data.split=report"], "now called 'paper'"),
        (["--config=configs/weighted_fusion.py:protocol=report"], "now called 'paper'"),
        (["--config=configs/hybrid.py", "epochs=3"], "did you mean --config.epochs=3"),
        (["--config=configs/hybrid.py", "--confg=3"], "Did you mean: config"),
        ([], "--config"),
    ],
)
def test_a_wrong_flag_is_one_line_and_exit_2(flags, told):
    command = [sys.executable, "launch.py", *flags]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    assert told in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_config_file_that_fails_is_one_line(tmp_path):
    file = tmp_path / "own.py"
    file.write_text(
        "from fdigits.config import base\n"
        "def get_config():\n    config = base('x', 'bundled')\n    config.epochs = 'many'\n"
    )
    command = [sys.executable, "launch.py", f"--config={file}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert done.stderr.startswith(f"error: flag --config={file}: TypeError: ")
    assert "'epochs'" in done.stderr and len(done.stderr.splitlines()) == 1


# Epochs, batch size, rate; split, ratio; and what the papers name beside them.
@pytest.mark.parametrize(
    ("name", "arg", "schedule", "reported"),
    [
        ("weighted_fusion", "mnist_fsdd", (40, 64, 1e-2), dict(macro_f1=0.992)),
        ("weighted_fusion", "mnist_fsdd,fusion=audio", (40, 64, 1e-2), dict(macro_f1=0.752)),
        ("weighted_fusion", "fusion=low_rank", (40, 64, 1e-2), dict(macro_f1=0.0)),
        ("conv1d_fusion", "mnist_fsdd", (10, 64, 1e-3), dict(macro_f1=0.978)),
        ("conv1d_fusion", "modality=audio", (10, 64, 1e-3), dict(accuracy=0.834)),
        ("augmentation", "reduced_mnist,real=700", (20, 32, 1e-3), dict(accuracy=0.9855)),
        ("augmentation", "real=1000,generated=0", (20, 32, 1e-3), dict(accuracy=0.9885)),
        ("attention", "se", (10, 32, 1e-3), dict(accuracy=0.9855)),
        ("attention", "reduced_mnist,attention=self", (10, 32, 1e-3), dict(accuracy=0.9820)),
        ("spectrogram", "fsdd,hybrid", (15, 16, 1e-4), dict(accuracy=0.9844)),
        ("audio_mlp", "fsdd", (100, 32, 1e-3), dict(accuracy=0.9511)),
        ("audio_autoencoder", "fsdd,dim=400", (100, 32, 1e-3), dict(accuracy=0.9178)),
        ("audio_merger", "improved,fsdd", (50, 16, 1e-3), dict(accuracy=0.0)),
    ],
)
def test_configs_of_r1_r3_and_r4(name, arg, schedule, reported):
    config = get_config(name, arg)
    assert (config.epochs, config.batch_size, config.optimizer.learning_rate) == schedule
    assert {key: config.paper[key] for key in reported} == reported
    assert config.is_locked
    check(config)


def test_whole_numbers_serve_where_numbers_are_asked_for():
    config = base("x", "bundled")
    config.update(input_noise=1, frozen=["encoder"])
    config.data.pixels = (0, 1)
    config.model.update(hidden=(), filters=(8,))
    check(config.lock())


def test_a_model_without_defaults_has_tuples_of_one_kind():
    config = base("x", "bundled", task="vae", model=dict(latent=16, judge_pixels=(0, 0.5)))
    check(config)
    for field, value in (("judge_pixels", (0, "a")), ("judge_pixels", ()), ("latent", 0)):
        other = config.copy_and_resolve_references()
        other.model[field] = value
        with pytest.raises(UserError, match=f"model.{field} is"):
            check(other)


def test_an_earlier_stage_is_the_whole_config_with_fields_that_differ():
    config = get_config("conv1d_fusion", "mnist_fsdd")
    with config.unlocked():
        config.seed = 7
    stage = stage_config(config, "audio")
    assert (stage.model.name, stage.model.audio, stage.loss) == ("audio", "conv1d", "mse")
    assert (stage.seed, stage.data.ratio, stage.epochs) == (7, (7, 1, 2), 10)
    assert not stage.stages and not stage.start
    assert stage.paper.accuracy == 0.834 and config.model.name == "fusion"


@pytest.mark.parametrize(
    ("name", "arg", "message"),
    [
        ("attention", "attention=sel", "did you mean 'se"),
        ("spectrogram", "model=lenett", "did you mean 'lenet'"),
        ("conv1d_fusion", "modality=sound", "modality"),
        ("augmentation", "real=many", "real"),
        ("augmentation", "real=0", "no pictures"),
        ("audio_autoencoder", "dim=wide", "dim='wide' is no width"),
    ],
)
def test_wrong_arguments_of_the_new_configs_are_told(name, arg, message):
    with pytest.raises(UserError, match=message):
        get_config(name, arg)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("protocol", "pepar"),
        ("augment.strength", 1.5),
        ("data.ratio", (7, 0, 3)),
        ("data.ratio", (7, 3)),
        ("input_noise", -0.1),
        ("model.dropout", 1.0),
        ("model.dropout", 0.999),
        ("model.dropout", -0.1),
        ("data.pixels", (0.5,)),
        ("data.pixels", (0.5, 0.0)),
        ("augment.generated", 10),
        ("plateau.factor", 2.0),
        ("plateau.factor", 0.0),
        ("start", {"encoder": "stage"}),
        ("start", {"encoder": "/encoder"}),
        ("data.generated", {"stage": -1}),
        ("data.generated", {"stage": 1.5}),
        ("players", {"model": {"learning_rat": 1.0}}),
        ("players", {"model": {"learning_rate": "x"}}),
        ("players", {"model": 3}),
        ("players", {"model": {"decay_epochs": True}}),
        ("players", {"model": {"learning_rate": float("inf")}}),
        ("model.filters", (8, "a")),
        ("model.filters", (8, 0)),
        ("model.filters", (8, -1)),
        ("model.filters", (8, 2.0)),
        ("model.filters", (8, True)),
        ("model.filters", ((8,),)),
        ("model.filters", ()),
        ("model.hidden", ("a",)),
        ("model.hidden", (0,)),
        ("model.width", 0),
        ("frozen", (1,)),
        ("frozen", (("encoder",),)),
        ("data.ratio", (7, 1.5, 2)),
        ("data.ratio", (7, 1, True)),
        ("data.pixels", ("a", 1)),
        ("data.pixels", (0.5, float("nan"))),
        ("epochs", True),
        ("seed", 2**32),
        ("input_noise", float("inf")),
        ("optimizer.beta1", 1.0),
        ("optimizer.momentum", -0.5),
        ("optimizer.decay_factor", -1.0),
        ("players", {"model": {"learning_rate": -1.0}}),
        ("players", {"model": {"beta1": 1.5}}),
        ("data.encoded", {"code": 3}),
        ("data.generated", {"stage": True}),
        ("start", {"encoder": 3}),
    ],
)
def test_values_no_run_can_have(field, value):
    config = base("x", "bundled")
    config.update_from_flattened_dict({field: value})
    with pytest.raises(UserError, match=field) as told:
        check(config.lock())
    assert "\n" not in str(told.value)


def test_an_old_runs_config_is_translated():
    held = base("x", "bundled").to_dict()
    held["data"] = {"name": "fsdd", "split": "report"}
    held |= {"reported": {"system": "R1 image", "accuracy": 0.5}, "protocol": "report"}
    for field in ("paper", "task", "frozen", "players"):
        del held[field]
    old = {"protocol": "report", "reported": {"accuracy": 1.0}, "data": {"split": "report"}}
    held["stages"] = {"first": old}
    found = modern(held)
    new = {"protocol": "paper", "paper": {"accuracy": 1.0}, "data": {"split": "paper"}}
    assert found["stages"] == {"first": new}
    assert (found["protocol"], found["data"]["split"], found["task"]) == (
        "paper",
        "paper",
        "classify",
    )
    assert found["paper"] == {"system": "R1 image", "accuracy": 0.5, "macro_f1": 0.0, "source": ""}
    assert found["data"]["ratio"] == [14, 3, 3] and "reported" not in found
    result = {"protocol": "report, test part validates", "reported": {"accuracy": 1.0}}
    expected = {"task": "classify", "protocol": "paper, test part validates"}
    assert modern_result(result) == expected | {"paper": {"accuracy": 1.0}}


def test_a_stage_of_another_task_has_its_own_model():
    config = base("x", "bundled")
    config.stages["first"] = dict(task="other", model=dict(depth=2), frozen=("a",))
    config.data.encoded["code"] = "first"
    stage = stage_config(config.lock(), "first")
    assert stage.model.to_dict() == {"depth": 2} and stage.frozen == ("a",)
    assert not stage.data.encoded and config.data.encoded
    with config.unlocked():
        config.stages["first"]["epoch"] = 3
    with pytest.raises(UserError, match=r"stages.first: field 'epoch' .*'epochs'"):
        stage_config(config, "first")


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        (dict(epochs="3"), r"stages\.s\.epochs is '3': it must be of type int"),
        (dict(optimizer=dict(lr=1)), r"stages\.s\.optimizer: field 'lr' is unknown.*learning_rate"),
        (dict(task="other"), r"stages\.s is of the task other: it needs a model"),
        (dict(data=3), r"stages\.s\.data is 3"),
        (dict(model=3), r"stages\.s\.model is 3"),
        (
            dict(model=dict(filters=(8, "a"))),
            r"stages\.s\.model\.filters is \(8, 'a'\)",
        ),
        (dict(epochs=True), r"stages\.s\.epochs is True: it must be a whole number"),
        (dict(frozen=(1,)), r"stages\.s\.frozen is \(1,\): it must be a tuple of words"),
        (dict(players=3), r"stages\.s\.players is 3"),
        (3, r"stages\.s is 3"),
    ],
)
def test_what_a_stage_cannot_have_is_one_line(fields, told):
    config = base("x", "bundled")
    config.stages["s"] = fields
    with pytest.raises(UserError, match=told) as error:
        stage_config(config.lock(), "s")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("arg", "sets"),
    [
        ("picture", {"": "digits+printed+sketched"}),
        ("picture,mnist_fsdd", {"": "mnist+digits+printed+sketched"}),
        ("sound,fsdd+voices", {"": "fsdd+voices"}),
        (
            "reduced_mnist_fsdd+voices",
            {
                "": "reduced_mnist_fsdd+voices",
                "picture": "reduced_mnist+digits+printed+sketched",
                "sound": "fsdd+voices",
            },
        ),
    ],
)
def test_strangers_train_each_on_its_own_sets(arg, sets):
    config = get_config("strangers", arg)
    found = {"": config.data.name} | {name: one.data.name for name, one in config.stages.items()}
    assert found == sets
    assert all(datasets.find(name) for name in found.values())


@pytest.mark.parametrize("arg", ["mnist", "sound,mnist", "picture,fsdd"])
def test_strangers_without_data_of_their_kind_are_told(arg):
    with pytest.raises(UserError, match="needs a data set with"):
        get_config("strangers", arg)


def test_the_experts_of_strangers_are_trained_as_alone():
    both = get_config("strangers", "mnist_fsdd+voices")
    for stage, alone in (("picture", "picture,mnist"), ("sound", "sound,fsdd+voices")):
        fields = [
            json.loads(c.to_json())
            for c in (stage_config(both, stage), get_config("strangers", alone))
        ]
        differing = differing_fields(*fields)
        assert {one.partition(":")[0] for one in differing} <= {"name", "augment.name"}


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("def get_config(arg=''):\n    return 3", "gives int: it must give a ConfigDict"),
        ("def get_config(arg=''):\n    return unknown", "mine.py, line 2: NameError"),
        ("def get_config(:", "mine.py, line 1: invalid syntax"),
        ("x = 1", "has no get_config"),
        ("import nothing_of_the_kind", "ModuleNotFoundError"),
    ],
)
def test_a_config_file_of_ones_own_that_fails_is_one_line(tmp_path, content, told):
    (tmp_path / "mine.py").write_text(content)
    command = [sys.executable, "launch.py", f"--config={tmp_path / 'mine.py'}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2 and told in done.stderr and len(done.stderr.splitlines()) == 1
