import io

import numpy as np
import pytest
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from PIL import Image

from fdigits.report import figures
from fdigits.report.style import RIGHT, WRONG, png


def texts(axes) -> list[str]:
    return [text.get_text() for text in axes.texts]


def test_confusion_rows_are_true_classes():
    counts = figures.confusion_counts(np.array([3, 3, 3, 8]), np.array([3, 5, 5, 8]))
    assert counts[3, 5] == 2 and counts[3, 3] == 1 and counts[8, 8] == 1
    assert counts.sum() == 4
    axes = figures.confusion(counts).axes[0]
    placed = {text.get_position(): text.get_text() for text in axes.texts}
    assert placed[(5, 3)] == "2"  # predicted 5 in the row of true 3
    assert (3, 5) not in placed
    recalls = [text for (x, _), text in placed.items() if x > 9.5]
    assert "33.33%" in recalls and "100.00%" in recalls and recalls.count("–") == 8


def test_errors_tell_right_from_wrong_by_colour_and_sign():
    predicted = {"ImageNet_CNN": np.array([1]), "HybridNet_CNN": np.array([7])}
    figure = figures.errors(np.zeros((1, 28, 28), np.uint8), np.array([7]), predicted)
    shown = {text.get_text(): text.get_color() for text in figure.texts}
    assert shown["ImageNet_CNN  1 ✗"] == WRONG
    assert shown["HybridNet_CNN  7 ✓"] == RIGHT
    assert "true 7" in shown


def test_curves_show_both_parts_of_every_run_and_survive_perfect_accuracy():
    rows = [
        {
            "epoch": epoch,
            "train": {"loss": 0.5, "accuracy": 0.9},
            "validation": {"loss": 0.2, "accuracy": 1.0},
        }
        for epoch in (1, 2)
    ]
    figure = figures.curves({"a": rows, "b": rows})
    for axes in figure.axes:
        assert len(axes.lines) == 4
        assert all(np.all(np.asarray(line.get_ydata()) > 0) for line in axes.lines)
    assert figure.axes[1].lines[0].get_ydata()[0] == pytest.approx(0.1)
    colours = {to_rgba(line.get_color()) for line in figure.axes[0].lines}
    assert len(colours) == 2
    assert [text.get_text() for text in figure.legends[0].texts] == ["a", "b"]


def epochs(*figures: dict[str, float]) -> list[dict]:
    return [
        {"epoch": epoch, "train": part, "validation": part | {"only_here": 1.0}}
        for epoch, part in enumerate(figures, 1)
    ]


def test_curves_have_a_panel_for_each_figure_of_both_parts():
    plain = epochs(
        {"loss": 2.0, "elbo": -3.0, "kl_term": 1.0}, {"loss": 1.0, "elbo": -2.0, "kl_term": 0.5}
    )
    other = epochs({"loss": 0.5, "elbo": 4.0})
    histories = {"a": plain, "b": other}
    assert figures.scalars(histories) == ["loss", "elbo", "kl_term"]
    drawn = figures.curves(histories)
    panels = {axes.get_ylabel(): axes for axes in drawn.axes if axes.get_ylabel()}
    assert list(panels) == ["loss", "elbo", "kl term"]
    assert [axes.get_yscale() for axes in panels.values()] == ["log", "linear", "log"]
    assert [len(axes.lines) for axes in panels.values()] == [4, 4, 2]
    assert [text.get_text() for text in drawn.legends[0].texts] == ["a", "b"]
    assert not drawn.axes[3].axison


def test_a_negative_loss_is_drawn_as_it_is():
    axes = figures.curves({"a": epochs({"loss": -1.0}, {"loss": 2.0})}).axes[0]
    assert axes.get_yscale() == "linear" and axes.lines[0].get_ydata().tolist() == [-1.0, 2.0]


def test_a_figure_that_an_epoch_lacks_is_not_drawn():
    history = epochs({"loss": 1.0, "error": 1.0}, {"loss": 1.0})
    assert figures.scalars({"a": history}) == ["loss"]
    with pytest.raises(ValueError, match="no figure"):
        figures.curves({"a": epochs({"loss": 1.0}, {})})


def test_frames_end_where_their_sound_ends():
    generator = np.random.default_rng(0)
    frames = np.zeros((20, 90, 14), np.float32)
    for item, length in enumerate(range(30, 50)):
        frames[item, :length] = generator.normal(5, 2, size=(length, 14))
        frames[item, :length, -1] = 1
    image = figures.frames(frames, np.arange(20) % 10).axes[0].images[0].get_array()
    assert image.shape == (13, 39)  # the longest of the ten drawn
    assert not image.mask[:, :30].any() and image.mask[:, 30:].all()
    assert abs(image[:, :30].mean()) < 0.3


def test_recordings_name_their_axes():
    generator = np.random.default_rng(0)
    audio = generator.normal(size=(20, 39, 13)).astype(np.float16)
    figure = figures.recordings(audio, np.arange(20) % 10)
    assert figure.get_supxlabel() == "frame"
    assert figure.get_supylabel() == "MFCC coefficient"
    assert figure.axes[0].images[0].get_array().shape == (13, 39)


def test_a_png_stays_below_its_limit():
    figure = Figure(figsize=(6, 6))
    figure.subplots().imshow(np.random.default_rng(0).random((300, 300)))
    full = io.BytesIO()
    figure.savefig(full, format="png", dpi=200)
    limit = 150_000
    assert full.tell() > limit
    small = png(figure, limit)
    assert len(small) <= limit
    assert Image.open(io.BytesIO(small)).width >= 480
