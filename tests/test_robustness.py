"""Corruptions do what they say, and nothing at their first level; figures are those of the run."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fdigits import corruptions, robustness, tasks
from fdigits.corruptions import SWEEPS
from fdigits.data.corpus import MODALITIES
from fdigits.errors import UserError
from fdigits.robustness import Items, System
from fdigits.run import run
from tests.test_systems import short


def items_of(modality, n=6):
    kind, rng = MODALITIES[modality], np.random.default_rng(0)
    shape = (n, *(size or 9 for size in kind.shape))
    if kind.dtype == "float32":
        x = rng.normal(size=shape).astype(np.float32)
        if modality == "frames":
            x[..., -1] = np.arange(9) < 5
        return x
    limits = np.iinfo(kind.dtype)
    return rng.integers(limits.min, limits.max, shape, kind.dtype, endpoint=True)


@pytest.mark.parametrize("sweep", SWEEPS, ids=lambda sweep: f"{sweep.modality}_{sweep.kind}")
def test_the_first_level_changes_nothing_and_the_last_much(sweep):
    x = items_of(sweep.modality)
    std = corruptions.deviations(sweep.modality, x)
    first, last = (corruptions.corrupted(sweep, x, sweep.levels[at], std) for at in (0, -1))
    np.testing.assert_array_equal(first, x)
    assert first.dtype == last.dtype == x.dtype and last.shape == x.shape
    assert (last != x).reshape(len(x), -1).any(1).all()
    np.testing.assert_allclose(np.diff(sweep.places), np.diff(sweep.places)[0])
    if sweep.modality == "frames":  # padding and its mask stay
        np.testing.assert_array_equal(last[:, 5:], x[:, 5:])
        np.testing.assert_array_equal(last[..., -1], x[..., -1])


@given(st.floats(0, 1), st.lists(st.floats(0.1, 9), min_size=1, max_size=9))
def test_the_area_of_a_flat_curve_is_its_height(height, steps):
    place = np.cumsum([0, *steps])
    assert abs(robustness.area(place, [height] * len(place)) - height) <= 5.1e-5


def test_the_area_of_a_fall_is_its_mean():
    assert robustness.area(np.array([-25.0, -20, -10]), [1, 1, 0]) == pytest.approx(2 / 3, abs=1e-4)


def test_noise_is_as_loud_as_it_says():
    grey = np.full((50, 28, 28), 128, np.uint8)
    assert corruptions.noisy(grey, 0.1).astype(float).std() == pytest.approx(25.5, rel=0.02)
    silence = np.zeros((5, 10_000), np.int16)
    loud = corruptions.noisy(silence, -20.0).astype(float)
    assert loud.std() == pytest.approx(0.1 * corruptions.WORD_LEVEL, rel=0.02)
    flat = np.zeros((500, 39, 2), np.float32)
    spread = corruptions.noisy(flat, 2.0, np.array([1.0, 3.0])).std((0, 1))
    np.testing.assert_allclose(spread, [2, 6], rtol=0.02)


def test_occlusion_is_one_square_inside():
    white = corruptions.occluded(np.full((40, 28, 28), 255, np.uint8), 12)
    assert ((white == 0).sum((1, 2)) == 144).all()
    for axis in (1, 2):
        assert ((white == 0).any(axis).sum(1) == 12).all()
    assert len({one.tobytes() for one in white}) > 30


def test_blur_keeps_the_ink_of_what_lies_in_the_middle():
    dot = np.zeros((1, 28, 28), np.uint8)
    dot[0, 10:18, 10:18] = 200
    soft = corruptions.blurred(dot, 2.0)
    assert soft.max() < 200 and soft.sum() == pytest.approx(dot.sum(), rel=0.02)


def test_a_quarter_of_the_energy_stays():
    """Of pictures of four directions with variances 4, 3, 2, 1, none: the first has 40 %."""
    rng = np.random.default_rng(0)
    axes = np.linalg.qr(rng.normal(size=(784, 20)))[0].T
    flat = 128 + (rng.normal(size=(400, 20)) * 60) @ axes
    x = np.round(flat).reshape(-1, 28, 28).astype(np.uint8)
    kept = corruptions.without_energy(x, x).astype(float)
    share = kept.var(0).sum() / x.astype(float).var(0).sum()
    assert 0.2 < share <= 0.26  # four of twenty directions, and rounding


def stub(optional):
    """A system that tells what it is given, of ten items."""
    seen = []

    def predict(inputs):
        seen.append(inputs)
        return np.arange(10)

    return System("stub", ("image", "audio"), optional, predict), seen


@pytest.mark.parametrize("optional", [True, False])
def test_a_missing_modality_is_left_out_or_the_training_mean(optional):
    x = {name: items_of(name, 10) for name in ("image", "audio")}
    training = {name: items_of(name, 30) for name in x}
    system, seen = stub(optional)
    found = robustness.missing(system, Items("", np.array([]), np.arange(10), x, training))
    assert found == {"image": 1.0, "audio": 1.0}
    for lost, given_ in zip(x, seen, strict=True):
        (other,) = x.keys() - {lost}
        np.testing.assert_array_equal(given_[other], x[other])
        assert (lost in given_) != optional
        if not optional:
            assert given_[lost].dtype == x[lost].dtype
            np.testing.assert_allclose(given_[lost][3], training[lost].mean(0), atol=0.51)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A small run of two modalities, and what the command says of it."""
    folder = tmp_path_factory.mktemp("robustness")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fdigits.report.write", lambda runs, out: out)
        patch.setattr("fdigits.explain.make", lambda *args: {})
        config = short("hybrid", model__filters=(2, 4), model__width=8)
        result = run(config, folder / "run")
    out = folder / "out"
    robustness.main([str(folder / "run"), "--out", str(out), "--json", str(out / "found.json")])
    return result, out, json.loads((out / "found.json").read_text())


@pytest.mark.slow
def test_without_corruption_it_is_the_runs_own_test_figure(finished):
    result, _, (found,) = finished
    clean = round(result["metrics"]["test"]["accuracy"], 4)
    assert found["items"] == result["metrics"]["test"]["n"] <= robustness.ITEMS
    assert found["clean"] == clean
    assert [c["accuracy"][0] for c in found["curves"]] == [clean] * 5
    told = [(c["modality"], c["kind"]) for c in found["curves"]]
    assert told[:3] == [("image", kind) for kind in ("noise", "blur", "occlusion")]
    assert told[3:] == [("audio", "noise"), ("image+audio", "noise")]
    assert found["missing"].keys() == {"image", "audio"} and found["replaced"]
    for held in found["curves"]:
        assert 0 <= min(held["accuracy"]) <= held["area"] <= max(held["accuracy"]) <= 1


def test_each_level_of_a_curve_is_tried_and_the_other_modality_stays():
    x = {name: items_of(name, 10) for name in ("image", "audio")}
    system, seen = stub(optional=False)
    items = Items("", np.array([]), np.arange(10), x, x)
    curves, given = list(robustness.curves(system, items)), iter(seen)
    for curve in curves:
        each = {
            name: next(s for s in corruptions.sweeps(name) if s.kind == curve["kind"])
            for name in curve["modality"].split("+")
        }
        for place in range(len(curve["level"])):
            inputs = next(given)
            for name, wanted in x.items():
                if name in each:
                    std = corruptions.deviations(name, wanted)
                    level = each[name].levels[place]
                    wanted = corruptions.corrupted(each[name], wanted, level, std)
                np.testing.assert_array_equal(inputs[name], wanted)
    robustness.av_mnist(system, items)
    faint = corruptions.without_energy(x["image"], x["image"])
    np.testing.assert_array_equal(seen[-1]["image"], faint)
    assert (seen[-1]["audio"] != x["audio"]).any()


@pytest.mark.slow
def test_the_page_has_the_table_and_the_figure(finished):
    _, out, (found,) = finished
    assert (out / "figures" / "robustness.png").stat().st_size > 5_000
    page = (out / "report.md").read_text()
    line = next(line for line in page.splitlines() if found["system"] in line)
    assert f"{100 * found['curves'][1]['area']:.2f}" in line
    assert "training mean in its place" in page and "AV-MNIST" in page


def test_experts_are_tried_with_each_modality_alone():
    config = short("strangers", "both")
    model = robustness.Trained(config, tasks.make(config), {}, {}, None, None)
    found = robustness.systems(model, "both")
    assert [one.modalities for one in found] == [("image", "word"), ("image",), ("word",)]
    assert len({one.name for one in found}) == 3 and all(one.optional for one in found)


def test_runs_are_named_as_briefly_as_tells_them_apart():
    configs = [short("hybrid"), short("image", "mnist"), short("image"), short("image", "mnist")]
    runs = [robustness.Trained(one, None, {}, {}, None, None) for one in configs]
    told = ["hybrid_cnn", "image_cnn-mnist #1", "image_cnn-bundled", "image_cnn-mnist #2"]
    assert robustness.names(runs) == told


def test_a_pair_set_pairs_by_digit_and_the_same_way_each_time():
    both = robustness.official_items("bundled", ("image", "audio"), "none", "none")
    alone = robustness.official_items("bundled", ("audio",), "none", "none")
    np.testing.assert_array_equal(both.id, alone.id)
    assert all(len(x) == len(both.label) for x in both.x.values()) and alone.x.keys() == {"audio"}


def test_a_set_without_a_test_part_is_one_line(monkeypatch, corpora):
    monkeypatch.setattr(robustness.prepare, "load", lambda *args: {"audio": corpora["audio"]})
    with pytest.raises(UserError, match="fsdd has no test part beside a training part"):
        robustness.official_items("fsdd", ("audio",), "none", "none")


def test_wrong_words_are_one_line(tmp_path, capsys):
    (tmp_path / "file").touch()
    for arguments, out, wanted in (
        ([str(tmp_path / "none")], "out", "no finished run"),
        (["--data", "no_such_set"], "out", "no_such_set"),
        ([], "file", "cannot write into"),
    ):
        with pytest.raises(SystemExit):
            robustness.main([*arguments, "--out", str(tmp_path / out)])
        err = capsys.readouterr().err
        assert wanted in err and len(err.splitlines()) == 1
