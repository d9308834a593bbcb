import re
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from fdigits import metrics, predict, report
from fdigits.data import prepare
from fdigits.run import run
from tests.test_systems import short

ROOT = Path(__file__).parents[1]
SAMPLES = ROOT / "fdigits" / "data" / "bundled" / "samples"


class Done(NamedTuple):
    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def command(monkeypatch, capsys):
    """The command as a person starts it, in this process."""

    def run(*args) -> Done:
        monkeypatch.setattr(sys, "argv", ["predict", *map(str, args)])
        capsys.readouterr()
        try:
            predict.main()
            code = 0
        except SystemExit as ended:
            code = ended.code
        return Done(code, *capsys.readouterr())

    return run


@pytest.fixture(scope="module")
def hybrid(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("hybrid")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report, "write", lambda *args: "none")
        patch.setattr("fdigits.explain.make", lambda *args: {})
        run(short("hybrid", epochs=3, data__limit=0, batch_size=32), workdir)
    return workdir


def test_the_shipped_samples_are_recognised(hybrid, command):
    right = 0
    for digit in (1, 4, 7):
        given = ["--picture", SAMPLES / f"{digit}.png", "--recording", SAMPLES / f"{digit}.wav"]
        done = command(hybrid, *given)
        assert done.returncode == 0, done.stderr
        right += done.stdout.split()[0] == str(digit)
    assert right == 3


def test_another_data_set_is_tested_on(hybrid, tmp_path, command):
    """Here pairs in the form of `written_spoken`, of the bundled set's test items."""
    corpora = prepare.load("bundled")
    audio, image = corpora["audio"], corpora["image"]
    rows = np.flatnonzero(audio.part == "test")[:100]
    held = image.part == "test"
    pictures = [np.flatnonzero(held & (image.label == digit))[0] for digit in audio.label[rows]]
    (tmp_path / "written_spoken").mkdir()
    for part in ("train", "test"):
        for kind, values in {
            "data_wr": image.x[pictures].reshape(-1, 784),
            "data_sp": audio.x[rows].reshape(-1, 507),
            "labels": audio.label[rows],
        }.items():
            np.save(tmp_path / "written_spoken" / f"{kind}_{part}.npy", values)
    where = ("--data-dir", tmp_path, "--cache", tmp_path)
    done = command(hybrid, "--data", "written_spoken", *where)
    assert done.returncode == 0, done.stderr
    found = re.search(r"on written_spoken: accuracy ([\d.]+), .* n (\d+)", done.stdout)
    assert float(found[1]) > 0.9 and int(found[2]) == 200


def test_an_official_part_alone(hybrid, command):
    done = command(hybrid, "--data", "bundled", "--part", "test")
    assert done.returncode == 0, done.stderr
    assert "on bundled test: accuracy" in done.stdout
    assert int(re.search(r" n (\d+)", done.stdout)[1]) == 400


def test_what_is_missing_or_broken_is_one_line(hybrid, tmp_path, command):
    (tmp_path / "no.png").write_text("no picture")
    (tmp_path / "no.wav").write_text("no wav")
    for given, told in [
        ((hybrid, "--picture", SAMPLES / "1.png"), "reads audio"),
        ((hybrid, "--picture", tmp_path / "no.png"), "no.png"),
        ((hybrid, "--recording", tmp_path / "no.wav"), "no.wav"),
        ((hybrid, "--recording", tmp_path / "absent.wav"), "absent.wav"),
        ((tmp_path, "--picture", SAMPLES / "1.png"), "no finished run"),
    ]:
        done = command(*given)
        assert done.returncode == 2 and told in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1


def test_a_digit_that_a_folder_lacks_counts_for_nothing():
    figures = metrics.summary(np.eye(10)[[7, 7, 3]], np.array([7, 7, 3]))
    recall = "– – – 1.00 – – – 1.00 – –"
    told = f"accuracy 1.0000, macro-F1 1.0000, n 3, recall per class {recall}"
    assert predict.summed(figures) == told
