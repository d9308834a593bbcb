import numpy as np
import pytest

from fdigits import report
from fdigits.errors import UserError
from fdigits.report import artifacts, fusion

CORRUPTION = {
    "level": np.array([0, 1, 4]),
    "weights": np.array([[[0.9, 0.5]] * 3, [[0.9, 0.5], [0.9, 0.3], [0.9, 0.1]]], np.float32),
    "accuracy": np.array([[1, 0.5, 0.1], [1, 0.9, 0.8]], np.float32),
}
READS_BOTH = {"modalities": ["image", "audio"]}


def with_weights(run):
    with np.load(run / "predictions.npz") as file:
        arrays = dict(file)
    weights = np.random.default_rng(0).random((60, 2)).astype(np.float32)
    np.savez(run / "predictions.npz", **arrays, weights=weights)
    return run


def test_each_panel_follows_the_noise_on_its_modality():
    figure = fusion.against_noise(*CORRUPTION.values(), ("image", "audio"))
    image, audio = figure.axes
    assert image.get_title() == "noise on image" and audio.get_title() == "noise on audio"
    lines = {line.get_label(): line.get_ydata().tolist() for line in audio.lines}
    assert lines["mean weight of audio"] == pytest.approx([0.5, 0.3, 0.1])
    assert lines["mean weight of image"] == pytest.approx([0.9, 0.9, 0.9])
    assert lines["accuracy"] == pytest.approx([1, 0.9, 0.8])
    assert [label.get_text() for label in audio.get_xticklabels()] == ["0", "1", "4"]


def test_the_histogram_counts_every_item_once_and_survives_equal_weights():
    figure = fusion.histogram(np.full((60, 2), 0.5, np.float32), ("image", "audio"))
    assert [text.get_text() for text in figure.legends[0].texts] == [
        "image, mean 0.500", "audio, mean 0.500",
    ]  # fmt: skip


def test_a_fusion_with_weights_has_both_figures_and_its_pairs_are_known(tmp_path, write_run):
    path = write_run(tmp_path / "r", "fusion", {3}, result_says=READS_BOTH, corruption=CORRUPTION)
    run = artifacts.load(with_weights(path))
    assert run.kind == "both" and set(run.seen()) == {"image", "audio"}
    report.write([path], tmp_path / "out")
    names = {file.stem for file in (tmp_path / "out/figures").iterdir()}
    assert {"weights_r1_weighted", "corruption_r1_weighted"} <= names
    assert "Weights of the fusion" in (tmp_path / "out/report.md").read_text()


def test_other_runs_have_no_such_heading(trio):
    assert not list(fusion.weights({"image": artifacts.load(trio[0])}))


@pytest.mark.parametrize(
    "change",
    [
        {"weights": CORRUPTION["weights"][:1]},
        {"accuracy": CORRUPTION["accuracy"][:, :2]},
        {"level": np.zeros((3, 1))},
    ],
)
def test_corruption_that_cannot_be_is_refused(tmp_path, write_run, change):
    run = write_run(
        tmp_path / "r", "fusion", {3}, result_says=READS_BOTH, corruption=CORRUPTION | change
    )
    with pytest.raises(UserError, match=r"corruption\.npz: \w+ has shape"):
        artifacts.load(run)
