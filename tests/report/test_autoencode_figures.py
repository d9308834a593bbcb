import json

import numpy as np
import pytest

from fdigits import report
from fdigits.report import artifacts, autoencode

N, T = 20, 6
LABEL = (np.arange(N) % 10).astype(np.int32)
STATISTICS = {"mean": [2.0] * 13, "std": [4.0] * 13, "length": T}


def files():
    """Recordings of T / 2 frames; each number is a deviation above the training part's mean."""
    frames = np.zeros((N, T, 14), np.float16)
    frames[:, : T // 2] = [6] * 13 + [1]
    again = np.full((N, T, 13), 0.5, np.float32)
    ids = np.array([f"fsdd/{item}" for item in range(N)])
    return {
        "predictions": {"id": ids, "label": LABEL, "reconstruction": again},
        "inputs": {"frames": frames, "frames_row": np.arange(N)},
    }


@pytest.fixture
def coder(tmp_path, write_other):
    """Writes the run of an autoencoder of a bottleneck."""

    def write(bottleneck, loss):
        path = tmp_path / f"coder{bottleneck}"
        write_other(path, "autoencode", {"loss": loss, "n": N}, **files())
        config = json.loads((path / "config.json").read_text())
        config["model"] = {"name": "whole", "bottleneck": bottleneck}
        config["data"]["name"] = "fsdd"
        (path / "config.json").write_text(json.dumps(config))
        result = json.loads((path / "result.json").read_text()) | {"modalities": ["frames"]}
        (path / "result.json").write_text(json.dumps(result))
        (path / "statistics.json").write_text(json.dumps(STATISTICS))
        return path

    return write


def test_inputs_stand_above_reconstructions_in_the_same_units(coder, monkeypatch):
    seen = []
    drawn = autoencode.beside
    monkeypatch.setattr(autoencode, "beside", lambda *given: seen.append(given) or drawn(*given))
    blocks = list(autoencode.blocks({"coder": artifacts.load(coder(8, 0.5))}, apart=False))
    assert [type(block).__name__ for block in blocks] == ["Heading", "Picture"]
    blocks[1].draw()
    given, again, label = seen[0]
    assert given.shape == again.shape == (10, T // 2, 13)
    assert (given == 1).all() and (again == 0.5).all() and label.tolist() == list(range(10))


def test_padding_of_a_shorter_recording_is_drawn_as_the_model_reads_it(coder, monkeypatch):
    path = coder(8, 0.5)
    with np.load(path / "inputs.npz") as held:
        arrays = dict(held)
    arrays["frames"][3, T // 2 :] = [6] * 13 + [1]
    np.savez(path / "inputs.npz", **arrays)
    seen = []
    monkeypatch.setattr(autoencode, "beside", lambda *given: seen.append(given))
    list(autoencode.blocks({"coder": artifacts.load(path)}, apart=False))[1].draw()
    given = seen[0][0]
    assert given.shape[1] == T and (given[3] == 1).all() and not given[4, T // 2 :].any()


def test_each_input_is_above_its_reconstruction():
    given = np.arange(7)[:, None, None] * np.ones((7, 4, 13))
    figure = autoencode.beside(given, -given, np.arange(7))
    images = [axes.get_images()[0] for axes in figure.axes if axes.get_images()]
    shown = [float(image.get_array()[0, 0]) for image in images[:14]]
    assert shown == [0, 1, 2, 3, 4, 0, -1, -2, -3, -4, 5, 6, -5, -6]


def test_errors_and_accuracies_stand_over_the_bottleneck(coder, tmp_path, write_run):
    coders = [coder(8, 0.5), coder(16, 0.25)]
    of_codes = []
    for bottleneck, wrong in ((8, {1, 2}), (16, {1})):
        path = write_run(tmp_path / f"of{bottleneck}", "audio", wrong)
        config = json.loads((path / "config.json").read_text())
        config["data"]["encoded"] = {"code": "auto"}
        stage = {"task": "autoencode", "model": {"name": "whole", "bottleneck": bottleneck}}
        config["stages"] = {"auto": stage}
        (path / "config.json").write_text(json.dumps(config))
        of_codes.append(path)
    report.write([*coders, *of_codes], tmp_path / "out")
    names = {file.stem for file in (tmp_path / "out/figures").iterdir()}
    assert {"loss_by_bottleneck", "accuracy_by_bottleneck"} <= names
    text = (tmp_path / "out/report.md").read_text()
    assert "Error by bottleneck" in text and "dashed what the paper reports" in text


def test_means_of_runs_and_the_papers_figures_are_drawn():
    lines = {"a": {8: [0.5, 0.7], 4: [0.2]}, "b": {4: [0.1], 8: [0.3]}}
    axes = autoencode.against(lines, {4: [0.9], 8: [1.0]}, "accuracy").axes[0]
    drawn = {line.get_label(): line.get_xydata().tolist() for line in axes.lines}
    assert drawn["a"] == [[4, 0.2], [8, pytest.approx(0.6)]]
    assert drawn["b"] == [[4, 0.1], [8, 0.3]] and drawn["reported"] == [[4, 0.9], [8, 1.0]]


def test_one_bottleneck_makes_no_curve(coder, trio):
    runs = {"coder": artifacts.load(coder(8, 0.5)), "audio": artifacts.load(trio[1])}
    assert not list(autoencode.by_bottleneck(runs, "loss", "Error"))
    assert autoencode.bottleneck(runs["coder"]) == 8 and not autoencode.bottleneck(runs["audio"])
