import re

import numpy as np
import pytest
from matplotlib.figure import Figure

from fdigits import report
from fdigits.errors import UserError
from fdigits.report import artifacts, attention
from fdigits.report.page import Note, Picture

ROWS = np.arange(30)  # three of each digit, as labels go 0, 1, …, 9, 0, …
IMAGE_MAPS = {
    "row": ROWS,
    "gradcam:image": np.random.default_rng(0).random((30, 11, 11)).astype(np.float16),
    "attention:CBAM_0/channel": np.full((30, 32), 0.5, np.float16),
    "attention:CBAM_0/spatial": np.random.default_rng(1).random((30, 13, 13)).astype(np.float16),
}


def test_a_map_is_drawn_where_it_lies_on_its_input():
    extents = {}
    for modality, size, cells in (
        ("image", (28, 28), (13, 13)),
        ("audio", (39, 13), (19, 6)),
        ("spectrogram", (128, 128), (58, 58)),
    ):
        drawn = attention.place(Figure().subplots(), np.zeros(cells), size, modality)
        extents[modality] = tuple(drawn.get_extent())
    assert extents["image"] == (1, 27, 27, 1)
    assert extents["audio"] == (0, 38, 0, 12)  # frames to the right, coefficients upwards
    left, right, bottom, top = extents["spectrogram"]
    assert (left, right) == (6 / 128, 122 / 128)
    highest = attention.SECOND[3]
    assert (bottom / highest, top / highest) == pytest.approx((6 / 128, 122 / 128))


def test_the_first_row_of_a_map_is_on_the_first_row_of_its_picture():
    axes = Figure().subplots()
    drawn = attention.place(axes, np.zeros((14, 14)), (28, 28), "image")
    low, high = axes.get_ylim()
    assert low > high and drawn.origin == "upper"


def test_what_is_received_is_the_mean_over_heads_and_attending_places():
    attention_1x2x4x4 = np.full((1, 2, 4, 4), 0.25)
    attention_1x2x4x4[0, 0] = [[1, 0, 0, 0]] * 4  # all places of one head attend to the first
    received = attention.received(attention_1x2x4x4)
    np.testing.assert_allclose(received, [[[2.5, 0.5], [0.5, 0.5]]])  # (1 + 1/4) / 2 · 4
    assert received.mean() == pytest.approx(1)


def test_channels_are_means_by_digit():
    weights = np.array([[0.0, 1.0], [0.5, 1.0], [0.2, 0.2]])
    axes = attention.channels(weights, np.array([7, 7, 3])).axes[0]
    np.testing.assert_allclose(axes.images[0].get_array(), [[0.2, 0.2], [0.25, 1.0]])
    assert [label.get_text() for label in axes.get_yticklabels()] == ["3", "7"]


def test_every_map_becomes_a_figure_of_each_digit(tmp_path, write_run):
    run = artifacts.load(write_run(tmp_path / "r", "image", {3}, maps=IMAGE_MAPS))
    pictures = [block for block in attention.looks({"net": run}) if isinstance(block, Picture)]
    assert [picture.name for picture in pictures] == [
        "gradcam_net_image", "attention_net_cbam_0_channel", "attention_net_cbam_0_spatial",
    ]  # fmt: skip
    for picture in pictures:
        assert len(picture.png) <= 200_000
        assert "Beware" in picture.caption and "MNIST × FSDD" in picture.caption


def test_titles_tell_true_from_predicted():
    rows = np.arange(10)
    figure = attention.over_inputs(
        np.zeros((10, 28, 28), np.uint8), np.zeros((10, 11, 11)), "image", rows,
        np.where(rows == 3, 5, rows), (0, 1), "Grad-CAM",
    )  # fmt: skip
    titles = {axes.get_title(): axes.title.get_color() for axes in figure.axes if axes.get_title()}
    assert len(titles) == 10
    assert titles["3 → 5"] == attention.WRONG and titles["4 → 4"] == attention.INK


@pytest.mark.slow
def test_maps_over_recordings_and_spectrograms_are_drawn(tmp_path, write_run):
    line = {"row": ROWS, "gradcam:audio": np.ones((30, 1, 126), np.float16)}
    heard = write_run(tmp_path / "heard", "audio", {3}, maps=line)
    square = {
        "row": ROWS,
        "gradcam:spectrogram": np.ones((30, 58, 58), np.float16),
        "attention:SelfAttention_0": np.full((30, 4, 25, 25), 1 / 25, np.float16),
    }
    seen = write_run(
        tmp_path / "seen", "spectrogram", {3}, data="fsdd", paired_ids=False, maps=square
    )
    report.write([heard], tmp_path / "a")
    report.write([seen], tmp_path / "b")
    assert (tmp_path / "a/figures/gradcam_audionet_cnn_audio.png").exists()
    names = {path.name for path in (tmp_path / "b/figures").iterdir()}
    assert {
        "fsdd_spectrograms.png",
        "gradcam_r4_p4b_cbam_spectrogram.png",
        "attention_r4_p4b_cbam_selfattention_0.png",
    } <= names


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"gradcam:image": np.zeros((29, 11, 11))}, "gradcam:image has shape .29, 11, 11., exp"),
        ({"gradcam:image": np.zeros((30, 11))}, "gradcam:image has shape"),
        ({"gradcam:image": np.zeros((30, 40, 11))}, "larger than the input, 28 × 28"),
        ({"gradcam:spectrogram": np.zeros((30, 5, 5))}, "of no input in inputs.npz"),
        ({"attention:x": np.zeros((30, 4, 24, 25))}, "attention:x has shape"),
        ({"attention:x": np.zeros((30, 4, 24, 24))}, "24 places are no square map"),
        ({"row": np.arange(31, 61)}, "row does not name test items"),
        ({"row": np.array(3)}, "row has shape"),
        ({"gradcam:image": np.array(0.5)}, "gradcam:image has shape"),
        ({"gradcam:image": np.zeros((30, 0, 0))}, "gradcam:image is empty"),
        ({"row": np.zeros(30)}, "row does not name test items"),
    ],
)
def test_maps_that_cannot_be_are_one_clear_line(tmp_path, write_run, change, message):
    run = write_run(tmp_path / "r", "image", {3}, maps=IMAGE_MAPS | change)
    with pytest.raises(UserError, match=message) as refused:
        artifacts.load(run)
    line = str(refused.value)
    assert "\n" not in line and "maps.npz" in line and str(run) in line


def test_a_map_without_a_picture_of_its_input_is_a_note(tmp_path, write_run):
    path = write_run(
        tmp_path / "r", "image", {3}, maps=IMAGE_MAPS, result_says={"modalities": ["latent"]}
    )
    np.savez(path / "inputs.npz")
    blocks = list(attention.looks({"net": artifacts.load(path)}))
    notes = [block.text for block in blocks if isinstance(block, Note)]
    assert [note.split(" is not drawn")[0] for note in notes] == [
        "net: gradcam:image", "net: attention:CBAM_0/spatial",
    ]  # fmt: skip
    assert [block.name for block in blocks if isinstance(block, Picture)] == [
        "attention_net_cbam_0_channel"
    ]


def test_maps_cut_in_half_are_refused(tmp_path, write_run):
    run = write_run(tmp_path / "r", "image", {3}, maps=IMAGE_MAPS)
    content = (run / "maps.npz").read_bytes()
    (run / "maps.npz").write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match=re.escape(str(run / "maps.npz"))):
        artifacts.load(run)
