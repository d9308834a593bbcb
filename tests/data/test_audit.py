import io

import numpy as np
import pytest
from rich.console import Console

from fdigits.data import audit
from fdigits.data.corpus import Corpus, Recordings
from fdigits.data.datasets import DATASETS


@pytest.fixture
def planted():
    """40 random items in three parts; 20 = 0 exactly, 30 = 1 nearly, 31 = 32 exactly, 2 = 3."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 39, 13)).astype(np.float32)
    x[20] = x[0]
    x[30] = x[1] + 0.03 * rng.normal(size=(39, 13))
    x[31] = x[32]
    x[2] = x[3]
    rows = {
        "train": np.random.default_rng(1).permutation(20),
        "validation": np.arange(20, 30),
        "test": np.arange(30, 40),
    }
    speaker = np.array([f"s{i // 4}" for i in range(40)])
    speaker[39] = "s0"
    corpus = Corpus(
        "planted",
        x,
        np.arange(40, dtype=np.int32) % 10,
        np.array([str(i) for i in range(40)]),
        speaker,
        np.full(40, "train"),
    )
    return corpus, rows


def test_finds_planted_twins(planted):
    corpus, rows = planted
    found = audit.twins(corpus.x, rows)
    expected = {  # (of, in): (exact, near)
        ("train", "train"): (2, 2),
        ("validation", "train"): (1, 1),
        ("train", "validation"): (1, 1),
        ("validation", "validation"): (0, 0),
        ("test", "train"): (0, 1),
        ("test", "validation"): (0, 0),
        ("test", "test"): (2, 2),
    }
    for (of, held), (exact, near) in expected.items():
        assert found.count("exact", rows[of], held) == exact, (of, held)
        assert found.count("near", rows[of], held) == near, (of, held)


def test_chunks_do_not_matter(planted, monkeypatch):
    corpus, rows = planted
    whole = audit.twins(corpus.x, rows)
    monkeypatch.setattr(audit, "_ROWS_AT_ONCE", 7)
    np.testing.assert_array_equal(audit.twins(corpus.x, rows).near, whole.near)


def test_items_left_out_of_the_split_are_no_twins(planted):
    corpus, rows = planted
    rows = rows | {"test": np.array([33, 34])}
    found = audit.twins(corpus.x, rows)
    assert found.count("near", np.array([31, 32]), "test") == 0


def test_what_all_items_share_makes_no_twins(planted):
    corpus, rows = planted
    shifted = audit.twins(corpus.x + np.linspace(50, 100, 13, dtype=np.float32), rows)
    np.testing.assert_array_equal(shifted.near, audit.twins(corpus.x, rows).near)


def test_constant_items_are_finite():
    x = np.zeros((6, 28, 28), np.uint8)
    rows = {"train": np.arange(2), "validation": np.arange(2, 4), "test": np.arange(4, 6)}
    assert audit.twins(x, rows).exact.all()


def test_shared_speakers(planted):
    corpus, rows = planted
    found = audit.shared_speakers(corpus, rows)
    assert found["train"] == (5, 5, 20)
    assert found["validation"] == (3, 0, 0)
    assert found["test"] == (4, 1, 1)  # item 39 by s0


def test_levels():
    rng = np.random.default_rng(0)
    quiet, loud = (rng.normal(size=4_000).astype(np.float32) for _ in range(2))
    spoken = Recordings(
        [0.01 * quiet, 0.1 * loud - 0.005],
        8_000,
        np.zeros(2, np.int32),
        np.array(["a", "b"]),
        np.array(["theo", "nicolas"]),
        np.full(2, "train"),
    )
    found = audit.levels(spoken)
    assert found["theo"][0] == pytest.approx(328, rel=0.05)
    assert found["nicolas"][2] == pytest.approx(-164, abs=60)


def test_prints_tables(planted):
    corpus, rows = planted
    console = Console(width=120, record=True, file=io.StringIO())
    audit.audit("audio", corpus, rows, console)
    text = console.export_text()
    for line in ("items per class", "per speaker", "twin", "speakers"):
        assert line in text
    twins = [line.split() for line in text.splitlines() if line.startswith("│ test")]
    assert ["│", "test", "│", "train", "│", "0", "│", "1", "│", "10.0%", "│"] in twins


def test_command(capsys):
    audit.main(["bundled", "--split", "official"])
    text = capsys.readouterr().out
    assert "espeak · audio" in text
    assert "digits · image" in text


def test_pairs_are_audited_as_they_are_split(tmp_path, capsys):
    rng = np.random.default_rng(0)
    (tmp_path / "written_spoken").mkdir()
    for part, n in (("train", 200), ("test", 40)):
        for kind, values in {
            "data_wr": rng.integers(0, 256, (n, 784)),
            "data_sp": rng.normal(size=(n, 507)),
            "labels": np.arange(n) % 10,
        }.items():
            np.save(tmp_path / "written_spoken" / f"{kind}_{part}.npy", values)
    where = ["--data-dir", str(tmp_path), "--cache-dir", str(tmp_path)]
    audit.main(["written_spoken", *where])
    counts = [line.split() for line in capsys.readouterr().out.splitlines() if line[:3] == "│ t"]
    assert {row[-2] for row in counts if row[1] == "train" and len(row) > 20} == {"140"}


def test_command_unknown(capsys):
    with pytest.raises(SystemExit) as caught:
        audit.main(["bundle"])
    assert caught.value.code == 2
    assert "error: unknown data set 'bundle' (did you mean 'bundled'?)" in capsys.readouterr().err


@pytest.mark.real
def test_real_levels_betray_speakers(real_data):
    found = audit.levels(audit._recordings(DATASETS["fsdd"], real_data))
    assert found["nicolas"][2] < -200
    assert found["jackson"][0] > 10 * found["theo"][0]
