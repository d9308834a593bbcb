"""An exported data set is what a run of the same seed trains on, for readers that lack fdigits."""

import hashlib
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from configs import hybrid
from fdigits import tasks, train
from fdigits.data import datasets, export, pipeline
from fdigits.errors import UserError
from fdigits.examples import prepared, resolved

SEED = 3
CACHE = Path("~/.cache/fdigits")
READ_WITHOUT = """
import sys
from importlib.machinery import PathFinder

find = PathFinder.find_spec
PathFinder.find_spec = lambda name, *where: None if name == "tensorflow" else find(name, *where)
sys.modules["fdigits"] = None
import tensorflow_datasets as tfds

source = tfds.data_source("written_spoken_digits/bundled", data_dir=sys.argv[1])
for part in ("train", "validation", "test"):
    for number in (0, 1, len(source[part]) - 1):
        one = source[part][number]
        print(part, number, one["image_id"].decode(), one["audio_id"].decode(), one["label"])
        print(one["speaker"].decode(), one["image"].tobytes().hex(), one["audio"].tobytes().hex())
"""

# What the command `tfds build` does; as a command it needs Apache Beam and mlcroissant to start.
TFDS_BUILD = """
import sys
from tensorflow_datasets.scripts.cli import build, cli_utils

cli_utils.make_flags_parser(build.Args, description="")(sys.argv).execute()
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    to = tmp_path_factory.mktemp("tfds")
    return export.export("bundled", "", SEED, to, Path("nowhere"), CACHE)


@pytest.fixture(scope="module")
def examples(tmp_path_factory):
    """What a run of that seed trains on."""
    with (config := hybrid.get_config()).unlocked():
        config.seed = SEED
    config = resolved(config)
    return prepared(config, tasks.make(config), tmp_path_factory.mktemp("run"))


def first_epoch(examples):
    epoch = train.Progress().epoch + 1
    return pipeline.training_rows(examples.splits["train"], SEED, epoch)


def held(folder, part):
    """All of a part, by tf.data."""
    import tensorflow_datasets as tfds

    read = tfds.builder_from_directory(folder).as_dataset(split=part).batch(10_000)
    return next(iter(tfds.as_numpy(read)))


def test_the_training_part_is_a_runs_first_epoch_in_its_order(folder, examples):
    import tensorflow_datasets as tfds

    found, rows = held(folder, "train"), first_epoch(examples)
    corpora = examples.splits["train"].corpora
    np.testing.assert_array_equal(found["label"], rows["label"])
    np.testing.assert_array_equal(found["image"][..., 0], examples.arrays["image"][rows["image"]])
    np.testing.assert_array_equal(found["audio"], corpora["audio"].x[rows["audio"]])
    statistics = tfds.builder_from_directory(folder).info.metadata["statistics"]
    np.testing.assert_array_equal(
        pipeline.standardise(found["audio"], statistics), examples.arrays["audio"][rows["audio"]]
    )
    for modality in ("image", "audio"):
        expected = corpora[modality].id[rows[modality]]
        np.testing.assert_array_equal(found[f"{modality}_id"].astype(str), expected)
    np.testing.assert_array_equal(
        found["speaker"].astype(str), corpora["audio"].speaker[rows["audio"]]
    )


def test_other_parts_are_a_runs_in_their_fixed_order(folder, examples):
    for part in ("validation", "test"):
        found, rows = held(folder, part), examples.splits[part].examples()
        np.testing.assert_array_equal(
            found["image"][..., 0], examples.arrays["image"][rows["image"]]
        )
        np.testing.assert_array_equal(found["label"], rows["label"])


def test_it_is_read_by_index_without_fdigits_and_tensorflow(folder, examples):
    done = subprocess.run(
        [sys.executable, "-c", READ_WITHOUT, str(folder.parents[2])], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    lines = iter(done.stdout.splitlines())
    for part in ("train", "validation", "test"):
        split = examples.splits[part]
        rows = first_epoch(examples) if part == "train" else split.examples()
        image, audio = split.corpora["image"], split.corpora["audio"]
        for number in (0, 1, len(split) - 1):
            i, a = rows["image"][number], rows["audio"][number]
            ids = f"{part} {number} {image.id[i]} {audio.id[a]} {rows['label'][number]}"
            assert next(lines) == ids
            arrays = f"{image.x[i].tobytes().hex()} {audio.x[a].tobytes().hex()}"
            assert next(lines) == f"{audio.speaker[a]} {arrays}"


def test_what_it_says_of_itself(folder):
    import tensorflow_datasets as tfds

    info = tfds.builder_from_directory(folder).info
    assert "Alpaydin" in info.citation and "CC BY 4.0" in (folder / "LICENSE").read_text()
    assert "data.split=official and seed=3" in info.description
    assert info.features["label"].names == [str(digit) for digit in range(10)]
    for line in (folder / "SHA256SUMS").read_text().splitlines():
        digest, name = line.split("  ")
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest
    assert len(list(folder.iterdir())) == 1 + len((folder / "SHA256SUMS").read_text().splitlines())


def test_a_set_of_one_modality_has_its_features_alone(tmp_path):
    import tensorflow_datasets as tfds

    found = export.export("printed", "", 0, tmp_path, Path("nowhere"), CACHE)
    features = tfds.builder_from_directory(found).info.features
    assert set(features) == {"image", "image_id", "label"}


@pytest.mark.parametrize(
    "arguments, told",
    [
        (["bundled"], r"bundled/1\.0\.0 is there already: choose another --to"),
        (["bundled", "--split=report"], "'report' is now called 'paper'"),
        (["bundeld", "--split=paper"], "did you mean 'bundled'"),
        (["mnist", "--data-dir=nowhere", "--cache-dir=nowhere"], "mnist is missing"),
    ],
)
def test_mistakes_are_one_line(arguments, told, folder, capsys):
    with pytest.raises(SystemExit, match="2"):
        export.main([*arguments, f"--to={folder.parents[2]}"])
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert re.search(told, error)
    assert not (folder.parents[1] / "mnist").exists()


def test_a_full_disk_leaves_nothing(monkeypatch, tmp_path):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(export, "_as_array_records", full)
    with pytest.raises(UserError, match=r"cannot write into .*No space left"):
        export.export("printed", "", 0, tmp_path, Path("nowhere"), CACHE)
    assert not list(tmp_path.iterdir())


def test_every_pair_has_a_builder_config():
    from fdigits.data.tfds.written_spoken_digits import written_spoken_digits_dataset_builder

    names = set(written_spoken_digits_dataset_builder.Builder.builder_configs)
    assert names == {"bundled", *datasets.pairs()}


@pytest.mark.slow
def test_tfds_build_finds_it(tmp_path):
    package = Path(export.__file__).parent / "tfds" / "written_spoken_digits"
    command = [sys.executable, "-c", TFDS_BUILD, "--config=digits_espeak"]
    subprocess.run([*command, f"--data_dir={tmp_path}"], cwd=package, check=True)
    assert held(tmp_path / "written_spoken_digits/digits_espeak/1.0.0", "test")["label"].size
