"""TFDS out and in: an exported data set is what a run of the same seed trains on, for readers that
lack fdigits; what TFDS prepared is the data set that its own files are."""

import hashlib
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from configs import hybrid
from fdigits import tasks, train
from fdigits.data import datasets, export, pipeline, prepare
from fdigits.data.corpora import fsdd, mnist, tfds_folder
from fdigits.errors import UserError
from fdigits.examples import prepared, resolved
from tests.data.source_files import wav, write_folder, write_mnist

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
        (["gsc_digits", "--data-dir=nowhere", "--cache-dir=nowhere"], "gsc_digits is missing"),
    ],
)
def test_mistakes_are_one_line(arguments, told, folder, capsys):
    with pytest.raises(SystemExit, match="2"):
        export.main([*arguments, f"--to={folder.parents[2]}"])
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert re.search(told, error)
    assert not (folder.parents[1] / "gsc_digits").exists()


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
    assert names == {"bundled", "written_spoken", *datasets.pairs()}


@pytest.mark.slow
def test_tfds_build_finds_it(tmp_path):
    package = Path(export.__file__).parent / "tfds" / "written_spoken_digits"
    command = [sys.executable, "-c", TFDS_BUILD, "--config=digits_espeak"]
    subprocess.run([*command, f"--data_dir={tmp_path}"], cwd=package, check=True)
    assert held(tmp_path / "written_spoken_digits/digits_espeak/1.0.0", "test")["label"].size


def build(data_dir, name, features, examples, config="", version="1.0.0", file_format="tfrecord"):
    """A folder as TFDS prepares it, of examples by key in each part, which TFDS shuffles."""
    import tensorflow_datasets as tfds

    held = tfds.features.FeaturesDict(features)

    class Made(tfds.core.GeneratorBasedBuilder, skip_registration=True):
        VERSION = tfds.core.Version(version)
        BUILDER_CONFIGS = [tfds.core.BuilderConfig(name=config)] if config else []

        def _info(self):
            return tfds.core.DatasetInfo(builder=self, features=held)

        def _split_generators(self, _):
            return {part: iter(pairs) for part, pairs in examples.items()}

        def _generate_examples(self):
            raise NotImplementedError

    Made.name = name
    builder = Made(data_dir=data_dir, config=config or None, file_format=file_format)
    builder.download_and_prepare()
    return Path(builder.data_dir)


def pictures(shape=(28, 28, 1), n=30, names=None, seed=0):
    """Features, and numbered examples of two parts."""
    import tensorflow_datasets as tfds

    rng = np.random.default_rng(seed)
    label = tfds.features.ClassLabel(names=names or [str(digit) for digit in range(10)])
    features = {"image": tfds.features.Image(shape=shape), "label": label}
    parts = {
        part: [
            (i, {"image": rng.integers(0, 256, shape, np.uint8), "label": i % 10}) for i in range(n)
        ]
        for part in ("train", "test")
    }
    return features, parts


@pytest.mark.parametrize("file_format", ["tfrecord", "array_record"])
def test_mnist_is_the_same_from_tfds_and_from_its_files(file_format, tmp_path):
    md5 = write_mnist(tmp_path / "plain" / "mnist", n_train=300, n_test=200)
    plain = mnist.read(mnist.find(tmp_path / "plain"), md5)
    features, _ = pictures()
    examples = {
        part: [
            (i, {"image": plain.x[row][..., None], "label": plain.label[row]})
            for i, row in enumerate(np.flatnonzero(plain.part == part))
        ]
        for part in ("train", "test")
    }
    kwargs = {"version": "3.0.1", "file_format": file_format}
    build(tmp_path / "tfds", "mnist", features, examples, **kwargs)
    paths = mnist.find(tmp_path / "tfds")
    assert tfds_folder.is_prepared(paths)
    found = mnist.read(paths, md5)
    for column in ("x", "label", "id", "speaker", "part"):
        np.testing.assert_array_equal(getattr(found, column), getattr(plain, column))
    assert not np.array_equal(tfds_folder.index("train", 300), np.arange(300))
    with pytest.raises(UserError, match="md5 differs"):
        mnist.read(paths)


def test_fsdd_is_the_same_from_tfds_and_from_its_files(tmp_path):
    import soundfile
    import tensorflow_datasets as tfds

    names = [f"{i % 10}_{'ab'[i % 2]}_{i}.wav" for i in range(12)]
    files = {name: wav(700 + 10 * i, seed=i) for i, name in enumerate(names)}
    write_folder(tmp_path / "plain" / "fsdd" / "recordings", files)
    features = {
        "audio": tfds.features.Audio(file_format="wav", sample_rate=8_000),
        "label": tfds.features.ClassLabel(num_classes=10),
        "audio/filename": tfds.features.Text(),
    }
    examples = []
    for name in names:
        samples, _ = soundfile.read(tmp_path / "plain/fsdd/recordings" / name, dtype="int16")
        example = {"audio": samples.astype(np.int64), "label": name[0], "audio/filename": name}
        examples.append((name, example))
    build(tmp_path / "tfds", "spoken_digit", features, {"train": examples}, version="1.0.9")
    plain = fsdd.read(fsdd.find(tmp_path / "plain"))
    found = fsdd.read(fsdd.find(tmp_path / "tfds"))
    assert found.rate == plain.rate == 8_000
    for one, other in zip(found.signal, plain.signal, strict=True):
        np.testing.assert_array_equal(one, other)
    for column in ("label", "id", "speaker", "part"):
        np.testing.assert_array_equal(getattr(found, column), getattr(plain, column))


def test_own_files_come_first_then_the_newest_version_then_the_folder_of_tfds(
    monkeypatch, tmp_path
):
    for place in (
        "mine/mnist/3.0.1",
        "mine/mnist/3.0.10",
        "mine/mnist/raw",
        "theirs/emnist/digits/3.1.0",
    ):
        write_folder(tmp_path / place, {"dataset_info.json": b"{}"})
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "theirs"))
    mine = tmp_path / "mine"
    assert tfds_folder.find(mine, "mnist") == [mine / "mnist/3.0.10/dataset_info.json"]
    assert tfds_folder.find(mine, "mnist:3.0.1") == [mine / "mnist/3.0.1/dataset_info.json"]
    assert tfds_folder.find(mine, "emnist/digits")[0].is_relative_to(tmp_path / "theirs")
    assert not tfds_folder.find(mine, "emnist")
    assert tfds_folder.is_prepared(mnist.find(mine))
    write_mnist(mine / "mnist")
    assert not tfds_folder.is_prepared(mnist.find(mine))


def test_any_pictures_of_digits_of_tfds_are_a_data_set(tmp_path):
    features, examples = pictures()
    build(tmp_path, "ours", features, examples)
    build(tmp_path, "emnist", features, examples, config="digits")
    found = prepare.load("tfds:ours", tmp_path, tmp_path / "cache")["image"]
    lying = prepare.load("tfds:emnist/digits", tmp_path, tmp_path / "cache")["image"]
    np.testing.assert_array_equal(lying.x, found.x.transpose(0, 2, 1))
    assert (found.name, lying.name) == ("ours", "emnist-digits")
    assert found.part.tolist() == ["train"] * 30 + ["test"] * 30
    assert found.id[[0, 59]].tolist() == ["train/00000", "test/00029"]
    for part in ("train", "test"):
        held = {example["image"].tobytes(): example["label"] for _, example in examples[part]}
        of_part = found.take(found.part == part)
        assert [held[x.tobytes()] for x in of_part.x] == of_part.label.tolist()
    again = prepare.load("tfds:emnist/digits", "nowhere", tmp_path / "cache")["image"]
    np.testing.assert_array_equal(again.x, lying.x)
    assert again.name == lying.name


def test_pictures_of_other_sizes_and_colours_are_brought_to_mnists_form(tmp_path):
    features, examples = pictures(shape=(40, 40, 3))
    for _, example in examples["train"]:
        example["image"][:] = 250
        example["image"][8:32, 18:22] = (20, 20, 120)
    build(tmp_path, "large", features, {"train": examples["train"]})
    found = prepare.load("tfds:large", tmp_path, tmp_path / "cache")["image"]
    assert found.x.shape == (30, 28, 28)
    assert found.x[0][14, 14] > 200 and found.x[0][:3].max() == 0


def test_what_are_no_digits_or_not_whole_is_told(tmp_path):
    features, examples = pictures(names=["shirt", "shoe", *"23456789"])
    build(tmp_path, "fashion", features, examples)
    with pytest.raises(UserError, match=r"10 classes \(shirt, shoe, 2, \.\.\.\): not the digits"):
        prepare.load("tfds:fashion", tmp_path, tmp_path / "cache")
    folder = build(tmp_path, "cut", *pictures())
    record = next(folder.glob("*train.tfrecord*"))
    record.write_bytes(record.read_bytes()[:-50])
    with pytest.raises(UserError, match=r"cut/1\.0\.0: TFDS cannot read it"):
        prepare.load("tfds:cut", tmp_path, tmp_path / "cache")


def test_a_set_that_tfds_does_not_know_or_cannot_get_is_told(monkeypatch, tmp_path):
    import tensorflow_datasets as tfds

    with pytest.raises(UserError, match=r"tfds:mnits: TFDS has no such data set.*'mnist'"):
        prepare.load("tfds:mnits", tmp_path, tmp_path / "cache")

    def cut(*_, **__):
        raise ConnectionError("no route\nmore")

    monkeypatch.setattr(tfds.core.DatasetBuilder, "download_and_prepare", cut)
    with pytest.raises(UserError, match=r"cannot prepare it \(no route\): put a folder"):
        prepare.load("tfds:mnist", tmp_path, tmp_path / "cache")
