import csv
import gzip
import hashlib
import io
import json
import tarfile

import numpy as np
import pytest
import soundfile

from fdigits.data.corpora import audio_mnist, fsdd, gsc_digits, mnist, reduced_mnist, written_spoken
from fdigits.data.corpus import Corpus, Recordings, check
from fdigits.errors import UserError


def wav(samples=800, rate=8_000, seed=0) -> bytes:
    target = io.BytesIO()
    noise = np.random.default_rng(seed).uniform(-0.3, 0.4, samples)
    soundfile.write(target, noise, rate, format="WAV", subtype="PCM_16")
    return target.getvalue()


def write_folder(folder, files):
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def write_tar(path, files):
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


def idx(array: np.ndarray) -> bytes:
    magic = {1: 2049, 3: 2051}[array.ndim]
    header = np.array([magic, *array.shape], ">u4").tobytes()
    return header + array.astype(np.uint8).tobytes()


def write_mnist(folder, n_train=30, n_test=20, zipped=True, **replaced) -> dict[str, str]:
    """A small set in MNIST's form; its checksums."""
    rng = np.random.default_rng(0)
    md5 = {}
    folder.mkdir(parents=True, exist_ok=True)
    for prefix, n in (("train", n_train), ("t10k", n_test)):
        files = {
            f"{prefix}-images-idx3-ubyte": idx(rng.integers(0, 256, (n, 28, 28))),
            f"{prefix}-labels-idx1-ubyte": idx(np.arange(n) % 10),
        }
        for name, content in files.items():
            content = replaced.get(name, content)
            md5[name] = hashlib.md5(content).hexdigest()
            path = folder / (f"{name}.gz" if zipped else name)
            path.write_bytes(gzip.compress(content) if zipped else content)
    return md5


class TestMnist:
    @pytest.mark.parametrize("zipped", [True, False])
    def test_reads(self, tmp_path, zipped):
        md5 = write_mnist(tmp_path / "mnist", zipped=zipped)
        corpus = mnist.read(mnist.find(tmp_path), md5)
        assert corpus.x.shape == (50, 28, 28)
        assert corpus.x.dtype == np.uint8
        assert corpus.label.tolist() == [i % 10 for i in range(30)] + [i % 10 for i in range(20)]
        assert (corpus.part == "train").sum() == 30
        assert corpus.id[29:31].tolist() == ["train/00029", "test/00000"]
        first = np.random.default_rng(0).integers(0, 256, (30, 28, 28))
        np.testing.assert_array_equal(corpus.x[:30], first)

    def test_not_found_unless_all_four(self, tmp_path):
        write_mnist(tmp_path / "mnist")
        (tmp_path / "mnist" / "t10k-labels-idx1-ubyte.gz").unlink()
        assert mnist.find(tmp_path) == []

    def test_other_bytes_than_published(self, tmp_path):
        write_mnist(tmp_path / "mnist")
        with pytest.raises(UserError, match=r"train-images.*not the published file"):
            mnist.read(mnist.find(tmp_path))

    def test_truncated_gzip(self, tmp_path):
        write_mnist(tmp_path / "mnist")
        path = tmp_path / "mnist" / "train-images-idx3-ubyte.gz"
        path.write_bytes(path.read_bytes()[:-2000])
        with pytest.raises(UserError, match=r"train-images-idx3-ubyte\.gz: cut or damaged gzip"):
            mnist.read(mnist.find(tmp_path), None)

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (idx(np.zeros((30, 28, 28)))[:-1], "cut or damaged"),
            (idx(np.zeros((30, 28, 28)))[:9], "less than its header"),
            (b"", "not an idx file"),
            (b"GIF89a" + bytes(100), "not an idx file"),
            (idx(np.zeros((30, 27, 28))), r"images of \(27, 28\)"),
            (idx(np.zeros((29, 28, 28))), "29 train images but 30 labels"),
        ],
    )
    def test_wrong_files(self, tmp_path, content, message):
        write_mnist(tmp_path / "mnist", zipped=False, **{"train-images-idx3-ubyte": content})
        with pytest.raises(UserError, match=message):
            mnist.read(mnist.find(tmp_path), None)

    def test_label_outside(self, tmp_path):
        labels = idx(np.full(30, 11))
        write_mnist(tmp_path / "mnist", **{"train-labels-idx1-ubyte": labels})
        with pytest.raises(UserError, match=r"label 11, outside 0\.\.9"):
            mnist.read(mnist.find(tmp_path), None)

    def test_reduced(self):
        label = np.tile(np.arange(10, dtype=np.int32), 1500)
        part = np.where(np.arange(15_000) < 12_000, "train", "test")
        ids = np.array([str(i) for i in range(15_000)])
        x = np.zeros((15_000, 28, 28), np.uint8)
        corpus = reduced_mnist.reduce(Corpus("mnist", x, label, ids, np.full(15_000, ""), part))
        assert corpus.name == "reduced_mnist"
        for name, count in (("train", 1000), ("test", 200)):
            assert np.bincount(corpus.label[corpus.part == name]).tolist() == [count] * 10
        assert corpus.id[corpus.part == "train"].tolist() == [str(i) for i in range(10_000)]


class TestRecordings:
    FILES = {  # noqa: RUF012
        "recordings/0_theo_4.wav": wav(),
        "recordings/7_theo_5.wav": wav(seed=1),
        "recordings/7_lucas_49.wav": wav(seed=2),
        "recordings/README.md": b"no wav",
        "other/noise.wav": wav(),
    }

    @pytest.mark.parametrize("form", ["folder", "tar"])
    def test_fsdd(self, tmp_path, form):
        if form == "folder":
            write_folder(tmp_path / "fsdd", self.FILES)
        else:
            named = {f"free-spoken-digit-dataset-26eb9aa/{n}": c for n, c in self.FILES.items()}
            write_tar(tmp_path / "fsdd" / "x.tar.gz", named)
        found = fsdd.read(fsdd.find(tmp_path))
        assert found.id.tolist() == ["0_theo_4", "7_lucas_49", "7_theo_5"]
        assert found.label.tolist() == [0, 7, 7]
        assert found.part.tolist() == ["test", "train", "train"]
        assert found.speaker.tolist() == ["theo", "lucas", "theo"]
        assert found.rate == 8_000
        assert all(abs(signal.mean()) < 1e-6 for signal in found.signal)
        kept = fsdd.read(fsdd.find(tmp_path), keep_offset=True)
        assert abs(kept.signal[0].mean()) > 0.01

    def test_a_wav_that_is_none(self, tmp_path):
        write_folder(tmp_path / "fsdd", {**self.FILES, "3_theo_0.wav": b"<html>not found</html>"})
        with pytest.raises(UserError, match=r"3_theo_0\.wav: not a readable wav"):
            fsdd.read(fsdd.find(tmp_path))

    def test_a_wav_without_samples(self, tmp_path):
        write_folder(tmp_path / "fsdd", {"3_theo_0.wav": wav(0)})
        with pytest.raises(UserError, match=r"3_theo_0\.wav: a wav without samples"):
            fsdd.read(fsdd.find(tmp_path))

    def test_two_rates(self, tmp_path):
        write_folder(tmp_path / "fsdd", {**self.FILES, "8_theo_0.wav": wav(rate=16_000)})
        with pytest.raises(UserError, match="8_theo_0 has 16000 Hz, 0_theo_4 has 8000 Hz"):
            fsdd.read(fsdd.find(tmp_path))

    def test_twice(self, tmp_path):
        write_folder(tmp_path / "fsdd", {"a/8_theo_0.wav": wav(), "b/8_theo_0.wav": wav()})
        with pytest.raises(UserError, match="8_theo_0 is there twice"):
            fsdd.read(fsdd.find(tmp_path))

    def test_cut_tar(self, tmp_path):
        path = tmp_path / "fsdd" / "x.tar.gz"
        write_tar(path, self.FILES)
        path.write_bytes(path.read_bytes()[:-1500])
        with pytest.raises(UserError, match=r"x\.tar\.gz: not a whole tar archive"):
            fsdd.read(fsdd.find(tmp_path))

    def test_tar_without_recordings(self, tmp_path):
        write_tar(tmp_path / "fsdd" / "x.tar", {"readme.txt": b"hello"})
        with pytest.raises(UserError, match="no recording of fsdd"):
            fsdd.read(fsdd.find(tmp_path))

    @pytest.mark.parametrize("form", ["folder", "tar", "tfds"])
    def test_gsc_digits(self, tmp_path, form):
        files = {
            "v0.01/seven/0a2b_nohash_0.wav": wav(16_000, 16_000),
            "v0.01/zero/ffd2ba2f_nohash_1.wav": wav(12_000, 16_000),
            "v0.01/marvin/0a2b_nohash_0.wav": wav(16_000, 16_000),
        }
        if form == "folder":
            write_folder(tmp_path / "gsc_digits", files)
        elif form == "tar":
            write_tar(tmp_path / "gsc_digits" / "sample.tgz", files)
        else:
            name = "downloa.tensorf.org_speech_command_v0.2rxRz_w.tar.gz"
            write_tar(tmp_path / "downloads" / name, files)
        found = gsc_digits.read(gsc_digits.find(tmp_path))
        assert found.id.tolist() == ["seven/0a2b_nohash_0", "zero/ffd2ba2f_nohash_1"]
        assert found.label.tolist() == [7, 0]
        assert found.speaker.tolist() == ["0a2b", "ffd2ba2f"]

    def test_gsc_partition_is_about_ten_percent_each(self):
        parts = [gsc_digits.partition(f"{i:08x}") for i in range(4_000)]
        assert 340 < parts.count("test") < 460
        assert 340 < parts.count("validation") < 460

    @pytest.mark.parametrize("form", ["folder", "tar"])
    def test_audio_mnist(self, tmp_path, form):
        meta = {
            "01": {"age": 30, "gender": "male", "accent": "german"},
            "26": {"age": "1234", "gender": "Female", "accent": "German"},
        }
        files = {
            "data/01/0_01_0.wav": wav(rate=48_000),
            "data/26/9_26_49.wav": wav(rate=48_000),
            "data/12/3_12_2.wav": wav(rate=48_000),
            "data/12/3_13_2.wav": b"of another speaker's folder: not the corpus'",
            "data/audioMNIST_meta.txt": json.dumps(meta).encode(),
        }
        if form == "folder":
            write_folder(tmp_path / "audio_mnist", files)
        else:
            write_tar(tmp_path / "audio_mnist" / "a.tar.gz", files)
        paths = audio_mnist.find(tmp_path)
        found = audio_mnist.read(paths)
        assert found.id.tolist() == ["0_01_0", "3_12_2", "9_26_49"]
        assert found.part.tolist() == ["train", "validation", "test"]
        assert audio_mnist.speakers(paths) == {
            "01": {"age": 30, "gender": "male", "accent": "german"},
            "26": {"age": None, "gender": "female", "accent": "german"},
        }


class TestWrittenSpoken:
    def arrays(self, n=30) -> dict[str, np.ndarray]:
        rng = np.random.default_rng(0)
        return {
            f"{kind}_{part}": values
            for part in ("train", "test")
            for kind, values in {
                "data_wr": rng.integers(0, 256, (n, 784)).astype(np.float64),
                "data_sp": rng.normal(size=(n, 507)),
                "labels": np.arange(n) % 10,
            }.items()
        }

    def write(self, folder, **changed):
        folder = folder / "written_spoken"
        folder.mkdir(parents=True)
        arrays = self.arrays() | changed
        for name, array in arrays.items():
            np.save(folder / f"{name}.npy", array)
        return arrays

    @pytest.mark.parametrize("scale", [1, 1 / 255])
    def test_reads(self, tmp_path, scale):
        pixels = self.arrays()["data_wr_train"]
        self.write(tmp_path, data_wr_train=pixels * scale)
        found = written_spoken.read(written_spoken.find(tmp_path))
        assert found["image"].x.shape == (60, 28, 28)
        assert found["audio"].x.shape == (60, 39, 13)
        np.testing.assert_array_equal(found["image"].x[:30].reshape(30, 784), pixels)
        expected = self.arrays()["data_sp_test"].astype(np.float32)
        np.testing.assert_array_equal(found["audio"].x[30:].reshape(30, 507), expected)
        np.testing.assert_array_equal(found["image"].id, found["audio"].id)
        assert found["image"].part.tolist() == ["train"] * 30 + ["test"] * 30

    @pytest.mark.parametrize(
        "labels", [np.eye(10)[np.arange(30) % 10], np.arange(30.0)[:, None] % 10]
    )
    def test_other_forms_of_labels(self, tmp_path, labels):
        self.write(tmp_path, labels_train=labels)
        found = written_spoken.read(written_spoken.find(tmp_path))
        assert found["image"].label[:30].tolist() == [i % 10 for i in range(30)]

    @pytest.mark.parametrize(
        ("changed", "message"),
        [
            ({"data_wr_train": np.zeros((30, 783))}, r"shape \(30, 783\), expected N x 784"),
            ({"data_sp_test": np.zeros((30, 506))}, r"shape \(30, 506\), expected N x 507"),
            ({"data_sp_test": np.zeros((29, 507))}, "30 images, 29 recordings, 30 labels"),
            ({"labels_test": np.full(30, 10)}, r"a label outside 0\.\.9"),
            ({"labels_test": np.full(30, -1)}, r"a label outside 0\.\.9"),
            ({"labels_test": np.full(30, np.nan)}, r"a label outside 0\.\.9"),
            ({"labels_test": np.full(30, "1")}, "expected N numbers"),
            ({"data_sp_train": np.full((30, 507), np.nan)}, "NaN or infinite features in row 0"),
            ({"data_wr_train": np.full((30, 784), np.nan)}, "NaN or infinite pixels"),
            ({"data_wr_train": np.full((30, 784), 256)}, "pixels from 256 to 256"),
            ({"data_wr_train": np.full((30, 784), -1.0)}, "pixels from -1 to -1"),
        ],
    )
    def test_wrong_arrays(self, tmp_path, changed, message):
        self.write(tmp_path, **changed)
        with pytest.raises(UserError, match=message):
            written_spoken.read(written_spoken.find(tmp_path))

    def test_cut_npy_and_pickles(self, tmp_path):
        self.write(tmp_path)
        path = tmp_path / "written_spoken" / "data_sp_train.npy"
        path.write_bytes(path.read_bytes()[:-100])
        with pytest.raises(UserError, match=r"data_sp_train\.npy: not a whole npy file"):
            written_spoken.read(written_spoken.find(tmp_path))
        np.save(path, np.array([{}], dtype=object), allow_pickle=True)
        with pytest.raises(UserError, match="not a whole npy file"):
            written_spoken.read(written_spoken.find(tmp_path))

    def write_class_code(self, folder, rows):
        folder = folder / "written_spoken"
        folder.mkdir(parents=True)
        arrays = self.arrays()
        np.save(folder / "x_train_wr.npy", arrays["data_wr_train"])
        np.save(folder / "x_train_sp.npy", arrays["data_sp_train"])
        np.save(folder / "x_test_wr.npy", arrays["data_wr_test"])
        with (folder / "y_train.csv").open("w", newline="") as file:
            csv.writer(file).writerows([("row_id", "label"), *rows])

    def test_class_code(self, tmp_path):
        self.write_class_code(tmp_path, [(i, i % 10) for i in reversed(range(30))])
        found = written_spoken.read(written_spoken.find(tmp_path))
        assert found["image"].label.tolist() == [i % 10 for i in range(30)]
        assert set(found["audio"].part) == {"train"}

    def test_class_code_bad_table(self, tmp_path):
        self.write_class_code(tmp_path, [(i, "seven") for i in range(30)])
        with pytest.raises(UserError, match="whole numbers"):
            written_spoken.read(written_spoken.find(tmp_path))

    def test_remake(self, tmp_path):
        rng = np.random.default_rng(0)
        label = np.repeat(np.arange(10, dtype=np.int32), 6)
        speaker = np.array([f"s{i % 6}" for i in range(60)])
        part = np.array(
            [["train", "train", "validation", "train", "test", "test"][i % 6] for i in range(60)]
        )
        names = np.array(
            [f"{gsc_digits.WORDS[d]}/{s}_nohash_0" for d, s in zip(label, speaker, strict=True)]
        )
        signals = [rng.normal(size=4_000).astype(np.float32) for _ in range(60)]
        spoken = Recordings(signals, 16_000, label, names, speaker, part)
        md5 = write_mnist(tmp_path / "mnist", 100, 30)
        images = mnist.read(mnist.find(tmp_path), md5)
        made = written_spoken.remake(images, spoken, seed=1)
        audio = made["audio"]
        assert len(audio) == 130
        np.testing.assert_array_equal(made["image"].x, images.x)
        in_test = audio.part == "test"
        assert not set(audio.speaker[in_test]) & set(audio.speaker[~in_test])
        used = [name.partition("|")[2] for name in audio.id]
        assert {n for n, t in zip(used, in_test, strict=True) if not t} == set(
            names[part != "test"]
        )
        digit_of = dict(zip(names, label, strict=True))
        assert [digit_of[name] for name in used] == images.label.tolist()
        again = written_spoken.remake(images, spoken, seed=1)
        assert again["audio"].id.tolist() == audio.id.tolist()
        assert (
            written_spoken.remake(images, spoken, seed=2)["audio"].id.tolist() != audio.id.tolist()
        )

        written_spoken.write(made, tmp_path / "written_spoken")
        read = written_spoken.read(written_spoken.find(tmp_path))
        for modality in ("image", "audio"):
            for column in ("x", "label", "id", "speaker", "part"):
                np.testing.assert_array_equal(
                    getattr(read[modality], column), getattr(made[modality], column)
                )

    def test_remake_command_says_what_is_missing(self, tmp_path, monkeypatch, capsys):
        write_mnist(tmp_path / "mnist")
        monkeypatch.setattr(
            "sys.argv", ["x", "--data-dir", str(tmp_path), "--out", str(tmp_path / "out")]
        )
        with pytest.raises(SystemExit) as caught:
            written_spoken.main()
        assert caught.value.code == 2
        assert "error: gsc_digits is missing" in capsys.readouterr().err

    def test_remake_without_a_class(self, tmp_path):
        md5 = write_mnist(tmp_path / "mnist")
        images = mnist.read(mnist.find(tmp_path), md5)
        one = Recordings(
            [np.ones(100, np.float32)], 16_000, np.array([3]), np.array(["a"]), np.array(["s"]),
            np.array(["train"]),
        )  # fmt: skip
        with pytest.raises(UserError, match="no train recording of digit 0"):
            written_spoken.remake(images, one)


def test_check_names_what_is_wrong():
    good = {
        "x": np.zeros((3, 39, 13), np.float32),
        "label": np.arange(3, dtype=np.int32),
        "id": np.array(["a", "b", "c"]),
        "speaker": np.full(3, ""),
        "part": np.full(3, "train"),
    }
    assert len(check(Corpus("x", **good), "here")) == 3
    nan = good["x"].copy()
    nan[1, 2, 3] = np.nan
    for change, message in [
        ({"x": nan}, "here: features of item b hold NaN"),
        ({"x": good["x"][:, :38]}, r"here: audio of shape \(38, 13\)"),
        ({"id": np.array(["a", "b", "a"])}, "occurs twice"),
        ({"part": np.full(2, "train")}, "2 part but 3 labels"),
        ({"label": np.array([0, 1, 10])}, "item 2 has label 10"),
    ]:
        with pytest.raises(UserError, match=message):
            check(Corpus("x", **good | change), "here")


@pytest.mark.real
class TestReal:
    def test_mnist(self, real_data):
        corpus = mnist.read(mnist.find(real_data))
        train = corpus.part == "train"
        assert (train.sum(), (~train).sum()) == (60_000, 10_000)
        assert corpus.label[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
        assert corpus.label[60_000:60_010].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
        assert np.bincount(corpus.label[train]).tolist() == [
            5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949
        ]  # fmt: skip
        assert abs(corpus.x[train].mean() / 255 - 0.1307) < 1e-4
        assert len(reduced_mnist.reduce(corpus)) == 12_000

    def test_fsdd(self, real_data):
        found = fsdd.read(fsdd.find(real_data))
        assert len(found.signal) == 3_000
        assert found.rate == 8_000
        assert np.unique(found.speaker).tolist() == [
            "george", "jackson", "lucas", "nicolas", "theo", "yweweler"
        ]  # fmt: skip
        assert (found.part == "test").sum() == 300
        assert np.bincount(found.label).tolist() == [300] * 10

    def test_gsc_digits(self, real_data):
        found = gsc_digits.read(gsc_digits.find(real_data))
        with (real_data / "gsc_digits" / "index.csv").open() as file:
            published = {row["file"]: row["partition"] for row in csv.DictReader(file)}
        assert len(found.signal) == 100
        for part, name, count in (
            ("train", "training", 62), ("validation", "validation", 16), ("test", "testing", 22)
        ):  # fmt: skip
            ids = {f"v0.01/{one}.wav" for one in found.id[found.part == part]}
            assert ids == {file for file, held in published.items() if held == name}
            assert len(ids) == count

    def test_audio_mnist(self, real_data):
        paths = audio_mnist.find(real_data)
        found = audio_mnist.read(paths)
        assert len(found.signal) == 41
        assert found.rate == 48_000
        assert set(found.speaker) == set(audio_mnist.speakers(paths))
