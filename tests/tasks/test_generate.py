import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from fdigits import Recogniser, evaluate, examples, quality, tasks, train, trained
from fdigits.config import stage_config
from fdigits.errors import UserError
from fdigits.report import artifacts
from fdigits.run import run
from fdigits.tasks.gan import Gan
from tests.tasks import killed
from tests.tasks.short import short
from tests.test_config import get_config

FLOW = "gan:real=5,generator=flow,synthetic=1000"
SHORT = {
    "data__limit": 100,
    "stages__judge__epochs": 2,
    "stages__judge__batch_size": 20,
    "stages__gan__epochs": 4,
    "stages__gan__batch_size": 20,
    "epochs": 1,
}
MADE = {"data__generated__gan": 20, "stages__gan__augment__generated": 20, "stages__gan__chunk": 2}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A judge, a flow and a classifier on its digits."""
    patch = pytest.MonkeyPatch()
    patch.setattr("fdigits.report.write", lambda runs, out: out)
    workdir = tmp_path_factory.mktemp("flow")
    run(short(FLOW, **SHORT, **MADE), workdir)
    patch.undo()
    return workdir


def gan_task():
    """R4's GAN on batches of 8, its state, and one batch."""
    config = stage_config(get_config("gan"), "gan").copy_and_resolve_references()
    with config.unlocked():
        config.batch_size, config.chunk = 8, 2
    task = tasks.make(config)
    rng = np.random.default_rng(0)
    batch = {
        "image": rng.integers(0, 256, (8, 28, 28), dtype=np.uint8),
        "label": np.arange(8, dtype=np.int32),
    }
    return task, train.create_state(task, config, batch, 10), batch


@pytest.mark.slow
def test_each_player_moves_its_own_and_nobody_judge_or_auxiliary():
    task, state, batch = gan_task()
    after, told = jax.jit(train.make_train_step(task, task.config, 10))(state, batch)
    before, now = (jax.device_get((s.params, s.batch_stats)) for s in (state, after))

    def moved(kind: int) -> set[str]:
        return {
            name
            for name, held in before[kind].items()
            if not all(map(np.array_equal, *map(jax.tree.leaves, (held, now[kind][name]))))
        }

    assert moved(0) == {"generator", "discriminator"} and moved(1) == {"generator"}
    left = []

    def turn(params):
        _, (statistics, _) = task._tell_apart(params, state.batch_stats, batch, jax.random.key(0))
        left.append(statistics)

    jax.eval_shape(turn, state.params)
    assert (
        left[0] is state.batch_stats
    )  # the discriminator's turn leaves the generator's statistics
    assert told.keys() == {
        "discriminator_loss", "discriminator_accuracy",
        "generator_loss", "generator_deceived", "generator_named",
    }  # fmt: skip
    total = told["generator_deceived"] + told["generator_named"]
    np.testing.assert_allclose(told["generator_loss"], total, rtol=1e-6)


def test_each_turn_of_the_gan_wants_what_it_should(monkeypatch):
    task = Gan(None, stage_config(get_config("gan"), "gan"))
    drawn, label, key = -jnp.ones((4, 28, 28, 1)), np.arange(4), jax.random.key(0)
    batch = {"image": np.full((4, 28, 28), 255, np.uint8), "label": label}
    monkeypatch.setattr(Gan, "_drawn", lambda *_: (drawn, {"batch_stats": {}}))
    monkeypatch.setattr(Gan, "_score", lambda _, p, image, *__: p * image.mean((1, 2, 3)))
    monkeypatch.setattr(Gan, "_auxiliary", lambda *_: 9 * jnp.eye(10)[label])
    for params, right in ((5.0, 1.0), (-5.0, 0.0)):  # knows the real ones; takes all for the others
        loss, (_, told) = task._tell_apart(params, {}, batch, key)
        assert told["accuracy"] == right and (loss < 0.1) == (right == 1)
        _, (_, told) = task._deceive(params, {"generator": {}}, batch, key)
        assert (told["deceived"] < 0.1) == (right == 0) and told["named"] < 0.01


def test_a_generators_figures_are_those_of_its_drawings():
    """Threes far from all that is real, sevens read as zeros."""
    task = tasks.make(stage_config(get_config("gan", "generator=cvae"), "gan"))
    label = np.repeat(np.arange(10), 20)
    real = np.random.default_rng(0).normal(size=(200, 2)) + 40 * np.eye(10, 2)[label]
    drawn = np.where(label[:, None] == 3, real + 1000, real)
    scores = np.eye(10)[np.where(label == 7, 0, label)]
    told = dict(scores=scores, real_features=real, drawn_features=drawn)
    found = task.summary(told, label)
    assert found["judged"] == 0.9 and found["judged_by_digit"] == [1.0] * 7 + [0.0] + [1.0] * 2
    assert found["precision"] == 0.9 and found["fid"] == quality.frechet_distance(real, drawn)
    assert (found["precision"], found["recall"]) == quality.precision_recall(real, drawn)


def test_the_discriminators_loss_is_pytorchs_bce_with_logits():
    from fdigits.tasks.gan import _entropy

    score = jnp.array([-3.0, 0.5, 40.0])
    for target in (0, 1):
        probability = 1 / (1 + np.exp(-np.array(score, np.float64)))
        kept = probability if target else 1 - probability
        kept = np.where(kept == 0, np.exp(-40.0), kept)
        np.testing.assert_allclose(_entropy(score, target), -np.log(kept).mean(), rtol=1e-4)


@pytest.mark.slow
def test_it_trains_and_leaves_sheets_and_figures(finished):
    made = artifacts.load(finished / "gan")
    rows = [json.loads(line) for line in (finished / "gan/metrics.jsonl").open()]
    assert rows[-1]["train"]["loss"] < 0.95 * rows[0]["train"]["loss"]
    test = made.result["metrics"]["test"]
    assert {"judged", "fid", "precision", "recall", "spread", "n"} <= test.keys()
    assert made.further["sheet.npz"]["image"].shape == (10, 10, 28, 28)
    assert list(made.samples) == [1, 2, 3, 4]
    np.testing.assert_array_equal(made.samples[4], made.further["sheet.npz"]["image"])
    flow = trained.load(finished / "gan")
    train_images = evaluate.again(flow).splits["train"].corpora["image"].x
    nearest = made.further["sheet.npz"]["nearest"].reshape(100, -1)
    assert all((train_images.reshape(len(train_images), -1) == x).all(1).any() for x in nearest)


@pytest.mark.slow
def test_the_judge_is_the_one_that_was_trained(finished):
    flow, judge = trained.load(finished / "gan"), trained.load(finished / "judge")
    for ours, theirs in (("judge_encoder", "encoder"), ("judge_head", "head")):
        jax.tree.map(np.testing.assert_array_equal, flow.params[ours], judge.params[theirs])
    image = evaluate.again(judge).splits["test"].corpora["image"].x[:20]
    wanted = judge.outputs({"image": image})["logits"]
    _, found = flow.task.judged(flow.params, image[..., None] / np.float32(255))
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_every_digit_gets_as_many_drawn_pictures(finished):
    mix = trained.load(finished)
    split = evaluate.again(mix).splits["train"]
    rows = split.examples()
    drawn = [name.startswith("gan/") for name in split.corpora["image"].id[rows["image"]]]
    np.testing.assert_array_equal(np.bincount(rows["label"][drawn], minlength=10), 20)
    assert len(drawn) == sum(drawn) + 10 * 5


@pytest.mark.slow
def test_a_generator_names_no_digit_of_a_persons_picture(finished):
    recognise = Recogniser(finished / "gan")
    with pytest.raises(UserError, match="which names no digit: give a classifier's run"):
        recognise.probabilities({"image": np.zeros((28, 28), np.uint8)})


@pytest.mark.slow
def test_a_test_pictures_noise_is_its_own(finished):
    flow = trained.load(finished / "gan")
    image = evaluate.again(flow).splits["test"].corpora["image"].x[:6]
    noise = flow.task._noise_of(jnp.array(image))
    order = [3, 0, 5, 1]
    np.testing.assert_array_equal(
        flow.task._noise_of(jnp.array(image[order])), noise[np.array(order)]
    )
    assert abs(float(noise.std()) - 1) < 0.1 and len(np.unique(noise[:, 0])) == 6


@pytest.mark.slow
def test_a_sheets_column_is_one_noise(finished):
    flow = trained.load(finished / "gan")
    zero = jax.tree.map(jnp.zeros_like, flow.params)  # no velocity: the noise itself
    sheet = np.asarray(flow.task.samples(zero, {}))
    assert (sheet == sheet[:1]).all() and (sheet[0, 0] != sheet[0, 1]).any()


def test_the_flow_goes_from_time_0_to_1_and_knows_its_label(monkeypatch):
    """At a speed of time + label it goes as far as the mean of 0/12 to 11/12, and the label."""
    task = tasks.make(stage_config(short(FLOW, **SHORT, **MADE), "gan"))

    def velocity(self, params, x, time, label):
        return x * 0 + (time + label)[:, None, None, None]

    monkeypatch.setattr(type(task), "_velocity", velocity)
    noise = jnp.linspace(-1, 0.4, 784)
    drawn = task.draw({}, {}, jnp.tile(noise, (2, 1)), jnp.array([0, 1]))
    for row, far in enumerate((11 / 24, 11 / 24 + 1)):
        wanted = (noise + far + 1) / 2
        np.testing.assert_allclose(drawn[row].ravel(), wanted, atol=1e-6)


@pytest.mark.slow
def test_a_perfect_velocity_has_no_loss(finished, monkeypatch):
    """Of one picture at time t: (picture - x) / (1 - t)."""
    flow = trained.load(finished / "gan")
    image = np.full((4, 28, 28), 51, np.uint8)  # -0.6 within -1..1

    def velocity(self, params, x, time, label):
        return (-0.6 - x) / (1 - time[:, None, None, None])

    monkeypatch.setattr(type(flow.task), "_velocity", velocity)
    batch = {"image": image, "label": np.zeros(4, np.int32)}
    loss, _ = flow.task.loss({}, {}, batch, jax.random.key(0))
    assert loss < 1e-6


class Tiny(nn.Module):
    """In the place of MobileNetV2, which takes long to compile."""

    @nn.compact
    def __call__(self, x, train):
        x = nn.BatchNorm(use_running_average=not train)(x.reshape(len(x), -1))
        return nn.relu(nn.Dense(8)(x))


@pytest.mark.slow
def test_a_lost_loss_names_its_player(tmp_path, monkeypatch):
    monkeypatch.setattr("fdigits.tasks.gan.MobileNetEncoder", Tiny)
    config = short("gan:real=5", **SHORT, stages__auxiliary__epochs=1)
    with config.unlocked():
        config.stages.gan.players = {"generator": {"learning_rate": 3e38}}
        config.stages.gan.start = {}
    with pytest.raises(
        UserError, match=r"the (discriminator|generator) loss is (nan|inf) at step "
    ):
        run(stage_config(config, "gan"), tmp_path)


def test_a_stages_monitor_is_looked_at_before_any_stage_trains(tmp_path):
    config = short(FLOW, **SHORT, **MADE)
    config.stages.gan.monitor = "accuracy"
    with pytest.raises(UserError, match="monitor 'accuracy' is unknown"):
        run(config, tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "fields, told",
    [
        ({"stages__gan__batch_size": 251}, "gan.*: 250 training examples are fewer"),
        ({"batch_size": 251}, "250 training examples are fewer than one batch of 251"),
        ({"data__per_class": 40}, "per_class .* is 40"),
    ],
)
def test_too_few_pictures_are_told_before_any_stage_trains(tmp_path, fields, told):
    """5 real ones of each class, and 20 more that are augmented, or drawn."""
    with pytest.raises(UserError, match=told):
        run(short(FLOW, **SHORT | MADE | fields), tmp_path)
    assert not list(tmp_path.iterdir())
    enough = short(FLOW, **SHORT | MADE, batch_size=250)
    examples.check_size(examples.resolved(enough), tasks.make(enough))


@pytest.mark.parametrize("stage, module", [("judge", "judge_encoder"), ("auxiliary", "auxiliary")])
def test_a_stage_of_pictures_normalised_otherwise_is_refused_before_it_is_trained(
    stage, module, tmp_path
):
    config = get_config("gan", "synthetic=1000")
    config.stages[stage].data.pixels = (0.25, 0.5)
    told = rf"stages.{stage}.data.pixels is \(0.25, 0.5\), but {module}\w*, .* starts from this"
    with pytest.raises(UserError, match=told):
        run(config, tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "spec, told",
    [
        ("gan:real=0", "real=0: it must be a number of pictures per class above 0, or all"),
        ("gan:real=-3", "real=-3"),
        ("gan:synthetic=500", "synthetic '500' is unknown"),
        ("gan:generator=gann", "did you mean 'gan'"),
        ("gan:mnist_fsdd", "mnist_fsdd: a generator of digits needs a data set of pictures alone"),
        ("gan:fsdd", "pictures alone"),
        ("gan_pipeline:augmented=0", "augmented=0: it must be"),
    ],
)
def test_arguments_that_no_run_can_have(spec, told):
    with pytest.raises(UserError, match=told):
        get_config(*spec.split(":"))


@pytest.mark.slow
def test_killed_and_started_again_equals_the_unbroken_run(tmp_path, finished):
    fields = [f"{name}={value}" for name, value in (SHORT | MADE).items()]
    shutil.copytree(finished / "judge", tmp_path / "judge")
    killed.run(FLOW, tmp_path, ["-gan:"], fields)
    for stage in ("gan", "."):
        killed.assert_same(tmp_path / stage, finished / stage)


@pytest.mark.slow
def test_a_killed_gan_equals_the_unbroken_run(tmp_path, monkeypatch):
    monkeypatch.setattr("fdigits.report.write", lambda runs, out: out)
    spec, fields = "gan:real=5,synthetic=0", SHORT | {"stages__auxiliary__epochs": 1}
    run(short(spec, **fields), tmp_path / "whole")
    for stage in ("judge", "auxiliary"):
        shutil.copytree(tmp_path / "whole" / stage, tmp_path / "killed" / stage)
    killed.run(spec, tmp_path / "killed", ["-gan:"], [f"{k}={v}" for k, v in fields.items()])
    killed.assert_same(tmp_path / "killed" / "gan", tmp_path / "whole" / "gan")


def test_the_full_gan_learns_from_all_of_mnist_and_the_mix_from_few():
    config = get_config("gan", "reduced_mnist,real=300,generator=full")
    for name, data in (("gan", "mnist"), ("auxiliary", "mnist"), ("mix_1000", "reduced_mnist")):
        stage = stage_config(config, name)
        assert stage.data.name == data
        assert stage.data.per_class == (300 if name == "mix_1000" else 0)
    assert config.stages.mix_1000.paper.accuracy == 0.9655


def test_a_flows_width_is_a_multiple_of_its_groups(tmp_path):
    config = short(FLOW, **SHORT, **MADE)
    config.stages.gan.model.width = 20
    with pytest.raises(UserError, match=r"model.width is 20: .* multiple of 8"):
        run(config, tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("generator", ["gan", "flow", "cvae"])
def test_half_precision_is_refused(generator):
    config = get_config("gan", f"generator={generator}")
    config = stage_config(config, "gan").copy_and_resolve_references()
    config.dtype = "bfloat16"
    with pytest.raises(UserError, match=r"dtype is bfloat16: .* float32 only"):
        tasks.make(config)
