import csv

import numpy as np
import pytest

from fdigits.data.corpora import gsc_digits, mnist, written_spoken
from fdigits.data.corpus import Recordings
from fdigits.errors import UserError
from tests.data.source_files import write_mnist


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
            ({"labels_test": np.full(30, np.nan)}, r"label nan in row 0 is no whole number"),
            (
                {"labels_test": np.where(np.arange(30) == 7, 1.5, 1)},
                r"\(test\): label 1\.5 in row 7 is no whole number \(1 such\)",
            ),
            ({"labels_test": np.full(30, "1")}, "expected numbers"),
            ({"labels_test": np.zeros((30, 2))}, "expected N numbers"),
            ({"data_sp_test": np.zeros((0, 507))}, "0 values"),
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

    @pytest.mark.parametrize("label", ["seven", "1.5", "inf", "nan", ""])
    def test_class_code_bad_table(self, tmp_path, label):
        self.write_class_code(tmp_path, [(i, label) for i in range(30)])
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
