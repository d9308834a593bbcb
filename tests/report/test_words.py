import io
import json

import numpy as np
import pytest

from fdigits import report
from fdigits.errors import UserError
from fdigits.report import artifacts, build, comparison, figures, results, terminal, words
from fdigits.report.page import Grid

OFFICIAL_TEST_VALIDATES = {"protocol": "official, test part validates"}


def paper(**figures) -> dict:
    return {"paper": {"accuracy": 0.0, "macro_f1": 0.0} | figures}


@pytest.fixture
def load(tmp_path, write_run):
    return lambda *given, **changed: artifacts.load(write_run(tmp_path / "r", *given, **changed))


@pytest.mark.parametrize(
    ("model", "reads", "kind"),
    [
        ("image", ("image",), "image"),
        ("audio", ("audio",), "audio"),
        ("hybrid", ("image", "audio"), "both"),
    ],
)
def test_runs_that_name_no_modalities_are_known_by_their_model(load, model, reads, kind):
    run = load(model, set())
    assert "modalities" not in run.result
    assert run.modalities == reads and run.kind == kind and tuple(run.seen()) == reads


def test_a_spectrogram_run_holds_spectrograms_alone(load):
    run = load(
        "spectrogram", set(), data="fsdd", paired_ids=False,
        result_says={"modalities": ["spectrogram"]},
    )  # fmt: skip
    assert run.kind == "spectrogram" and list(run.held) == ["spectrogram"]
    assert len(np.unique(run.seen()["spectrogram"])) == 60


def test_an_input_that_the_model_reads_must_be_there(load):
    with pytest.raises(UserError, match="holds no spectrogram, which the model reads"):
        load("image", set(), result_says={"modalities": ["spectrogram"]})


def test_a_venn_diagram_of_many_takes_one_of_each_kind(tmp_path, write_run):
    kinds = ("image", "image", "audio", "fusion")
    both = {"modalities": ["image", "audio"]}
    runs = {}
    for number, kind in enumerate(kinds):
        path = write_run(
            tmp_path / str(number), kind, {3}, result_says=both if kind == "fusion" else None
        )
        runs[f"{kind}{number}"] = artifacts.load(path)
    assert list(comparison.trio(runs)) == ["image0", "audio2", "fusion3"]


def test_the_test_part_validating_is_said_at_length_and_in_short(load):
    run = load("image", set(), data="digits", split="official", result_says=OFFICIAL_TEST_VALIDATES)
    said = "as in the paper, the test part also validates and the last weights are tested"
    assert said in words.setting(run)
    assert any("test part also serves as validation part" in note for note in words.notes(run))
    assert words.short_protocol(run) == "official †"
    text = " ".join(
        block.text for block in results.results({"net": run}, {}) if hasattr(block, "text")
    )
    assert "which also validates" in text and "looked at once" not in text


def test_a_run_with_a_validation_part_says_no_such_thing(load):
    run = load("image", set())
    assert "validates" not in words.setting(run) and "†" not in words.short_protocol(run)


@pytest.mark.parametrize(
    ("ratio", "protocol", "source", "said"),
    [
        (None, "paper", "R0 Table 7", "a random 14:3:3 split (the paper's) shares"),
        ([14, 3, 3], "paper", "R0 Table 7", "a random 14:3:3 split (the paper's) shares"),
        ([8, 1, 1], "paper", "R4 Table 13", "a random 8:1:1 split (the paper's) shares"),
        ([14, 3, 3], "paper", "R4 Problem 1", "a random 14:3:3 split (the paper's) shares"),
        ([7, 1, 2], "paper", "R1 Table 1", "a random 7:1:2 split shares"),
        ([7, 1, 2], "paper, test part validates", "R1 Table 1", "8:2 split (the paper's) shares"),
    ],
)
def test_a_random_split_names_its_ratio(load, ratio, protocol, source, said):
    run = load(
        "audio", set(), data="fsdd", data_says={"ratio": ratio} if ratio else {},
        result_says={"protocol": protocol} | paper(accuracy=0.9, source=source),
    )  # fmt: skip
    assert said in words.setting(run)


@pytest.mark.parametrize(
    ("source", "data", "original"),
    [
        ("R1 Table 1", "bundled", "written_spoken"),
        ("R3 Results", "written_spoken", ""),
        ("R4 Problem 1", "espeak", "fsdd"),
        ("R4 Table 3", "digits", "reduced_mnist"),
        ("R4 Table 10", "reduced_mnist", ""),
        ("R4 Table 13", "espeak", "fsdd"),
        ("R4 Table 13", "fsdd", ""),
    ],
)
def test_stand_ins_are_known_for_each_report(load, source, data, original):
    run = load("image", set(), data=data, result_says=paper(accuracy=0.9, source=source))
    assert words.stands_in_for(run) == original
    assert ("standing in for" in words.setting(run)) == bool(original)


def test_smooth_spectrograms_are_said_to_be_so(load):
    run = load(
        "spectrogram", set(), data="espeak", split="official", paired_ids=False,
        result_says={"modalities": ["spectrogram"]},
    )  # fmt: skip
    assert "smooth spectrograms drawn from its MFCC" in words.setting(run)
    assert any("smooth ones, drawn from its MFCC" in note for note in words.notes(run))


def test_how_many_pictures_were_trained_on_is_said(load):
    run = load("image", set(), data="digits", data_says={"per_class": 300})
    run.config["augment"] = {"strength": 0.3, "generated": 1000}
    assert "at most 300 training pictures of each class and 1,000 augmented" in words.setting(run)
    run.config["data"]["generated"] = {"gan": 2000, "flow": 0}
    told = "pictures of each class, 1,000 augmented ones and 2,000 that the stage gan drew; seed"
    assert told in words.setting(run)
    run.config["augment"], run.config["data"]["per_class"] = {}, 0
    told = "; all training pictures of each class and 2,000 that the stage gan drew"
    assert words.training(run) == told


def test_what_a_paper_gives_is_shown_be_it_accuracy_or_f1(load):
    run = load("fusion", set(), result_says={"modalities": ["image", "audio"]}
               | paper(macro_f1=0.992, source="R1 Table 1"))  # fmt: skip
    assert words.paper(run) == {"macro_f1": 0.992, "source": "R1 Table 1"}
    grid = next(block for block in results.results({"net": run}, {}) if isinstance(block, Grid))
    assert grid.header[3:5] == ["macro-F1", "paper F1"] and grid.rows[0][4] == "0.992"
    assert terminal.paper_figure(run.result["paper"]) == "F1 0.992"
    assert terminal.paper_figure({"accuracy": 0.9922, "macro_f1": 0.0}) == "99.22"
    assert terminal.paper_figure({}) == "–"


def test_the_terminal_table_fits_120_columns(trio):
    from rich.console import Console

    result = json.loads((trio[2] / "result.json").read_text()) | OFFICIAL_TEST_VALIDATES
    result |= {"dataset": "reduced_mnist"} | paper(macro_f1=0.992)
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(report.table([result]))
    lines = console.export_text().splitlines()
    row = next(line for line in lines if "HybridNet_CNN" in line)
    assert "official †" in row and "700,554" in row and "F1 0.992" in row
    assert lines[-1].strip() == terminal.DAGGER


def test_the_loss_is_named(load):
    run = load("image", set())
    run.config["loss"] = "mse"
    _, curves = build.learning({"a": run})
    assert curves.draw().axes[0].get_ylabel() == "loss (squared error)"


def test_the_grid_of_augmentations_names_each(tmp_path, write_run):
    shown = {
        "name": np.array(["original", "white_noise", "combined"]),
        "image": np.zeros((3, 28, 28), np.uint8),
    }
    figure = figures.augmentations(shown["name"].tolist(), shown["image"])
    assert [axes.get_title() for axes in figure.axes] == ["original", "white noise", "combined"]
    run = write_run(tmp_path / "r", "image", set(), augmentations=shown)
    names = [getattr(block, "name", "") for block in build.samples({"a": artifacts.load(run)})]
    assert "mnist_fsdd_augmentations" in names
    broken = write_run(
        tmp_path / "broken", "image", set(), augmentations=shown | {"name": shown["name"][:2]}
    )
    with pytest.raises(UserError, match=r"augmentations\.npz: image has shape"):
        artifacts.load(broken)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ("bundled", "scikit-learn digits × eSpeak NG (synthetic speech); official split, voices"),
        ("mnist", "MNIST; a random 14:3:3 split; seed 0"),
        ("gsc_digits", "Speech Commands digits; a random 14:3:3 split shares speakers"),
        ("of_later_code", "of_later_code; a random 14:3:3 split; seed 0"),
    ],
)
def test_a_run_that_names_no_split_has_its_data_sets_own(load, data, said):
    run = load("image", set(), data=data, split="", result_says=paper(source=""))
    assert said in words.setting(run)


def test_a_recording_counts_once_though_the_run_left_no_frames(load):
    run = load("hybrid", set(), result_says={"modalities": ["image", "frames"]})
    del run.inputs["audio"]
    assert list(run.held) == ["image"] and list(run.seen()) == ["image", "frames"]
    assert len(np.unique(run.seen()["frames"])) == 30


def test_a_run_may_leave_no_picture_of_frames(tmp_path, write_run):
    path = write_run(tmp_path / "r", "image", set(), result_says={"modalities": ["frames"]})
    assert artifacts.load(path).kind == "frames"


def test_a_model_that_reads_codes_sees_all_they_are_made_of(load):
    run = load("hybrid", set(), result_says={"modalities": ["image_code", "audio_code"]})
    assert set(run.seen()) == {"image", "audio"}
