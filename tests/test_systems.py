"""Short runs of the systems of R1, R3 and R4 on the embedded data."""

import json

import jax
import numpy as np
import pytest

from fdigits import predict, tasks, trained
from fdigits.data import prepare
from fdigits.data.corpora import bundled
from fdigits.errors import UserError
from fdigits.examples import load_splits, resolved
from fdigits.run import run
from tests.test_config import get_config

SHORT = {"epochs": 1, "data.limit": 200, "batch_size": 20, "chunk": 5, "data.feeder": "device"}


@pytest.fixture
def no_report(monkeypatch):
    """t-SNE and figures take longer than these runs; one of them draws."""
    monkeypatch.setattr("fdigits.report.write", lambda runs, out: out)


@pytest.fixture
def no_maps(monkeypatch, no_report):
    """Grad-CAM, which runs without a page compile for it alone."""
    monkeypatch.setattr("fdigits.explain.make", lambda *args: {})


def short(name, arg="", **fields):
    config = get_config(name, arg)
    config.update_from_flattened_dict(SHORT | {k.replace("__", "."): v for k, v in fields.items()})
    return config


def as_by_earlier_code(workdir):
    """Writes a run's config as it was before papers were called so and models lost fields."""
    for folder in (workdir, workdir / "image", workdir / "audio"):
        held = json.loads((folder / "config.json").read_text())
        held["model"] |= {"image": "plain", "audio": "conv1d"}
        held["reported"] = held.pop("paper")
        for name, stage in held["stages"].items():
            stage["model"], stage["reported"] = {"name": name, "hidden": []}, stage.pop("paper")
        (folder / "config.json").write_text(json.dumps(held))


@pytest.mark.slow
def test_two_stages_of_which_the_second_starts_from_the_first(tmp_path, no_maps):
    config = short("conv1d_fusion", optimizer__learning_rate=0.0)  # so that all weights stay
    result = run(config, tmp_path)
    assert result["modalities"] == ["image", "audio"]
    fused = trained.load(tmp_path)
    for name in ("image", "audio"):
        alone = trained.load(tmp_path / name)
        assert alone.config.loss == "mse" and alone.config.model.name == name
        ours, theirs = fused.params[f"{name}_encoder"], alone.params["encoder"]
        jax.tree.map(np.testing.assert_array_equal, ours, theirs)
    again = run(config, tmp_path)  # finished, and so are its stages
    assert again == result
    as_by_earlier_code(tmp_path)
    assert run(config, tmp_path) == result
    with pytest.raises(UserError, match="another config"):
        run(short("conv1d_fusion", optimizer__learning_rate=0.1), tmp_path)
    with config.unlocked():
        config.stages.audio.seed = 3
    with pytest.raises(UserError, match=r"config \(stages.audio.seed: 0 there, 3 here\)"):
        run(config, tmp_path)


@pytest.mark.slow
def test_a_start_of_another_shape_is_told_before_the_workdir_is_taken(tmp_path, no_maps):
    config = short("conv1d_fusion")
    with config.unlocked():
        config.stages.image.model.width = 16
    with pytest.raises(UserError, match=r"start.image_encoder: .*Dense_0.*there.*here"):
        run(config, tmp_path)
    assert not (tmp_path / "config.json").exists()


def test_the_fusions_weights_stand_with_the_predictions(tmp_path, no_report):
    result = run(short("weighted_fusion", "protocol=paper"), tmp_path)
    assert result["protocol"] == "official, test part validates"
    assert result["metrics"]["validation"] == result["metrics"]["test"]
    with np.load(tmp_path / "predictions.npz") as held:
        assert held["weights"].shape == (200, 2)
        assert ((held["weights"] > 0) & (held["weights"] < 1)).all()
    with np.load(tmp_path / "corruption.npz") as held:
        assert held["weights"].shape == (2, len(held["level"]), 2)


@pytest.mark.slow
def test_a_spectrogram_run_hears_a_recording(tmp_path, capsys, monkeypatch, no_report):
    result = run(short("spectrogram", "hybrid", data__limit=100), tmp_path)
    assert result["parameters"] == 1_628_915 and result["modalities"] == ["spectrogram"]
    with np.load(tmp_path / "maps.npz") as held:
        assert held["gradcam:spectrogram"].shape == (30, 58, 58)
        assert held["attention:LeNetBlock_1/ChannelAttention_0"].shape == (30, 16)
    recording = bundled.FOLDER / bundled.SAMPLES / "7.wav"
    monkeypatch.setattr("sys.argv", ["predict", str(tmp_path), "--recording", str(recording)])
    predict.main()
    lines = capsys.readouterr().out.strip().splitlines()[-3:]
    assert sum(float(line.split()[1]) for line in lines) <= 1.001


def test_augmented_pictures_join_the_training_part_alone(tmp_path):
    config = short("augmentation", "real=20,generated=30", data__limit=0)
    splits = load_splits(resolved(config), ("image",), tmp_path)
    assert len(splits["train"]) == 10 * (20 + 30)
    examples = splits["train"].examples()
    assert (np.bincount(examples["label"]) == 50).all()
    of_test = splits["test"]
    assert of_test.corpora["image"].x.shape[0] == 1797 and splits["validation"] is of_test


def test_augmented_pictures_need_pictures_alone(tmp_path):
    config = short("weighted_fusion", augment__strength=0.5, augment__generated=10)
    with pytest.raises(UserError, match="pictures alone"):
        load_splits(resolved(config), ("image", "audio"), tmp_path)


def test_a_run_of_earlier_code_is_this_one(tmp_path, no_maps):
    """Old words are the new ones, and a field that is absent has its default."""
    config = short("image")
    result = run(config, tmp_path)
    held = json.loads((tmp_path / "config.json").read_text())
    del held["model"]["hidden"], held["frozen"], held["data"]["encoded"], held["task"]
    held["reported"] = held.pop("paper")
    held["model"]["audio"] = "mlp"  # which it never read
    (tmp_path / "config.json").write_text(json.dumps(held))
    assert trained.load(tmp_path).config.model.hidden == []
    assert run(config, tmp_path) == result
    (tmp_path / "result.json").unlink()  # as if it had been stopped before
    assert run(config, tmp_path) == result
    assert json.loads((tmp_path / "config.json").read_text()) == held
    with pytest.raises(UserError, match=r"belongs to another config \(model.hidden: \[\] there"):
        run(short("image", model__hidden=(64,)), tmp_path)


def test_a_first_epoch_that_is_lost_leaves_the_workdir_free(tmp_path, no_maps):
    """Of a run of stages, the next start keeps what the earlier ones learnt."""
    with pytest.raises(UserError, match=r"no epoch was done: lower .*, and start again"):
        run(short("audio_mlp", optimizer__learning_rate=1e30), tmp_path)
    result = run(short("audio_mlp", epochs=1), tmp_path)
    assert result["epochs"] == 1
    assert json.loads((tmp_path / "config.json").read_text())["optimizer"]["learning_rate"] == 1e-3
    for name in ("result.json", None):  # a finished run, and one with an epoch
        with pytest.raises(UserError, match=r"learning_rate: 0.001 there, 0.1 here\).* or delete"):
            run(short("audio_mlp", epochs=1, optimizer__learning_rate=0.1), tmp_path)
        if name:
            (tmp_path / name).unlink()


def test_weights_of_another_model_are_told(tmp_path, no_maps):
    run(short("image"), tmp_path)
    held = json.loads((tmp_path / "config.json").read_text())
    held["model"]["width"] = 64
    (tmp_path / "config.json").write_text(json.dumps(held))
    with pytest.raises(UserError, match="of this code"):
        trained.load(tmp_path)


@pytest.mark.parametrize("name", ["audio", "image"])
def test_a_class_without_a_partner_is_no_matter_to_a_model_of_one_modality(
    tmp_path, name, no_maps, monkeypatch
):
    """The other modality still says which pairs there are."""
    whole = prepare.load("bundled")
    other = "image" if name == "audio" else "audio"
    lacking = whole | {other: whole[other].take(whole[other].label != 3)}
    monkeypatch.setattr(prepare, "load", lambda *args: lacking)
    assert run(short(name), tmp_path)["metrics"]["test"]["n"] == 200
    if name == "audio":  # a model of both needs the pictures
        with pytest.raises(UserError, match="digit 3"):
            run(short("hybrid"), tmp_path / "hybrid")
        assert not (tmp_path / "hybrid").exists()


def test_a_model_takes_the_fields_that_it_has(tmp_path):
    for name, fields in [("hybrid", {"model__hidden": (64,)}), ("image", {"model__fusion": "x"}),
                         ("spectrogram", {"model__width": 64})]:  # fmt: skip
        with pytest.raises(UserError, match="does not have"):
            run(short(name, **fields), tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_pictures_that_an_earlier_stage_draws_join_the_training_part(
    tmp_path, monkeypatch, no_maps
):
    def generate(self, params, batch_stats, key, label_B):
        noise = jax.random.randint(key, (len(label_B), 28, 28), 0, 20)
        return (noise + 20 * label_B[:, None, None]).astype("uint8")

    monkeypatch.setattr(type(tasks.make(short("attention"))), "generate", generate)
    config = short("augmentation", "real=20,generated=0", data__limit=0)
    with config.unlocked():
        config.stages["drawer"] = {"seed": 0}
        config.data.generated["drawer"] = 60
    run(config, tmp_path)
    parts = [load_splits(resolved(config), ("image",), tmp_path) for _ in range(2)]
    for split in (part["train"] for part in parts):
        assert len(split) == 10 * (20 + 60) and "drawer/599" in split.ids()
        x, label = split.corpora["image"].x[-600:], split.corpora["image"].label[-600:]
        assert ((x.min((1, 2)) >= 20 * label) & (x.max((1, 2)) < 20 * label + 20)).all()
        assert (np.bincount(label) == 60).all() and len(np.unique(x, axis=0)) == 600
    one, other = (part["train"].corpora["image"].x for part in parts)
    np.testing.assert_array_equal(one, other)


def test_a_model_and_data_that_do_not_fit(tmp_path):
    with pytest.raises(UserError, match="no spectrogram"):
        run(short("spectrogram", "digits"), tmp_path)
    with pytest.raises(UserError, match="no audio"):
        run(short("weighted_fusion", "digits"), tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("dtype", "float61", "did you mean 'float16'"),
        ("loss", "mae", "loss 'mae'"),
        ("optimizer.name", "adamm", "did you mean 'adam'"),
        ("model.fusion", "gatd", "did you mean 'gated'"),
        ("model.width", 250, "cuts it in 16"),
        ("start", {"imge_encoder": "image/encoder"}, "did you mean 'image_encoder'"),
        ("data.encoded", {"image": "first"}, "data.encoded.image: .* otherwise"),
        ("data.encoded", {"code": "first"}, "data.encoded.code would change nothing"),
    ],
)
def test_what_no_run_can_have_leaves_nothing_behind(tmp_path, field, value, told):
    config = short("weighted_fusion", "fusion=gated")
    with config.unlocked():
        config.update_from_flattened_dict({field: value})
    with pytest.raises(UserError, match=told):
        run(config, tmp_path)
    assert not list(tmp_path.iterdir())


def test_augmentation_without_pictures_is_refused(tmp_path):
    with pytest.raises(UserError, match="reads no pictures or words as they are"):
        run(short("spectrogram", augment__strength=0.5), tmp_path)
    with pytest.raises(UserError, match="pictures alone are made before"):
        run(short("strangers", "sound", augment__strength=0.5, augment__generated=9), tmp_path)
    stage = short("attention", "se", augment__strength=0.5)  # of the stages, too, and first
    with stage.unlocked():
        stage.stages["second"] = {"model": {"name": "audio", "image": "cnn", "attention": "none"}}
    with pytest.raises(UserError, match="attention_se-digits-second reads audio"):
        run(stage, tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("name, arg", [("image", "bundled"), ("attention", "self")])
def test_a_run_in_half_precision_learns(name, arg, tmp_path, no_report):
    result = run(short(name, arg, dtype="bfloat16", epochs=10), tmp_path)
    assert result["metrics"]["test"]["loss"] < 2  # 2.3 by chance
    if name == "image":
        return
    with np.load(tmp_path / "maps.npz") as maps:
        rows = maps["attention:SelfAttention_0"].astype(np.float32).sum(-1)
        np.testing.assert_allclose(rows, 1, atol=5e-3)


def test_losses_are_the_configs_own(tmp_path, no_maps):
    result = run(short("conv1d_fusion", "modality=audio"), tmp_path)
    last = json.loads((tmp_path / "metrics.jsonl").read_text().splitlines()[-1])
    validation = result["metrics"]["validation"]
    assert validation["loss"] == pytest.approx(last["validation"]["loss"], rel=1e-4)
    assert validation["loss"] < 0.2  # squared errors; cross-entropy of such scores is above 1


def test_an_attention_run_leaves_its_maps(tmp_path):
    config = short("attention", "cbam")
    run(config, tmp_path)
    held = json.loads((tmp_path / "config.json").read_text())
    assert held["model"]["attention"] == "cbam" and held["protocol"] == "paper"
    with np.load(tmp_path / "maps.npz") as maps:
        assert maps["attention:CBAM_0/spatial"].shape == (30, 13, 13)
        assert maps["gradcam:image"].shape == (30, 11, 11)
    drawn = {file.name for file in (tmp_path / "figures").glob("*.png")}
    assert {name.partition("_")[0] for name in drawn} >= {"gradcam", "attention"}
