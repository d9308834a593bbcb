"""R2: its losses against closed forms, its models, and whole short runs."""

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict, unflatten_dict
from scipy.spatial.distance import pdist

from fdigits import checkpoint, evaluate, predict, report, tasks, trained
from fdigits.config import check, stage_config
from fdigits.data import prepare
from fdigits.data.corpora import bundled
from fdigits.errors import UserError
from fdigits.report import artifacts
from fdigits.run import run, stage_order
from fdigits.tasks import generate, sound_to_image
from fdigits.tasks.classify import cross_entropy
from fdigits.train import create_state, make_train_step
from tests.models import parity
from tests.test_config import get_config

ROOT = Path(__file__).parents[2]
SHORT = {  # of three stages
    **{"data.limit": 400, "data.feeder": "device", "chunk": 5, "epochs": 3},
    **{"stages.judge.epochs": 1, "stages.vae.epochs": 3, "stages.vae.batch_size": 40},
}
FLAGS = [f"--config.{name}={value}" for name, value in SHORT.items()]


def short(arg: str = "tuned", **fields):
    config = get_config("sound_to_image", arg)
    own = {name: value for name, value in SHORT.items() if "vae" not in name or arg == "tuned"}
    own |= {} if arg == "tuned" else {"batch_size": 40}
    config.update_from_flattened_dict(own | {k.replace("__", "."): v for k, v in fields.items()})
    return config


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """All three stages: the judge, R2's autoencoder, the tuned judge."""
    workdir = tmp_path_factory.mktemp("tuned")
    return workdir, run(short(), workdir)


def batch(n: int = 6, sound: str = "mean_mfcc", seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    shape = {"mean_mfcc": (40,), "audio": (39, 13)}[sound]
    return {
        "image": rng.integers(256, size=(n, 28, 28), dtype=np.uint8),
        sound: rng.normal(size=(n, *shape)).astype(np.float32),
        "label": np.arange(n, dtype=np.int32) % 10,
    }


def made(arg: str):
    """A task, drawn values for its parameters and statistics, and a batch."""
    task = tasks.make(get_config("sound_to_image", arg))
    items = batch(sound=task.sound)
    shapes = jax.eval_shape(task.init, jax.random.key(0), items)
    variables = unflatten_dict(parity.draw(shapes, np.random.RandomState(0)), sep="/")
    return task, variables["params"], variables.get("batch_stats", {}), items


def test_the_losses_are_their_closed_forms():
    rng = np.random.default_rng(0)
    mean, log_variance = rng.normal(size=(2, 5, 7))
    sd = np.exp(log_variance / 2)
    closed = (np.log(1 / sd) + (sd**2 + mean**2) / 2 - 1 / 2).sum(1)
    found = jax.jit(sound_to_image.gaussian_kl)(mean, log_variance)
    np.testing.assert_allclose(found, closed, rtol=1e-5)
    assert sound_to_image.gaussian_kl(jnp.zeros((1, 3)), jnp.zeros((1, 3))) == 0
    logits, target = rng.normal(size=(2, 28, 28, 1)) * 3, rng.uniform(size=(2, 28, 28, 1))
    p = 1 / (1 + np.exp(-logits))
    expected = -(target * np.log(p) + (1 - target) * np.log(1 - p)).sum((1, 2, 3))
    found = jax.jit(sound_to_image.bernoulli)(logits, target)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_the_cross_entropy_bears_any_score_and_its_gradient_is_the_error():
    logits = np.float32([0.0, -3.0, 200.0, -1e4]).reshape(1, 2, 2, 1)
    target = np.float32([0.25, 1.0, 0.0, 0.0]).reshape(1, 2, 2, 1)
    loss = jax.value_and_grad(lambda x: sound_to_image.bernoulli(x, target).sum())
    value, slope = jax.jit(loss)(logits)
    assert value == pytest.approx(np.log(2) + 3 + np.log1p(np.exp(-3)) + 200)
    np.testing.assert_allclose(slope, jax.nn.sigmoid(logits) - target, rtol=1e-6)


def test_the_losses_are_torchs():
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(1)
    mean, log_variance = rng.normal(size=(2, 4, 3)).astype(np.float32)
    normal = torch.distributions.Normal
    theirs = normal(torch.tensor(mean), torch.tensor(np.exp(log_variance / 2)))
    prior = rng.normal(size=(2, 4, 3)).astype(np.float32)
    of_prior = normal(torch.tensor(prior[0]), torch.tensor(np.exp(prior[1] / 2)))
    for other, given in ((normal(0.0, 1.0), ()), (of_prior, prior)):
        expected = torch.distributions.kl_divergence(theirs, other).sum(1).numpy()
        found = sound_to_image.gaussian_kl(mean, log_variance, *given)
        np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_r2s_model_and_its_loss_are_the_torch_twins():
    torch = pytest.importorskip("torch")
    from torch.func import functional_call

    from benchmarks import twins
    from tests.models import torch_twins

    config = get_config("sound_to_image", "vae")
    task, params, _, items = made("vae")
    flat = flatten_dict({"params": params}, sep="/")

    @jax.jit
    def told_and_lost(params):
        read = task.inputs(items)
        outputs = task.model.apply({"params": params}, read, train=False)
        parts = task._parts(outputs, read["image"])
        return read, outputs, sum(part.mean() for part in parts.values())

    read, outputs, ours = told_and_lost(params)

    net = twins.make(config.model).double().eval()
    carried = torch_twins.state(net, {k: torch_twins.tensor(x) for k, x in flat.items()})
    given = {k: torch_twins.tensor(np.asarray(x)) for k, x in read.items()}
    given["image"] = torch_twins.nchw(given["image"])
    told = functional_call(net, carried, (given,))
    for name, theirs in zip(("pixels", "mean", "log_variance"), told, strict=True):
        theirs = theirs.permute(0, 2, 3, 1) if name == "pixels" else theirs
        np.testing.assert_allclose(outputs[name], theirs.numpy(), rtol=1e-4, atol=1e-4)
    loss = twins.LOSSES[config.task](config, net)(told, given)
    assert float(ours) == pytest.approx(float(loss), rel=1e-5) and torch.isfinite(loss)


def test_how_far_apart_pictures_are_is_the_mean_over_pairs():
    rng = np.random.default_rng(0)
    x, label = rng.normal(size=(30, 4, 5)), np.repeat([0, 3, 7], [12, 17, 1])
    found = sound_to_image.apart(x, label)
    for digit, count in ((0, 12), (3, 17)):
        pairs = pdist(x[label == digit].reshape(count, -1))
        assert found[digit] == pytest.approx(np.sqrt(np.square(pairs).mean()))
    assert found[7] == found[1] == 0


# By hand: a dense layer has in·out + out, a transposed 4 x 4 convolution 16·in·out + out.
JUDGE = (9 * 1 * 32 + 32) + (9 * 32 * 64 + 64) + (9216 * 128 + 128) + (128 * 10 + 10)
UPWARDS = (16 * 64 * 32 + 32) + (16 * 32 * 1 + 1)
EAR = (9 * 1 * 32 + 32) + 2 * 32 + (9 * 32 * 64 + 64) + 2 * 64 + (1728 * 128 + 128)
READER = (25 * 1 * 16 + 16) + (25 * 16 * 32 + 32) + (1568 * 10 + 10)
STYLE = (794 * 512 + 512) + (512 * 32 + 32)
STYLED = (26 * 512 + 512) + (512 * 3136 + 3136) + 10 * 32


@pytest.mark.parametrize(
    ("arg", "expected"),
    [
        ("vae", (40 * 256 + 256) + (256 * 256 + 256) + (256 * 64 + 64) + (32 * 3136 + 3136)),
        ("sharp", (40 * 512 + 512) + (512 * 512 + 512) + 5130 + STYLE + STYLED + READER),
        ("sharp,features=mfcc", EAR + 1290 + STYLE + STYLED + READER),
    ],
)
def test_parameters_are_counted_by_hand_and_shapes_are_right(arg, expected):
    config = get_config("sound_to_image", arg)
    task = tasks.make(config)
    items = batch(sound=task.sound)
    variables = jax.eval_shape(task.init, jax.random.key(0), items)
    count = sum(x.size for x in jax.tree.leaves(variables["params"]))
    assert count == expected + UPWARDS + JUDGE
    params, stats = variables["params"], variables.get("batch_stats", {})
    outputs = jax.eval_shape(task.evaluate, params, stats, items)
    assert outputs["picture"].shape == (6, 28, 28) and outputs["picture"].dtype == np.uint8
    assert outputs["logits"].shape == (6, 10) and outputs["kl"].shape == (6,)
    alone = {name: items[name] for name in task.given}
    assert "kl" not in jax.eval_shape(task.evaluate, params, stats, alone)
    assert (jax.eval_shape(task.samples, params, stats) is None) == (arg == "vae")


def test_the_gradient_goes_through_what_is_drawn():
    """Of z = mean + noise x sd: by the mean that of z, by log variance that x noise x sd / 2."""
    task, params, _, _ = made("vae")
    rng = np.random.default_rng(0)
    told, noise = rng.normal(size=(2, 64)), rng.normal(size=(2, 32))
    mean, log_variance = np.split(told, 2, -1)
    weights = rng.normal(size=(2, 28, 28, 1))

    def drawn(told, noise):
        pixels = task.model.apply({"params": params}, told, noise, method="draw")
        return (weights * pixels).sum()

    sd, gradient = np.exp(log_variance / 2), jax.jit(jax.grad(drawn))
    point = np.concatenate([mean + noise * sd, log_variance], -1)
    by_point = np.asarray(gradient(point, np.zeros_like(noise)))[:, :32]
    by_mean, by_log_variance = np.split(np.asarray(gradient(told, noise)), 2, -1)
    np.testing.assert_allclose(by_mean, by_point, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(by_log_variance, by_point * noise * sd / 2, rtol=1e-3, atol=1e-4)


def test_r2_draws_the_mean_and_the_sharp_model_a_style_that_each_pair_decides():
    for arg in ("vae", "sharp"):
        task, params, stats, items = made(arg)
        draw = jax.jit(task.evaluate)
        one, again = (draw(params, stats, items) for _ in range(2))
        jax.tree.map(np.testing.assert_array_equal, one, again)
        # Whatever stands beside them, as in padded batches, or shared by devices.
        some = draw(params, stats, {name: x[[4, 1, 1]] for name, x in items.items()})
        for name in ("picture", "reconstruction", "kl"):
            ours, theirs = np.asarray(some[name], float), np.asarray(one[name], float)[[4, 1, 1]]
            np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=int(name == "picture"))
        twice = items | {task.sound: items[task.sound][[0, 0, 0, 1, 1, 1]]}
        picture = np.asarray(draw(params, stats, twice)["picture"])
        assert len(np.unique(picture, axis=0)) == (2 if arg == "vae" else 6)


def test_the_sharp_model_learns_from_the_true_digit_and_draws_the_one_it_hears():
    task, params, stats, items = made("sharp")
    params = dict(params)
    kernel = np.zeros_like(params["ear_head"]["Dense_0"]["kernel"])
    always_4 = np.float32(9) * (np.arange(10) == 4)
    params["ear_head"] = {"Dense_0": {"kernel": kernel, "bias": always_4}}
    read = {task.sound: items[task.sound]}
    describe = jax.jit(lambda v, x: task.model.apply(v, x, method="describe")[0])
    told = describe({"params": params}, read)
    np.testing.assert_array_equal(told, np.tile(np.arange(10) == 4, (6, 1)))
    loss = jax.jit(lambda batch: task.loss(params, stats, batch, jax.random.key(0))[1][1])
    one = loss(items)["reconstruction"]
    other = loss(items | {"label": items["label"][::-1]})["reconstruction"]
    assert one != other


def test_the_reader_learns_from_true_pictures_alone():
    task, params, stats, items = made("sharp")

    def by_reader(reader, loss):
        return loss(params | {"reader": reader})

    def of_true(params):
        scores = task.model.apply(
            {"params": params}, items["image"][..., None] / 255, method="read"
        )
        return cross_entropy(scores, items["label"])

    def whole(params):
        return task.loss(params, stats, items, jax.random.key(0))[0]

    gradient = jax.jit(jax.grad(by_reader), static_argnums=1)
    found, expected = (gradient(params["reader"], loss) for loss in (whole, of_true))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), found, expected)


def test_the_judge_sees_pictures_as_it_did_in_training():
    task, params, _, items = made("vae")
    config = get_config("sound_to_image", "vae")
    assert tuple(config.data.pixels) == (0.5, 0.5)  # which the autoencoder does not heed
    classifier = tasks.make(stage_config(config, "judge"))
    own = {"encoder": params["judge_encoder"], "head": params["judge_head"]}
    theirs = jax.jit(classifier.evaluate)(own, {}, {"image": items["image"]})["logits"]
    ours = jax.jit(task.judged)(params, items["image"])[1]
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


@pytest.mark.parametrize(
    "arg", ["vae", pytest.param("sharp,features=mfcc", marks=pytest.mark.slow)]
)
def test_steps_lower_the_loss_and_leave_the_judge(arg):
    config = get_config("sound_to_image", arg)
    task = tasks.make(config)
    items = batch(sound=task.sound)
    items["image"] = np.tile(np.uint8(255) * (np.arange(28) < 9), (6, 28, 1))
    state = create_state(task, config, items, 10)
    step, before = jax.jit(make_train_step(task, config, 10)), state.params
    losses = []
    for _ in range(12):
        state, told = step(state, items)
        losses.append(float(told["loss"]))
    assert losses[-1] < 0.95 * losses[0]
    for name in generate.JUDGE:
        jax.tree.map(np.testing.assert_array_equal, state.params[name], before[name])


def weights(workdir: Path):
    epoch = json.loads((workdir / "result.json").read_text())["epochs"]
    return checkpoint.weights(workdir / "checkpoints", epoch)[0]


@pytest.mark.slow
def test_three_stages_leave_pictures_figures_and_pages(finished):
    workdir, result = finished
    assert result["task"] == "tune_judge" and result["modalities"] == ["picture"]
    figures = result["metrics"]["test"]
    assert figures["n"] == 390 and 0 <= figures["untouched"] <= 1
    drawn, tuned = artifacts.load(workdir / "vae"), artifacts.load(workdir)
    assert drawn.modalities == ("mean_mfcc",) and drawn.classifies
    assert drawn.further["draws.npz"]["image"].shape == (10, 8, 28, 28)
    assert drawn.further["walk.npz"]["image"].shape == (4, 9, 28, 28)
    ends = drawn.further["walk.npz"]["image"][:, 0]
    assert (ends == drawn.outputs["picture"][_first(drawn, (3, 1, 4, 0))]).all()
    assert (drawn.further["apart.npz"]["true_judged"] > 0).all()
    untouched = tuned.outputs["untouched"].argmax(1) == tuned.label_N
    assert figures["untouched"] == pytest.approx(untouched.mean())
    page = (workdir / "vae" / "report.html").read_text()
    assert "walks between two recordings" in page and "apart by pixels" in page
    for folder in (workdir, workdir / "vae"):
        assert list((folder / "figures").glob("drawn_*.png"))


def _first(run, digits):
    return [np.flatnonzero(run.label_N == digit)[0] for digit in digits]


@pytest.mark.slow
def test_the_tuned_judge_is_tested_on_what_the_autoencoder_drew(finished):
    workdir, _ = finished
    state = trained.load(workdir)
    examples = evaluate.again(state)
    train = examples.splits["train"].examples()
    assert len(train["label"]) == 100 and (np.bincount(train["label"]) == 10).all()
    drawer = trained.load(workdir / "vae")
    parts = evaluate.again(drawer).splits
    for part in ("train", "test"):  # the very recordings of the autoencoder's own part
        theirs = parts[part]
        own = theirs.corpora["mean_mfcc"].id[theirs.rows["mean_mfcc"]]
        ours = examples.splits[part]
        assert set(ours.corpora["picture"].id[ours.rows["picture"]]) <= set(own)
    tuned, judge = weights(workdir), weights(workdir / "judge")
    for name, x in judge["encoder"].items():
        same = jax.tree.map(np.array_equal, tuned["encoder"][name], x)
        assert all(jax.tree.leaves(same)) == (name != "Dense_0")
    jax.tree.map(np.testing.assert_array_equal, tuned["judge_encoder"], judge["encoder"])


@pytest.mark.slow
def test_killed_in_each_stage_and_started_again_equals_the_unbroken_run(finished, tmp_path):
    command = [sys.executable, "-m", "tests.no_page", "--config=configs/sound_to_image.py:tuned"]
    command += [f"--workdir={tmp_path}", *FLAGS]
    for stage, epoch in (
        ("vae", "epoch   2/3"),
        ("sound_to_image_tuned_mean-bundled:", "epoch   2/3"),
    ):
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        there = False
        for line in process.stdout:
            there |= line.startswith((stage, f"stage {stage}"))
            if there and line.startswith(epoch):
                break
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert there and not (tmp_path / "result.json").exists()
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0 and "going on after epoch" in done.stdout, done.stderr
    for stage in (".", "judge", "vae"):
        there = finished[0] / stage
        jax.tree.map(np.testing.assert_array_equal, weights(tmp_path / stage), weights(there))
        ours, theirs = (at / "metrics.jsonl" for at in (tmp_path / stage, there))
        assert ours.read_bytes() == theirs.read_bytes()


@pytest.mark.slow
def test_a_recording_is_drawn_and_read(finished, monkeypatch, capsys):
    recording = bundled.FOLDER / bundled.SAMPLES / "7.wav"
    for folder in (finished[0] / "vae", finished[0]):
        monkeypatch.setattr(sys, "argv", ["x", str(folder), "--recording", str(recording)])
        predict.main()
        assert len(capsys.readouterr().out.splitlines()) == 3
    arguments = ["x", str(finished[0] / "vae"), "--data", "espeak", "--part", "test"]
    monkeypatch.setattr(sys, "argv", arguments)
    predict.main()  # recordings without pictures
    assert "loss" not in capsys.readouterr().out


@pytest.fixture
def judged(finished, tmp_path, monkeypatch):
    """A workdir whose judge is trained."""
    monkeypatch.setattr(report, "write", lambda *args: "none")
    shutil.copytree(finished[0] / "judge", tmp_path / "judge")
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("stages.vae.batch_size", 4000, "400 training examples are fewer than one batch of 4000"),
        ("stages.vae.optimizer", {"learning_rate": 1e30}, "the loss is nan at step 2"),
        ("stages.judge.epochs", 2, "judge belongs to another config .epochs: 1 there, 2 here"),
        ("stages.vae.model", dict(name="vea", sound="mean_mfcc", latent=3), "did you mean 'vae'"),
        ("stages.vae.augment", {"strength": 0.5}, "pictures as they are"),
    ],
)
def test_what_cannot_be_is_one_line(judged, field, value, told):
    config = short()
    with config.unlocked():
        config.update_from_flattened_dict({field: value})
    with pytest.raises(UserError, match=told) as caught:
        run(config, judged)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["vae", "sharp", "tuned"])
def test_a_judge_of_pictures_normalised_otherwise_is_refused_before_it_is_trained(kind, tmp_path):
    """It would misread every drawing, without a word."""
    config = get_config("sound_to_image", kind)
    config.stages.judge.data.pixels = (0.5, 0.5)
    told = r"judge.data.pixels is \(0.5, 0.5\), but (judge_)?encoder, .* by \(0.1307, 0.3081\)"
    with pytest.raises(UserError, match=told):
        run(config, tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_digit_without_pictures_is_told(judged, monkeypatch):
    whole = prepare.load("bundled", modalities=("image", "mean_mfcc"))
    image = whole["image"]
    lacking = whole | {"image": image.take(image.label != 3)}
    load = prepare.load
    monkeypatch.setattr(
        prepare, "load", lambda name, *rest: lacking if name == "bundled" else load(name, *rest)
    )
    with pytest.raises(UserError, match="no item of digit 3 to pair"):
        run(short(), judged)


@pytest.mark.slow
def test_a_judge_whose_folder_was_cut_is_told(judged):
    shutil.rmtree(judged / "judge" / "checkpoints")
    with pytest.raises(UserError, match="keeps no checkpoint"):
        run(short(), judged)


def test_the_judge_comes_first():
    assert stage_order(get_config("sound_to_image", "tuned")) == ["judge", "vae"]
    with pytest.raises(UserError, match="did you mean 'mfcc'"):
        get_config("sound_to_image", "features=mfc")


def test_a_speaker_may_be_held_out_of_the_recordings():
    """The judge hears none."""
    config = get_config("sound_to_image", "mnist_fsdd,split=speaker")
    config.data.speaker = "theo"
    judge = stage_config(config, "judge")
    check(judge)
    assert (config.data.speaker, judge.data.speaker) == ("theo", "")


def test_the_sharp_models_figures_are_those_of_its_drawings():
    task = tasks.make(get_config("sound_to_image", "sharp"))
    label = np.array([3, 3, 5])
    picture = np.zeros((3, 28, 28), np.uint8)
    picture[1, 0, 0] = 255
    heard = np.log(np.where(np.eye(10)[[3, 3, 4]], 0.55, 0.05)).astype(np.float32)
    outputs = {"logits": np.eye(10)[[3, 3, 4]], "picture": picture, "heard": heard}
    outputs |= {"reconstruction": np.array([1.0, 2, 3]), "kl": np.array([4.0, 5, 6])}
    found = task.summary(outputs, label)
    assert (found["accuracy"], found["heard"]) == pytest.approx((2 / 3, 2 / 3))
    assert found["apart"] == pytest.approx(0.1)
    ear = -(2 * np.log(0.55) + np.log(0.05)) / 3
    assert found["loss"] == pytest.approx(2 + 5 + ear)
    assert "loss" not in task.summary({k: outputs[k] for k in ("logits", "picture")}, label)
