"""The weights that ship: what the card says of them is so."""

import csv
import json
import shutil

import pytest

from fdigits import Recogniser, evaluate, predict
from fdigits.data.corpora import bundled
from fdigits.pretrained.make import FIGURES
from fdigits.trained import SHIPPED, WEIGHTS

SAMPLES = bundled.FOLDER / bundled.SAMPLES
FOUND = json.loads((SHIPPED / FIGURES).read_text())


@pytest.fixture(scope="module")
def recognise():
    return Recogniser()


def test_they_are_small():
    assert sum(file.stat().st_size for file in SHIPPED.iterdir() if file.is_file()) < 4e6
    assert (SHIPPED / WEIGHTS).stat().st_size < 4e6


@pytest.mark.parametrize("digit", [1, 4, 7])
def test_samples_are_recognised(recognise, digit):
    found = recognise(SAMPLES / f"{digit}.png", SAMPLES / f"{digit}.wav")
    assert found.digit == digit and not found.warnings
    assert {name: one.digit for name, one in found.modalities.items()} == {
        "picture": digit,
        "recording": digit,
    }


def test_the_card_is_right_on_the_bundled_pictures(recognise, tmp_path):
    tested = evaluate.test_on(recognise.trained, "digits", tmp_path, tmp_path)
    assert tested["accuracy"] == pytest.approx(FOUND["digits"]["accuracy"], abs=2e-3)
    assert tested["n"] == FOUND["digits"]["n"]


def test_the_card_names_the_figures():
    rows = (SHIPPED / "README.md").read_text().splitlines()
    for name, figure in FOUND.items():
        row = next(row for row in rows if row.startswith(f"| `{name}`")).split("|")
        assert row[2:4] == [f" {100 * figure['accuracy']:.2f} ", f" {figure['n']:,} "]


def test_a_folder_of_ones_own_is_tested_on(tmp_path):
    """The ten samples, two of which lie among the files of another digit."""
    for digit in range(10):
        stands = {3: 4}.get(digit, digit)
        for kind in ("png", "wav"):
            target = tmp_path / f"own/{stands}/{digit}.{kind}"
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(SAMPLES / f"{digit}.{kind}", target)
    where = (tmp_path, tmp_path, "")
    first, confused, *wrong = predict.tested(None, f"pictures:{tmp_path}/own", *where)
    assert "accuracy 0.9000" in first and ", n 10," in first
    assert confused == "taken for another: 4 for 3 (1)"
    assert len(wrong) == 1 and wrong[0].startswith("4/3.png: 4, taken for 3 (")
    first, _, *wrong = predict.tested(None, f"recordings:{tmp_path}/own", *where)
    assert "accuracy 0.9000" in first and [one[:7] for one in wrong] == ["4/3.wav"]


@pytest.mark.real
def test_the_card_is_right_on_real_recordings(recognise, real_data, tmp_path):
    tested = evaluate.test_on(recognise.trained, "fsdd", real_data, tmp_path, "test")
    assert tested["accuracy"] == pytest.approx(FOUND["fsdd test"]["accuracy"], abs=4e-3)


@pytest.mark.real
def test_odd_inputs_are_answered_as_their_index_says(recognise, real_data):
    with (real_data / "odd_inputs" / "index.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    wrong = {}
    for row in rows:
        kind = "recording" if row["file"].endswith(".wav") else "picture"
        digit = recognise(**{kind: real_data / "odd_inputs" / row["file"]}).digit
        if digit != (None if row["digit"] == "none" else int(row["digit"])):
            wrong[row["file"]] = digit
    assert len(rows) == 69 and not wrong
