import io
import json
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
from rich.console import Console

from fdigits import report
from fdigits.errors import UserError
from fdigits.report import artifacts, comparison, results, words
from fdigits.report.__main__ import main
from fdigits.report.page import Grid


def test_the_html_needs_nothing_outside_itself(written):
    text = (written / "report.html").read_text()
    assert "http" not in text and "<link" not in text and "<script src" not in text
    assert "url(" not in text and "@import" not in text
    sources = re.findall(r'src="([^"]{0,30})', text)
    assert len(sources) == len(list((written / "figures").iterdir()))
    assert all(source.startswith("data:image/png;base64,") for source in sources)


def test_the_links_of_the_markdown_resolve(written):
    links = re.findall(r"\]\(([^)]+)\)", (written / "report.md").read_text())
    assert len(set(links)) == len(links) == len(list((written / "figures").iterdir()))
    for link in links:
        assert (written / link).read_bytes().startswith(b"\x89PNG")
        assert (written / link).stat().st_size <= 200_000


def test_every_figure_is_there(written):
    names = {path.stem for path in (written / "figures").iterdir()}
    assert names == {
        "mnist_fsdd_images", "mnist_fsdd_recordings", "curves", "reported", "venn", "errors",
        "confusion_imagenet_cnn", "confusion_audionet_cnn", "confusion_hybridnet_cnn",
        "map_imagenet_cnn_image", "map_audionet_cnn_audio",
        "map_hybridnet_cnn_image", "map_hybridnet_cnn_audio",
    }  # fmt: skip


def test_captions_name_data_protocol_and_seed(written):
    text = (written / "report.md").read_text()
    captions = re.findall(r"^\*\*.*$", text, flags=re.MULTILINE)
    for caption in captions:
        told = "MNIST × FSDD, split paper, seed 0." in caption
        assert told != caption.startswith("**Measured and reported.**")
    assert text.count("MNIST × FSDD, standing in for Written and Spoken Digits; a random") == 1
    assert "All 30 different test recordings" in text  # of 60 pairs


def test_the_table_shows_reported_beside_measured(written):
    text = (written / "report.md").read_text()
    row = next(line for line in text.splitlines() if line.startswith("| HybridNet_CNN | 96"))
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[1] == "96.67" and cells[3] == "99.74" and cells[-1] == "R0 Table 7"
    pair = next(line for line in text.splitlines() if line.startswith("| ImageNet_CNN | Audio"))
    assert [cell.strip() for cell in pair.strip("|").split("|")][2:5] == ["1", "3", "0.6250"]


def test_no_half_written_file_is_left(written):
    assert not [path for path in written.rglob(".*")]


def run_copy(trio, tmp_path):
    return shutil.copytree(trio[2], tmp_path / "run")


@pytest.mark.parametrize("name", ["config.json", "result.json", "metrics.jsonl"])
def test_a_missing_file_is_one_clear_line_and_status_2(trio, tmp_path, capsys, name):
    run = run_copy(trio, tmp_path)
    (run / name).unlink()
    with pytest.raises(SystemExit) as left:
        main([str(run), "--out", str(tmp_path / "out")])
    line = capsys.readouterr().err.strip()
    assert left.value.code == 2
    assert line.startswith("error: ") and "\n" not in line
    assert name in line and str(run) in line
    assert not (tmp_path / "out").exists()


ARRAYS = ["predictions.npz", "inputs.npz", "embeddings.npz"]


@pytest.mark.parametrize("name", ARRAYS)
def test_missing_arrays_are_one_clear_line_that_says_how_to_make_them_anew(trio, tmp_path, name):
    run = run_copy(trio, tmp_path)
    (run / name).unlink()
    with pytest.raises(UserError) as refused:
        report.write([run], tmp_path / "out")
    line = str(refused.value)
    assert line.startswith(f"{run / name} is missing: run the command again") and "\n" not in line
    assert line.endswith("it is made anew from the checkpoint")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["result.json", "metrics.jsonl", *ARRAYS])
def test_a_file_cut_in_half_is_refused(trio, tmp_path, name):
    run = run_copy(trio, tmp_path)
    content = (run / name).read_bytes()
    (run / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match=re.escape(str(run / name))) as refused:
        artifacts.load(run)
    anew = "delete it and run the command again: it is made anew from the checkpoint"
    assert (anew if name in ARRAYS else artifacts.AGAIN) in str(refused.value)


def test_old_words_still_draw(trio, tmp_path):
    run = run_copy(trio, tmp_path)
    config = json.loads((run / "config.json").read_text())
    config["protocol"], config["data"]["split"] = "report", "report"
    (run / "config.json").write_text(json.dumps(config))
    result = json.loads((run / "result.json").read_text())
    result["reported"], result["protocol"] = result.pop("paper"), "report, test part validates"
    (run / "result.json").write_text(json.dumps(result))
    read = artifacts.load(run)
    assert read.task == "classify" and words.short_protocol(read) == "paper †"
    report.write([run], tmp_path / "out")
    text = (tmp_path / "out/report.md").read_text()
    assert "marked †" not in text and "†: as in the paper" in text and "| 99.74 |" in text
    console = Console(width=150, record=True, file=io.StringIO())
    console.print(report.table([result]))
    shown = console.export_text()
    assert "paper †" in shown and "99.74" in shown


def test_a_run_that_is_none_is_refused(tmp_path):
    with pytest.raises(UserError, match="no run at"):
        artifacts.load(tmp_path / "absent")


def test_predictions_of_another_result_are_refused(trio, tmp_path):
    run = run_copy(trio, tmp_path)
    result = json.loads((run / "result.json").read_text())
    result["metrics"]["test"]["accuracy"] = 0.5
    (run / "result.json").write_text(json.dumps(result))
    with pytest.raises(UserError, match=r"accuracy 0\.9667, result\.json says 0\.5000"):
        artifacts.load(run)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a | {"label": a["label"][:-1]}, "label has shape"),
        (lambda a: a | {"label": a["label"] + 5}, "label outside 0–9"),
    ],
)
def test_predictions_that_cannot_be_are_refused(trio, tmp_path, change, message):
    run = run_copy(trio, tmp_path)
    with np.load(run / "predictions.npz") as file:
        arrays = dict(file)
    np.savez(run / "predictions.npz", **change(arrays))
    with pytest.raises(UserError, match=message):
        artifacts.load(run)


def test_runs_over_different_items_are_refused_unless_apart(trio, tmp_path, capsys, write_run):
    other = write_run(tmp_path / "other", "hybrid", {1}, seed=1)
    with pytest.raises(SystemExit) as left:
        main([str(trio[0]), str(other), "--out", str(tmp_path / "out")])
    line = capsys.readouterr().err.strip()
    assert left.value.code == 2 and "\n" not in line
    assert "ImageNet_CNN and HybridNet_CNN differ (60 and 60 items, 0 of them shared)" in line
    runs = {str(path): artifacts.load(path) for path in (*trio[:2], other)}
    groups = comparison.same_test(runs, apart=True)
    assert [list(group) for group in groups] == [[str(p) for p in trio[:2]], [str(other)]]


def test_the_same_run_twice_is_refused(trio, tmp_path):
    with pytest.raises(UserError, match="given twice"):
        report.write([trio[0], trio[0]], tmp_path)


def test_repeated_recordings_are_known_by_content_where_ids_hide_them(tmp_path, write_run):
    path = write_run(tmp_path / "r", "hybrid", {1}, paired_ids=False)
    with np.load(path / "inputs.npz") as file:
        image, audio = file["image"], file["audio"]
    repeats = {"audio": np.concatenate([audio, audio]), "audio_row": np.arange(60)}
    np.savez(path / "inputs.npz", image=image, **repeats)
    sources = artifacts.load(path).sources()
    assert len(np.unique(sources["image"])) == 60
    assert len(np.unique(sources["audio"])) == 30
    np.testing.assert_array_equal(sources["audio"][:30], sources["audio"][30:])
    # A run that meets them in another order, as of another seed, gives them the same names.
    turned = {"audio": np.concatenate([audio[::-1], audio]), "audio_row": np.arange(60)}
    np.savez(path / "inputs.npz", image=image, **turned)
    again = artifacts.load(path).sources()["audio"]
    np.testing.assert_array_equal(again[:30][::-1], sources["audio"][:30])


def test_intervals_and_tests_cluster_by_what_a_model_hears(tmp_path, write_run):
    both_times = {3, 33, 5, 35, 6, 36}  # pairs i and i + 30 share a recording
    runs = {
        name: artifacts.load(write_run(tmp_path / name, name, wrong))
        for name, wrong in {"image": both_times, "audio": both_times, "hybrid": set()}.items()
    }
    table = next(block for block in results.results(runs, {}) if isinstance(block, Grid))
    assert [row[2].endswith("*") for row in table.rows] == [False, True, True]
    tests = next(iter(comparison.paired_tests({k: runs[k] for k in ("image", "hybrid")})))
    assert tests.rows[0][4] == "0.0312"  # 2 / 2⁶
    assert float(tests.rows[0][5]) == pytest.approx(2 / 2**3, abs=0.02)


def test_the_surest_errors_come_first(tmp_path, write_run):
    path = write_run(tmp_path / "r", "image", {1, 2})
    with np.load(path / "predictions.npz") as file:
        arrays = dict(file)
    arrays["logits"][2, 3] += 50
    np.savez(path / "predictions.npz", **arrays)
    run = artifacts.load(path)
    assert comparison.surest_errors(run).tolist() == [2, 1]


@pytest.mark.parametrize(
    ("data", "split", "said"),
    [
        ("bundled", "official", "voices of train and test are disjoint"),
        ("bundled", "random", "keeps identical items together shares speakers"),
        ("mnist_fsdd", "paper", "14:3:3 split (the paper's) shares speakers"),
        ("mnist_fsdd", "official", "which shares speakers"),
        ("reduced_mnist_audio_mnist", "speaker", "no speaker stands in two splits"),
        ("written_spoken", "paper", "shares speakers and repeated recordings"),
    ],
)
def test_a_protocol_says_what_it_shares(tmp_path, data, split, said, write_run):
    run = artifacts.load(write_run(tmp_path / "r", "hybrid", set(), data=data, split=split))
    assert said in words.setting(run)
    assert ("standing in for" in words.setting(run)) == (data != "written_spoken")
    assert any("synthetic" in note for note in words.notes(run)) == (data == "bundled")


def test_labels_tell_runs_apart(tmp_path, write_run):
    made = [
        write_run(tmp_path / "a", "hybrid", set()),
        write_run(tmp_path / "b", "hybrid", set(), seed=1),
        write_run(tmp_path / "c", "image", set()),
        write_run(tmp_path / "d", "image", set()),
    ]
    assert words.labels([artifacts.load(path) for path in made]) == [
        "HybridNet_CNN (seed 0)", "HybridNet_CNN (seed 1)", "ImageNet_CNN #1", "ImageNet_CNN #2",
    ]  # fmt: skip


def test_the_terminal_table_holds_the_figures_and_needs_no_matplotlib(trio):
    program = (
        "import sys, json, fdigits.report as report; from rich.console import Console;"
        "Console(width=200).print(report.table([json.loads(sys.stdin.read())]));"
        "print([name for name in ('matplotlib', 'sklearn', 'scipy') if name in sys.modules])"
    )
    result = (trio[0] / "result.json").read_text()
    shown = subprocess.run(
        [sys.executable, "-c", program], input=result, capture_output=True, text=True, check=True
    ).stdout
    assert "91.67" in shown and "99.13" in shown and "421,642" in shown
    assert shown.splitlines()[-1] == "[]"
