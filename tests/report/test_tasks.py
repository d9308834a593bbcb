"""Runs of other tasks than classifying: whatever one left has a page."""

import io
import json
import re

import numpy as np
import pytest
from rich.console import Console

from fdigits import report
from fdigits.errors import UserError
from fdigits.report import artifacts, build, results, terminal
from fdigits.report.page import Grid, Note, Picture, sound

N = 40
LABEL = (np.arange(N) % 10).astype(np.int32)
FIGURES = {"loss": 0.25, "error": 0.0123456, "n": N}


def predictions(**more: np.ndarray) -> dict[str, np.ndarray]:
    error = np.linspace(0, 1, N, dtype=np.float32)
    ids = np.array([f"test/{item}" for item in range(N)])
    return {"id": ids, "label": LABEL, "error": error} | more


def pictures() -> dict[str, np.ndarray]:
    return {"image": np.random.default_rng(0).integers(256, size=(N, 28, 28), dtype=np.uint8)}


def latents(scale: float = 1) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(0)
    found = generator.normal(size=(10, 8))[LABEL] * 3 + generator.normal(size=(N, 8))
    return {"image": found.astype(np.float32) * scale}


@pytest.fixture
def autoencoder(tmp_path, write_other):
    return write_other(
        tmp_path / "autoencoder", "autoencode", FIGURES,
        predictions=predictions(), inputs=pictures(), embeddings=latents(),
    )  # fmt: skip


def page(runs, out, apart=False) -> str:
    return report.write(runs, out, apart).with_suffix(".md").read_text()


def headings(text: str) -> list[str]:
    return re.findall(r"^## (.*)$", text, flags=re.MULTILINE)


def test_a_run_of_a_task_without_a_page_of_its_own_has_a_page(autoencoder, tmp_path):
    run = artifacts.load(autoencoder)
    assert run.task == "autoencode" and not run.classifies and list(run.outputs) == ["error"]
    text = page([autoencoder], tmp_path / "out")
    assert headings(text) == ["The data", "Learning curves", "Embeddings"]
    assert {path.stem for path in (tmp_path / "out/figures").iterdir()} == {
        "mnist_images", "curves", "map_autoencode_mnist_image",
    }  # fmt: skip
    header, _, row = (line for line in text.splitlines() if line.startswith("|"))
    assert header == "| system | error | n | parameters |"
    assert row == "| autoencode-mnist | 0.01235 | 40 | 1,234 |"
    assert "solid: validation. Axes are logarithmic where" in text
    assert "macro" not in text and "Wilson" not in text


def test_a_run_that_left_no_arrays_has_a_page(tmp_path, write_other):
    run = write_other(tmp_path / "r", "gan", {"loss": 0.25})
    text = page([run], tmp_path / "out")
    assert headings(text) == ["Learning curves"]
    assert "| loss | n |" in text and "| 0.25 | – |" in text


def test_a_run_without_labels_is_drawn_as_far_as_that_goes(tmp_path, write_other):
    arrays = predictions()
    del arrays["label"]
    run = write_other(
        tmp_path / "r", "gan", FIGURES,
        predictions=arrays, inputs=pictures(), embeddings=latents(),
    )  # fmt: skip
    assert artifacts.load(run).label_N is None
    text = page([run], tmp_path / "out")
    assert "image encoder: not drawn, the run left no labels." in text


def test_files_of_no_arrays_and_epochs_of_no_figures_are_no_fault(tmp_path, write_other):
    run = write_other(
        tmp_path / "r", "gan", {"n": 3}, rows=[{"train": {}, "validation": {}}],
        predictions={}, inputs={}, embeddings={},
    )  # fmt: skip
    assert "Learning curves: not drawn, no figure" in page([run], tmp_path / "out")


def test_embeddings_that_have_no_map_leave_a_note(tmp_path, write_other):
    for number, scale in enumerate((0, np.inf, 1e30)):
        run = write_other(
            tmp_path / str(number), "autoencode", FIGURES,
            predictions=predictions(), embeddings=latents(scale),
        )  # fmt: skip
        blocks = list(sound(build.maps({"net": artifacts.load(run)})))
        assert isinstance(blocks[1], Note) and "image encoder: not drawn" in blocks[1].text


@pytest.mark.parametrize("name", ["predictions", "embeddings", "maps"])
def test_what_a_result_names_must_be_there(tmp_path, write_other, name):
    run = write_other(tmp_path / "r", "gan", FIGURES, artifacts=(f"{name}.npz",))
    with pytest.raises(UserError, match=rf"{name}\.npz is missing: run the command again: it is"):
        artifacts.load(run)


@pytest.mark.parametrize(
    ("file", "arrays", "message"),
    [
        ("predictions", predictions(error=np.zeros(3)), "error has shape .3,., expected 40"),
        ("predictions", predictions(label=LABEL + 5), "label outside 0–9"),
        ("embeddings", {"image": np.zeros((3, 8))}, "image has shape"),
        ("inputs", {"image": np.zeros((3, 28, 28))}, "image has shape"),
        ("inputs", {"audio": np.zeros((N, 39, 13))}, "holds no image, which the model reads"),
    ],
)
def test_what_is_there_must_fit_together(tmp_path, write_other, file, arrays, message):
    files = {"predictions": predictions()} | {file: arrays}
    run = write_other(tmp_path / "r", "autoencode", FIGURES, **files)
    with pytest.raises(UserError, match=message) as refused:
        artifacts.load(run)
    assert f"{file}.npz" in str(refused.value) and artifacts.ANEW in str(refused.value)


def test_a_classifier_without_scores_is_refused(tmp_path, write_run):
    run = write_run(tmp_path / "r", "image", {3})
    with np.load(run / "predictions.npz") as file:
        kept = {name: file[name] for name in ("id", "label")}
    np.savez(run / "predictions.npz", **kept)
    with pytest.raises(UserError, match=r"predictions\.npz lacks labels or logits"):
        report.write([run], tmp_path / "out")


def test_runs_of_two_tasks_have_a_table_and_curves_each(autoencoder, tmp_path, trio):
    # Their test items differ, which matters to classifiers alone.
    runs = {path.name: artifacts.load(path) for path in (autoencoder, trio[0])}
    tables = [block for block in results.results(runs, {}) if isinstance(block, Grid)]
    assert ["error" in table.header for table in tables] == [True, False]
    assert ["accuracy %" in table.header for table in tables] == [False, True]
    curves = [block for block in build.learning(runs) if isinstance(block, Picture)]
    assert [picture.name for picture in curves] == ["curves_autoencode", "curves_classify"]
    named = [[axes.get_ylabel() for axes in picture.draw().axes] for picture in curves]
    assert named == [["loss", "error"], ["loss (cross-entropy)", "accuracy"]]
    own = build.own_blocks(runs, apart=False)["classify"]
    assert [block.name for block in own if isinstance(block, Picture)] == ["confusion_image"]


def test_a_paper_may_give_other_figures(tmp_path, write_other):
    paper = {"accuracy": 0.0, "error": 0.021, "source": "R2 Table 1"}
    run = artifacts.load(write_other(tmp_path / "r", "autoencode", FIGURES, paper=paper))
    table = next(block for block in results.results({"a": run}, {}) if isinstance(block, Grid))
    assert table.header[1:] == ["error", "paper error", "n", "parameters", "source"]
    assert table.rows[0][1:] == ["0.01235", "0.021", "40", "1,234", "R2 Table 1"]
    assert list(table.numbers) == [1, 2, 3, 4]


def test_the_terminal_has_a_table_per_task(autoencoder, trio):
    read = [json.loads((path / "result.json").read_text()) for path in (trio[0], autoencoder)]
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(report.table(read))
    text = console.export_text()
    assert "test results: classify" in text and "test results: autoencode" in text
    assert "91.67" in text and "0.01235" in text and "autoencode-mnist" in text
    assert text.count("accuracy %") == 1 and "loss" not in text


def test_the_loss_is_shown_where_a_result_has_nothing_else():
    alone, more = ({"metrics": {"test": test}} for test in ({"loss": 1.0, "n": 3}, FIGURES))
    assert terminal.measured([alone]) == ["loss"]
    assert terminal.measured([more]) == ["error"]
    assert set(terminal.measured([alone, more])) == {"loss", "error"}
