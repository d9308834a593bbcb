"""A study's tables and page: of made-up runs, whole, broken and absent."""

import csv
import json
import shutil
from pathlib import Path

import pytest

from fdigits.errors import UserError
from fdigits.report import study
from tests.browsers import chromium
from tests.report import test_generate_figures

WRONG = {"image": {1, 2, 3, 4, 5, 6}, "hybrid": {3, 4}, "audio": {5}}
REASON = "the loss is nan at step 7"


def run(modality: str, seed: int, folder: str, status: str = "done") -> dict:
    told = {"seed": seed, "workdir": folder, "status": status, "reason": ""}
    if status != "done":
        return told | {"reason": REASON if status == "failed" else "not begun"}
    accuracy = 1 - (len(WRONG[modality]) + seed) / 60
    return told | {
        "metrics": {"accuracy": accuracy, "macro_f1": accuracy - 0.001, "n": 60},
        "validation": {"accuracy": accuracy},
        "intervals": {"accuracy": [accuracy - 0.05, accuracy + 0.01]},
        "method": "bootstrap by audio",
        "seconds": 12.5,
        "parameters": 421_834,
        "epochs": 4,
        "hardware": "CPU; made up, 2 cores",
        "versions": {"python": "3.11", "jax": "0.10.2"},
        "commit": "abc123",
        "fingerprints": {"data": "d", "code": "c"},
    }


def cell(name: str, title: str, modality: str, runs: list[dict], group: str, x=None) -> dict:
    finished = [one["metrics"]["accuracy"] for one in runs if one["status"] == "done"]
    mean = sum(finished) / len(finished) if finished else None
    paper = dict(value=0.9913, items=9000, interval=[0.9892, 0.993], method="Wilson, one run")
    return {
        **dict(name=name, title=title, group=group, x=x, config="configs/image.py:mnist_fsdd"),
        **dict(overrides="epochs=4", of="", command=f"python launch.py --workdir=runs/{name}"),
        "reported": {"accuracy": paper} if modality == "image" else {},
        "runs": runs,
        "done": len(finished),
        "mean": {"accuracy": mean} if finished else {},
        "interval": {"accuracy": [mean - 0.02, mean + 0.01] if len(finished) > 1 else None},
        "method": "Student's t over seeds",
    }


def made_up(folder: Path, write_run=None) -> dict:
    """A study of three systems, two seeds each: one seed failed, one was not begun."""
    cells = []
    for group in ("paper's split", "unseen speakers"):
        for modality, title in (("image", "Pictures"), ("hybrid", "Both"), ("audio", "Sound")):
            name = modality if group.startswith("paper") else f"{modality}-speaker"
            if name in ("audio-speaker", "hybrid-speaker"):
                continue
            states = {("audio", 1): "failed", ("audio", 0): "missing"}
            runs = []
            for seed in (0, 1):
                state = states.get((modality, seed), "done") if name == "audio" else "done"
                runs.append(run(modality, seed, f"{name}/seed_{seed}", state))
                if write_run and state == "done":
                    says = runs[-1]["metrics"] | {"confusion": [[6 * (i == j) for i in range(10)]
                                                                for j in range(10)]}  # fmt: skip
                    wrong = WRONG[modality] | ({59} if seed else set())
                    where = folder / runs[-1]["workdir"]
                    write_run(
                        where,
                        modality,
                        wrong,
                        seed=0,
                        result_says={"seed": seed, "metrics": {"test": says}},
                    )
            cells.append(cell(name, title, modality, runs, group))
    mcnemar = [dict(seed=0, only_a=4, only_b=0, p=0.125)]
    pair = dict(a="hybrid", b="image", line=[], group="paper's split", seeds=2, difference=0.067)
    pair |= dict(interval=[0.01, 0.12], p=0.00001, p_holm=0.03, method="paired bootstrap")
    texts = [
        ("Both beat pictures", "holds"),
        ("Sound beats pictures", "fails"),
        ("More is <b>more</b>", "undecided"),
    ]
    claims = [
        dict(text=text, kind="beats", a=["hybrid"], b=["image"], group="paper's split",
             verdict=verdict, reason=f"because of {number}")
        for number, (text, verdict) in enumerate(texts)
    ]  # fmt: skip
    told = {
        **dict(name="made_up-bundled", title="Made-up digits", paper="R0 Table 7", notes="A note."),
        **dict(seeds=[0, 1], metrics=["accuracy", "macro_f1"], cells=cells, claims=claims),
        "comparisons": [pair | {"mcnemar": mcnemar}],
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "study.json").write_text(json.dumps(told))
    return told


@pytest.fixture(scope="module")
def page(tmp_path_factory, write_run) -> Path:
    folder = tmp_path_factory.mktemp("study")
    made_up(folder, write_run)
    return study.write(folder)


def test_the_first_screen_tells_what_was_asked_and_every_verdict(page):
    text = page.read_text()
    first = text[: text.index("<table")]
    assert "R0 Table 7: 4 systems (paper&#x27;s split, unseen speakers), seeds 0, 1" in first
    assert "8 runs, 6 done, 1 failed, 1 missing" in first
    assert "Claims: 3; holds: 1, fails: 1, undecided: 1." in first and "A note." in first
    for verdict, sign in (("holds", "✓"), ("fails", "✗"), ("undecided", "?")):
        assert f'<b class="{verdict}">{sign} {verdict}</b>' in first
    assert "More is &lt;b&gt;more" in first and 'alt="Measured and reported"' in first
    assert 'src="http' not in text and "<script" in text  # nothing is fetched


def test_what_is_not_done_is_told_with_its_reason(page):
    markdown = (page.parent / "table.md").read_text()
    assert f"- not done: Sound: seed 1 failed: {REASON}" in markdown
    assert "- not done: Sound: seed 0 missing: not begun" in markdown
    assert "| Sound | – | – | – | 0 of 2 | – | – |" in markdown
    assert f"failed: {REASON}" in page.read_text()


def test_tables_hold_what_was_measured_beside_what_is_reported(page):
    markdown = (page.parent / "table.md").read_text()
    assert "- **holds**: Both beat pictures (because of 0)" in markdown
    assert "| Pictures | 89.17 [87.17–90.17] | 99.13 [98.92–99.30] |" in markdown
    rows = json.loads((page.parent / "table.json").read_text())
    assert [row["name"] for row in rows][:2] == ["image", "hybrid"] and len(rows) == 4
    assert rows[0]["accuracy_reported"] == 0.9913 and rows[0]["accuracy_seed_1"] == 1 - 7 / 60
    read = list(csv.DictReader((page.parent / "table.csv").open()))
    assert float(read[0]["accuracy"]) == rows[0]["accuracy"] and read[2]["accuracy"] == ""


def test_all_seeds_are_drawn_and_one_of_them_at_length(page):
    text = page.read_text()
    for title in (
        "Learning curves: classify",
        "Confusion of Pictures (unseen speakers)",
        "Venn diagram of errors",
        "Errors of Pictures.",
        "Both (paper&#x27;s split): image encoder",
    ):
        assert title in text, title
    assert "Errors in common, of one seed: paper&#x27;s split" in text
    assert "Errors in common, of one seed: unseen" not in text  # one system alone
    assert "Test items of 2 seeds" in text
    assert "python launch.py --workdir=runs/image-speaker" in text
    assert "CPU; made up, 2 cores" in text and "jax 0.10.2" in text
    assert "not drawn" not in text


def test_without_its_runs_a_study_has_tables_and_dots_all_the_same(page, tmp_path):
    shutil.copy(page.parent / "study.json", tmp_path)
    text = study.write(tmp_path).read_text()
    assert 'alt="Measured and reported"' in text and study_line() in text
    assert "Learning curves:" not in text and (tmp_path / "table.md").exists()
    assert (tmp_path / "table.md").read_text() == (page.parent / "table.md").read_text()


def study_line() -> str:
    from fdigits.report.study_runs import NO_RUNS

    return NO_RUNS.replace("'", "&#x27;")


def test_curves_stand_over_what_cells_differ_in(tmp_path):
    told, runs = made_up(tmp_path), [run("image", seed, "-") for seed in (0, 1)]
    told["cells"] = [
        cell(f"code_{width}", f"A: code, {width}", "image", runs, "all", x=width)
        for width in (50, 100, 150)
    ]
    told["comparisons"], told["claims"] = [], []
    (tmp_path / "study.json").write_text(json.dumps(told))
    text = study.write(tmp_path).read_text()
    assert 'alt="Curves of accuracy"' in text and "claims" not in text[text.index("<body") :]


def test_what_is_no_study_is_told(tmp_path):
    with pytest.raises(UserError, match="is not there: name the workdir of a study"):
        study.write(tmp_path)
    (tmp_path / "study.json").write_text("{")
    with pytest.raises(UserError, match="cannot be read"):
        study.write(tmp_path)


def test_a_run_that_cannot_be_read_is_a_line_and_the_others_are_drawn(page, tmp_path):
    folder = tmp_path / "study"
    shutil.copytree(page.parent, folder)
    (folder / "image/seed_0/metrics.jsonl").write_text("{")
    (folder / "hybrid/seed_0/predictions.npz").write_bytes(b"no zip")
    for name in ("embeddings.npz",):
        for file in folder.glob(f"*/*/{name}"):
            file.unlink()  # their maps take seconds
    text = study.write(folder).read_text()
    assert "image/seed_0/metrics.jsonl line 1 is no epoch" in text
    assert "hybrid/seed_0/predictions.npz cannot be read" in text
    assert "Confusion of Both (paper&#x27;s split)" in text


def test_drawn_digits_of_a_generator_are_there(tmp_path):
    told = made_up(tmp_path)
    folder = tmp_path / "gan/seed_0"
    folder.parent.mkdir()
    test_generate_figures.finished(folder)
    found = run("image", 0, "gan/seed_0") | {"metrics": {"judged": 0.5, "n": 20}}
    gan = cell("gan", "GAN", "image", [], "all") | {"runs": [found], "done": 1, "reported": {}}
    gan |= {"mean": {"judged": 0.5}, "interval": {"judged": None}}
    told |= dict(cells=[gan], metrics=["judged"], claims=[], comparisons=[])
    (tmp_path / "study.json").write_text(json.dumps(told))
    text = study.write(tmp_path).read_text()
    assert 'alt="GAN: drawn digits"' in text and "Learning curves: gan" in text
    assert "| GAN | 0.5 | 1 | 20 |" in (tmp_path / "table.md").read_text()


@pytest.fixture(scope="module")
def browser():
    yield from chromium()


@pytest.mark.slow
@pytest.mark.parametrize(("width", "height"), [(1280, 800), (400, 850)])
def test_in_a_browser_nothing_sticks_out_and_tables_are_sorted(browser, page, width, height):
    size = dict(width=width, height=height, deviceScaleFactor=1, mobile=width < 500)
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    browser.get(page.as_uri())
    browser.execute_script("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    table = "document.querySelectorAll('table')[0]"
    column = f"return [...{table}.tBodies[0].rows].map(row => row.cells[0].textContent)"
    assert browser.execute_script(column) == ["Pictures", "Both", "Sound"]
    accuracy, system = (f"{table}.tHead.rows[0].cells[{cell}].click();" for cell in (1, 0))
    assert browser.execute_script(accuracy + column) == ["Both", "Pictures", "Sound"]
    assert browser.execute_script(accuracy + column) == ["Pictures", "Both", "Sound"]
    assert browser.execute_script(system + column) == ["Both", "Pictures", "Sound"]
    assert browser.execute_script(system + column) == ["Sound", "Pictures", "Both"]
