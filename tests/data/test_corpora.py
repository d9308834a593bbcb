import csv
import gzip
import io
import json

import numpy as np
import pytest
import soundfile

from fdigits.data.corpora import (
    audio_mnist,
    fsdd,
    gsc_digits,
    gsc_partial,
    make_bundled,
    mnist,
    other_voices,
    reduced_mnist,
    voices,
)
from fdigits.data.corpus import WORDS, Corpus, check
from fdigits.errors import UserError
from tests.data.source_files import idx, wav, write_folder, write_mnist, write_tar


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

    @pytest.mark.parametrize("place", mnist.PLACES)
    @pytest.mark.parametrize(
        "rename",
        [
            lambda name: name,
            lambda name: name.replace("-idx", ".idx"),
            str.upper,
            lambda name: name.replace("-idx", ".idx").upper() + ".GZ",  # though it is plain
        ],
    )
    def test_names_of_unpackers_and_places_of_torchvision(self, tmp_path, place, rename):
        md5 = write_mnist(tmp_path / place, zipped=False)
        for path in list((tmp_path / place).iterdir()):
            path.rename(path.with_name(rename(path.name)))
        assert len(mnist.read(mnist.find(tmp_path), md5)) == 50

    def test_gzip_is_known_by_its_content(self, tmp_path):
        md5 = write_mnist(tmp_path / "mnist", zipped=True)
        for path in list((tmp_path / "mnist").iterdir()):
            path.rename(path.with_suffix(""))
        assert len(mnist.read(mnist.find(tmp_path), md5)) == 50

    def test_plain_files_stand_before_zipped_ones(self, tmp_path):
        write_mnist(tmp_path / "mnist", zipped=True)
        write_mnist(tmp_path / "mnist", zipped=False)
        assert [path.name for path in mnist.find(tmp_path)] == list(mnist.MD5)

    @pytest.mark.parametrize("page", [b"<!DOCTYPE html><html>", b"\n <HTML><body>404", b"<?xml?>"])
    @pytest.mark.parametrize("name", ["t10k-labels-idx1-ubyte", "t10k-labels-idx1-ubyte.gz"])
    def test_a_web_page_is_told_as_such(self, tmp_path, page, name):
        write_mnist(tmp_path / "mnist", zipped=False)
        (tmp_path / "mnist" / "t10k-labels-idx1-ubyte").unlink()
        (tmp_path / "mnist" / name).write_bytes(page)
        with pytest.raises(UserError, match=r"t10k.*: it looks like a web page: the download fail"):
            mnist.read(mnist.find(tmp_path), None)

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

    STRAYS = {  # noqa: RUF012
        "recordings/._7_theo_5.wav": b"a Mac's",
        "recordings/1_theo_5.wav.wav": wav(),
        "recordings/1_theo_5 (1).wav": wav(),
        "recordings/1_theo_5 - Copy.wav": wav(),
        "recordings/1_theo2_5.wav": wav(),
        "__MACOSX/recordings/._0_theo_4.wav": b"a Mac's",
    }

    @pytest.mark.parametrize("form", ["folder", "tar"])
    def test_what_only_looks_like_a_recording_is_counted_and_named(self, tmp_path, capsys, form):
        files = self.FILES | self.STRAYS | {"recordings/4_theo_5.WAV": wav()}
        if form == "folder":
            write_folder(tmp_path / "fsdd", files)
        else:
            write_tar(tmp_path / "fsdd" / "x.tar", files)
        paths = fsdd.find(tmp_path)
        assert fsdd.read(paths).id.tolist() == ["0_theo_4", "4_theo_5", "7_lucas_49", "7_theo_5"]
        told = [*fsdd.doubts(paths, None), *capsys.readouterr().err.splitlines()]
        assert len(told) == 1 and told[0].endswith("recordings/1_theo2_5.wav, ...)")
        assert "left out for their names, though they look like recordings: 6 (" in told[0]

    def test_nothing_is_said_of_what_is_as_it_should_be(self, tmp_path, capsys):
        write_folder(tmp_path / "fsdd", self.FILES)
        words = {"seven/0a2b_nohash_0.wav": wav(), "marvin/0a2b_nohash_0.wav": wav()}
        write_folder(tmp_path / "gsc_digits", words)
        write_folder(tmp_path / "audio_mnist", {"data/01/0_01_0.wav": wav()})
        write_tar(tmp_path / "gsc_partial" / "x.tar.gz", words)
        for reader in (fsdd, gsc_digits, audio_mnist, gsc_partial):
            paths = reader.find(tmp_path)
            assert len(reader.read(paths).id) and not list(reader.doubts(paths, None))
            assert not list(reader.doubts([], None))
        assert not capsys.readouterr().err

    @pytest.mark.parametrize(
        ("reader", "name", "stray"),
        [
            (audio_mnist, "01/3_01_2.wav", "01/3_1_2.wav"),
            (gsc_digits, "seven/0a2b_nohash_0.wav", "seven/._0a2b_nohash_0.wav"),
            (gsc_partial, "seven/0a2b_nohash_0.wav", "Seven/0a2b_nohash_1.wav"),
            (other_voices, "voice_a/7/1.flac", "voice_a/7/1 (2).flac"),
            (other_voices, "voice_a/7/1.flac", "voice-a/7/1.flac"),
        ],
    )
    def test_every_reader_says_what_it_leaves_out(self, tmp_path, reader, name, stray):
        write_folder(tmp_path / reader.FOLDERS[0], {name: wav(), stray: wav()})
        paths = reader.find(tmp_path)
        assert len(reader.read(paths).id) == 1
        (told,) = reader.doubts(paths, None)
        assert told.endswith(f"though they look like recordings: 1 ({stray})")

    def test_a_speaker_of_two_spellings_is_told(self, tmp_path):
        write_folder(tmp_path / "fsdd", {f"{n}.wav": wav() for n in ("1_theo_5", "2_Theo_5")})
        (told,) = fsdd.doubts(fsdd.find(tmp_path), None)
        assert told == "the speakers Theo and theo are taken for two: are they one?"

    def test_of_a_folder_and_an_archive_it_is_said_which_is_read(self, tmp_path):
        write_folder(tmp_path / "fsdd", self.FILES)
        write_tar(tmp_path / "fsdd" / "x.TGZ", {"1_theo_5.wav": wav()})
        paths = fsdd.find(tmp_path)
        assert {path.suffix for path in paths} == {".wav"}
        (told,) = fsdd.doubts(paths, None)
        assert told.endswith("fsdd holds recordings and x.TGZ: the archive is not read")

    @pytest.mark.parametrize("name", ["3_theo_0.wav", "x.tar.gz"])
    def test_a_web_page_in_place_of_recordings(self, tmp_path, name):
        write_folder(tmp_path / "fsdd", {name: b"<html>not found</html>"})
        with pytest.raises(UserError, match=rf"{name}: not a .* looks like a web page"):
            fsdd.read(fsdd.find(tmp_path))

    def test_a_plain_tar_under_a_zipped_name(self, tmp_path):
        write_tar(tmp_path / "x.tgz", self.FILES)
        content = gzip.decompress((tmp_path / "x.tgz").read_bytes())
        write_folder(tmp_path / "fsdd", {"x.tar.gz": content})
        assert len(fsdd.read(fsdd.find(tmp_path)).id) == 3

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

    def test_damaged_tar(self, tmp_path):
        """One byte wrong in the middle: tarfile alone may take it for the end."""
        path = tmp_path / "fsdd" / "x.tar.gz"
        write_tar(path, self.FILES)
        whole = path.read_bytes()
        for at in range(len(whole) // 4, len(whole) - 8, len(whole) // 9):
            path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x55]) + whole[at + 1 :])
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

    @pytest.mark.parametrize("form", ["folder", "tar"])
    def test_gsc_partial(self, tmp_path, form):
        files = {
            "zero/0a2b_nohash_0.wav": wav(16_000, 16_000),
            "eight/ffd2ba2f_nohash_1.wav": wav(12_000, 16_000),
            "tree/0a2b_nohash_0.wav": wav(16_000, 16_000),
        }
        if form == "folder":
            write_folder(tmp_path / "gsc_partial", files)
        else:
            write_tar(tmp_path / "gsc_partial" / "some.tar.gz", files)
        assert gsc_digits.find(tmp_path) == []
        found = gsc_partial.read(gsc_partial.find(tmp_path))
        assert found.id.tolist() == ["eight/ffd2ba2f_nohash_1", "zero/0a2b_nohash_0"]
        assert found.label.tolist() == [8, 0]
        assert found.part.tolist() == [gsc_digits.partition(s) for s in ("ffd2ba2f", "0a2b")]

    def test_other_voices_come_to_one_rate(self, tmp_path):
        flac = io.BytesIO()
        tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(32_000) / 16_000)
        soundfile.write(flac, tone, 16_000, format="FLAC")
        fast = io.BytesIO()
        tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(48_000) / 48_000)
        soundfile.write(fast, tone, 48_000, format="WAV")
        files = {
            "voice_a/7/7_set2_001.flac": flac.getvalue(),
            "audio_mnist/01/3_01_40.wav": fast.getvalue(),
            "audio_mnist/05/1_01_22.wav": wav(),  # of another speaker's folder
            "voice_a/notes/7.flac": wav(),
        }
        write_folder(tmp_path / "other_voices", files)
        found = other_voices.read(other_voices.find(tmp_path))
        assert found.id.tolist() == ["3_01_40", "voice_a/7/7_set2_001"]
        assert found.label.tolist() == [3, 7]
        assert found.speaker.tolist() == ["01", "voice_a"]
        assert [len(signal) for signal in found.signal] == [16_000, 32_000]
        assert found.rate == 16_000
        for signal in found.signal:  # the tone is where it was
            assert np.abs(np.fft.rfft(signal[:16_000])).argmax() == 440


class TestVoices:
    def test_what_is_said(self):
        plan = voices.digits("f3")
        assert len(plan) == 160 and voices.find(None) == []
        for word in WORDS:
            accents = [one.voice for one in plan if one.word == word]
            assert len(accents) == 16 and len(set(accents)) == 8
        assert len({(one.rate, one.pitch) for one in plan}) > 100
        assert voices.digits("f3") == plan != voices.digits("f3", seed=1)

    def test_other_words_are_none_of_the_ten(self):
        words = voices.OTHER_WORDS.split()
        assert len(words) == len(set(words)) > 140
        assert not set(words) & {*WORDS, "oh", "to", "too", "won", "for", "ate", "nein"}
        said = [one.word for one in voices.no_digits("m1")]
        assert len(set(said)) == 20 and set(said) <= set(words)

    def test_they_are_spoken(self, monkeypatch):
        part = {"f3": make_bundled.voices()["f3"]}
        monkeypatch.setattr(make_bundled, "voices", lambda *_: part)
        monkeypatch.setattr(voices, "ACCENTS", "en-us en")
        digits, others = voices.read([]), voices.others()
        assert len(digits.signal) == 40 and len(others.signal) == 20
        assert np.bincount(digits.label).tolist() == [4] * 10
        assert set(others.label) == {-1}
        for found in (digits, others):
            assert found.rate == 22_050 and set(found.speaker) == {"f3"}
            assert set(found.part) == {*part.values()}
            assert len(set(found.id)) == len(found.id)
            assert all(np.abs(signal).max() > 0.05 for signal in found.signal)
            assert all(0.1 < len(signal) / found.rate < 2.5 for signal in found.signal)


def test_check_names_what_is_wrong():
    good = {
        "x": np.zeros((3, 39, 13), np.float32),
        "label": np.arange(3, dtype=np.int32),
        "id": np.array(["a", "b", "c"]),
        "speaker": np.full(3, ""),
        "part": np.full(3, "train"),
    }
    assert len(check(Corpus("x", **good), "here")) == 3
    for shape in ((28, 28), (128, 128)):
        assert len(check(Corpus("x", **good | {"x": np.zeros((3, *shape), np.uint8)}), "here")) == 3
    sound = np.zeros((3, 6, 14), np.float32)
    sound[:, :2, -1] = 1
    assert len(check(Corpus("x", **good | {"x": sound}), "here")) == 3
    silent, gap, half = sound.copy(), sound.copy(), sound.copy()
    silent[1], gap[1, 4, -1], half[1, 0, -1] = 0, 1, 0.5
    nan = good["x"].copy()
    nan[1, 2, 3] = np.nan
    for change, message in [
        ({"x": nan}, "here: features of item b hold NaN"),
        (
            {"x": good["x"][:, :38]},
            r"audio or frames or mean_mfcc of shape \(38, 13\), expected \(39, 13\) or \(any, 14\)",
        ),
        (
            {"x": np.zeros((3, 128, 100), np.uint8)},
            r"image or spectrogram of shape \(128, 100\), expected \(28, 28\) or \(128, 128\)",
        ),
        (
            {"x": np.zeros((3, 128, 128), np.float32)},
            r"here: audio or frames or mean_mfcc of shape \(128, 128\)",
        ),
        (
            {"x": good["x"].astype(float)},
            "numbers of type float64, expected uint8 or float32 or int16",
        ),
        (
            {"x": np.zeros((3, 8_000), np.int16)},
            r"here: word of shape \(8000,\), expected \(10000,\)",
        ),
        ({"x": silent}, "here: the mask of item b is not ones, then zeros"),
        ({"x": gap}, "here: the mask of item b is not ones, then zeros"),
        ({"x": half}, "here: the mask of item b is not ones, then zeros"),
        ({"x": sound + np.float32(np.inf)}, "here: features of item a hold NaN or infinity"),
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

    def test_gsc_partial(self, real_data):
        found = gsc_partial.read(gsc_partial.find(real_data))
        assert len(found.signal) == 2_196 and found.rate == 16_000
        assert len(np.unique(found.speaker)) == 453
        assert np.bincount(found.label).tolist() == [546, 544, 4, 4, 2, 541, 3, 5, 543, 4]
        known = gsc_digits.read(gsc_digits.find(real_data))
        assert not set(found.speaker) & set(known.speaker)

    def test_other_voices(self, real_data):
        found = other_voices.read(other_voices.find(real_data))
        assert len(found.signal) == 401 and found.rate == 16_000
        count = dict(zip(*np.unique(found.speaker, return_counts=True), strict=True))
        assert count == {"01": 100, "05": 1, "voice_a": 300}
        assert np.bincount(found.label).tolist() == [40, 41, *[40] * 8]
