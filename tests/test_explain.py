import subprocess
import sys
import zlib
from pathlib import Path
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from fdigits import augment, explain, report, tasks
from fdigits.config import base
from fdigits.explain import __main__ as command
from fdigits.models import kernels
from fdigits.models.layers import EPSILON, ConvBlock, watch
from fdigits.run import run
from fdigits.tasks.classify import Classify

ROOT = Path(__file__).parents[1]
B = 6


def normal(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def config_of(name, **model):
    config = base("tiny", "bundled")
    config.model.update(name=name, width=16, **model)
    encoders = {"image": config.model.image, "audio": config.model.audio}
    if "cnn" in (encoders.get(name), *(encoders.values() if name not in encoders else ())):
        config.model.filters = (2, 6)
    return config


def make(config):
    """A task, and a state whose parameters and statistics are not the initial ones."""
    task, batch = tasks.make(config), items(1)
    shapes = jax.eval_shape(lambda: task.init(jax.random.key(0), batch))

    def some(path, leaf):
        name = path[-1].key
        drawn = normal(zlib.crc32(jax.tree_util.keystr(path).encode()), *leaf.shape)
        if name == "kernel":
            return 2 * drawn / np.sqrt(leaf.size / leaf.shape[-1])
        return 0.1 * drawn + (name in ("scale", "var"))

    drawn = [
        jax.tree.map_with_path(some, shapes.get(kind, {})) for kind in ("params", "batch_stats")
    ]
    return task, SimpleNamespace(params=drawn[0], batch_stats=drawn[1])


def items(n):
    pixels = np.random.default_rng(0).integers(0, 256, (n, 28, 28), dtype=np.uint8)
    return {"image": pixels, "audio": normal(1, n, 39, 13)}


def test_grad_cam_is_the_formula():
    """ReLU of the last activation's channels, each times its mean gradient, by the maximum."""
    task, state = make(config_of("image"))
    batch = items(B)
    encoder, head = state.params["encoder"], state.params["head"]["Dense_0"]
    stats = state.batch_stats["encoder"]

    @jax.jit
    def activation(x):
        first = {"params": encoder["ConvBlock_0"], "batch_stats": stats["ConvBlock_0"]}
        x = ConvBlock(2).apply(first, x, train=False)
        last, mean, var = encoder["ConvBlock_1"], *stats["ConvBlock_1"].values()
        x = kernels.conv(x, last["kernel"], ((1, 1), (1, 1))) + last["bias"]
        x = (x - mean) / jnp.sqrt(var + EPSILON)
        return nn.relu(x * last["scale"] + last["offset"])

    @jax.jit
    @jax.grad
    def gradient(x):
        x = nn.max_pool(x, (2, 2), (2, 2)).reshape(B, -1)
        x = nn.relu(x @ encoder["Dense_0"]["kernel"] + encoder["Dense_0"]["bias"])
        return (x @ head["kernel"] + head["bias"]).max(-1).sum()

    seen = np.asarray(activation(task.inputs(batch)["image"]))
    weights = np.asarray(gradient(seen)).mean((1, 2))
    cam = np.maximum((seen * weights[:, None, None]).sum(-1), 0)
    cam /= np.maximum(cam.max((1, 2), keepdims=True), 1e-30)
    found = explain.grad_cam(task, state, batch)
    assert found.keys() == {"image"} and found["image"].shape == (B, 14, 14)
    np.testing.assert_allclose(found["image"], cam, atol=1e-4)


def test_grad_cam_knows_each_item_alone_of_both_modalities():
    task, state = make(config_of("hybrid"))
    batch, order = items(B), np.array([3, 0, 5, 1, 4, 2])
    found = explain.grad_cam(task, state, batch)
    assert {k: v.shape for k, v in found.items()} == {"image": (B, 14, 14), "audio": (B, 19, 6)}
    permuted = explain.grad_cam(task, state, {k: v[order] for k, v in batch.items()})
    for modality, maps in found.items():
        np.testing.assert_allclose(permuted[modality], maps[order], atol=1e-4)
        highest = maps.max((1, 2))
        assert maps.min() >= 0 and set(highest.tolist()) <= {0.0, 1.0} and highest.any()
        assert np.ptp(maps, axis=0).max() > 0.1


def test_grad_cam_is_0_where_nothing_speaks_for_the_class():
    task, state = make(config_of("image"))
    state.params["head"] = jax.tree.map(np.zeros_like, state.params["head"])
    maps = explain.grad_cam(task, state, items(B))["image"]
    np.testing.assert_array_equal(maps, np.zeros((B, 14, 14)))


@pytest.mark.parametrize("audio", ["mlp", "lstm"])
def test_encoders_without_convolutions_have_no_grad_cam(audio):
    assert explain.grad_cam(*make(config_of("audio", audio=audio)), items(B)) == {}


def test_attention_is_what_the_modules_sow():
    task, state = make(config_of("image", image="plain", attention="cbam"))
    found = explain.attention(task, state, items(B))
    shapes = {"CBAM_0/channel": (B, 32), "CBAM_0/spatial": (B, 13, 13)}
    assert {k: v.shape for k, v in found.items()} == shapes
    _, sown = jax.jit(
        lambda inputs: task.model.apply(
            {"params": state.params}, inputs, train=False, mutable=["attention"]
        )
    )(task.inputs(items(B)))
    for part, module in sown["attention"]["encoder"]["CBAM_0"].items():
        np.testing.assert_allclose(found[f"CBAM_0/{part}"], module["map"][0], atol=1e-6)


def test_a_model_without_attention_sows_none():
    assert explain.attention(*make(config_of("image")), items(B)) == {}


def test_corruption_starts_clean_and_touches_one_modality():
    task, state = make(config_of("fusion", audio="mlp", fusion="weighted"))
    batch = items(20)
    outputs = jax.jit(task.evaluate)(state.params, state.batch_stats, batch)
    label = np.where(np.arange(20) < 15, outputs["logits"].argmax(-1), -1)  # 15 of 20 right
    found = explain.corruption(task, state, batch, label)
    levels = len(explain.LEVELS)
    assert found["weights"].shape == (2, levels, 2) and found["accuracy"].shape == (2, levels)
    np.testing.assert_array_equal(found["level"], explain.LEVELS)
    clean = outputs["weights"].mean(0)
    np.testing.assert_allclose(found["weights"][:, 0], [clean, clean], atol=1e-5)
    np.testing.assert_allclose(found["accuracy"][:, 0], 0.75)
    assert (found["accuracy"] <= 0.75).all() and (found["accuracy"][:, -1] < 0.75).any()
    for corrupted in (0, 1):  # a weight is read from its own embedding
        weights = found["weights"][corrupted]
        np.testing.assert_allclose(weights[:, 1 - corrupted], clean[1 - corrupted], atol=1e-5)
        assert np.ptp(weights[:, corrupted]) > 1e-3


def test_the_first_augmentation_is_the_original(monkeypatch):
    """The others are at full strength, but the run's own, which is at its strength."""

    def fade(x, key, strength):
        return x * (1 - 0.5 * strength)

    monkeypatch.setattr(augment, "AUGMENTATIONS", {"fade": fade, "combined": fade})
    config = config_of("image")
    config.augment.strength = 0.2
    image = items(1)["image"][0]
    found = explain.augmentations(tasks.make(config), image)
    assert found["name"].tolist() == ["original", "fade", "combined"]
    assert found["image"].dtype == np.uint8
    np.testing.assert_array_equal(found["image"][0], image)
    for made, factor in zip(found["image"][1:], (0.5, 0.9), strict=True):
        np.testing.assert_allclose(made, image * factor, atol=0.51)


@pytest.mark.parametrize(
    ("model", "strength", "files"),
    [
        (dict(name="image"), 0.0, {"maps"}),
        (dict(name="image"), 0.5, {"maps", "augmentations"}),
        (dict(name="audio", audio="mlp"), 0.5, set()),
        (dict(name="fusion", audio="mlp", fusion="weighted"), 0.0, {"maps", "corruption"}),
    ],
)
def test_only_files_that_apply_are_made(model, strength, files, monkeypatch):
    monkeypatch.setattr(explain, "augmentations", lambda task, image: {"image": image})
    monkeypatch.setattr(explain, "corruption", lambda *args: {"label": args[-1]})
    config = config_of(**model)
    config.augment.strength = strength
    label = np.random.default_rng(2).permutation(np.arange(50) % 10)
    test = {k: v for k, v in items(50).items() if model["name"] in (k, "fusion")}
    made = explain.make(*make(config), test, label)
    assert set(made) == {f"{name}.npz" for name in files} <= set(explain.FILES)
    if "maps" in files:
        maps = made["maps.npz"]
        assert maps.keys() == {"row", "gradcam:image"}
        assert maps["gradcam:image"].shape == (30, 14, 14)
        assert len(set(maps["row"])) == 30
        np.testing.assert_array_equal(label[maps["row"]], np.repeat(np.arange(10), 3))
    if "augmentations" in files:
        five = np.flatnonzero(label == explain.SHOWN_DIGIT)[0]
        np.testing.assert_array_equal(made["augmentations.npz"]["image"], test["image"][five])


def test_a_finished_run_is_explained_anew(tmp_path, monkeypatch, capsys):
    """To the bit: from the checkpoint and the data."""
    config = config_of("fusion", audio="cnn", fusion="late")
    config.model.filters = (2,)
    config.update(dict(epochs=1, batch_size=20, chunk=1))
    config.data.update(limit=60, feeder="device")
    monkeypatch.setattr(report, "write", lambda *args: "none")
    run(config.lock(), tmp_path)
    with np.load(tmp_path / "maps.npz") as maps:
        left = {name: maps[name] for name in maps.files}
    (tmp_path / "maps.npz").unlink()
    command.main([str(tmp_path)])
    assert "maps.npz written" in capsys.readouterr().out
    with np.load(tmp_path / "maps.npz") as maps:
        assert set(maps.files) == left.keys() == {"row", "gradcam:image", "gradcam:audio"}
        for name, array in left.items():
            np.testing.assert_array_equal(maps[name], array)
        assert maps["gradcam:image"].any() and maps["gradcam:audio"].any()


def test_a_folder_without_a_run_is_one_line(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "fdigits.explain", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2 and "no finished run" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_the_last_convolution_is_the_last_that_is_called():
    """Of eleven blocks, not ConvBlock_9, after which ConvBlock_10 comes by name."""

    class Eleven(nn.Module):
        @nn.compact
        def __call__(self, batch, train):
            x = batch["image"]
            for width in (1,) * 10 + (2,):
                x = Watched(width)(x)
            return {"logits": nn.Dense(10)(x.mean((1, 2)))}

    class Watched(nn.Module):
        width: int

        @nn.compact
        def __call__(self, x):
            stride = 2 if self.width == 2 else 1
            return watch(self, nn.relu(nn.Conv(self.width, (3, 3), stride)(x)))

    class Nested(nn.Module):
        modality: str = "image"

        @nn.compact
        def __call__(self, batch, train):
            return Eleven(name="encoder")(batch, train)

    task = Classify(Nested(), config_of("image"))
    variables = jax.jit(task.init)(jax.random.key(0), items(B))
    state = SimpleNamespace(params=variables["params"], batch_stats={})
    assert explain.grad_cam(task, state, items(B))["image"].shape == (B, 14, 14)
