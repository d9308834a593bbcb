import dataclasses
import errno
import os
import subprocess
import sys
import textwrap
import zipfile

import numpy as np
import pooch
import pytest
import requests
import soundfile

from fdigits.data import datasets, download, features, pairing, prepare
from fdigits.data.corpora import voices
from fdigits.data.corpus import Corpus, check
from fdigits.data.datasets import DATASETS
from fdigits.errors import UserError
from tests.data.source_files import wav, write_folder, write_tar

FILES = {
    f"{digit}_{speaker}_{take}.wav": wav(900, seed=digit * 20 + take)
    for digit in (0, 7)
    for speaker in ("theo", "lucas")
    for take in (4, 5)
}


@pytest.fixture
def folders(tmp_path):
    write_folder(tmp_path / "data" / "fsdd", FILES)
    return tmp_path / "data", tmp_path / "cache"


def hide_source(data_dir):
    data_dir.rename(data_dir.with_name("hidden"))


@pytest.fixture
def no_network(monkeypatch):
    """Every download's address is a port of this machine where nobody listens."""
    closed = "http://127.0.0.1:9/"
    for name, source in DATASETS.items():
        files = tuple(dataclasses.replace(file, url=closed + file.name) for file in source.files)
        monkeypatch.setitem(DATASETS, name, dataclasses.replace(source, files=files))
    monkeypatch.setattr(pooch.downloaders, "doi_to_url", lambda *_, **__: requests.get(closed))
    monkeypatch.setattr(download, "_RETRIES", 0)  # pooch waits before each


def test_prepares_and_caches(folders, monkeypatch):
    found = prepare.load("fsdd", *folders)["audio"]
    assert found.x.shape == (8, 39, 13)
    assert found.x.dtype == np.float32
    assert found.label.dtype == np.int32
    monkeypatch.setattr(prepare, "build", lambda *_: pytest.fail("did not use the cache"))
    cached = prepare.load("fsdd", *folders)["audio"]
    for column in ("x", "label", "id", "speaker", "part"):
        np.testing.assert_array_equal(getattr(found, column), getattr(cached, column))
        assert getattr(found, column).dtype == getattr(cached, column).dtype
    hide_source(folders[0])
    assert prepare.load("fsdd", *folders)["audio"].id.tolist() == found.id.tolist()


def test_spectrograms_are_cached_beside_the_mfcc(folders, monkeypatch):
    audio = prepare.load("fsdd", *folders)["audio"]
    before = (folders[1] / "fsdd.npz").read_bytes()
    loaded = prepare.load("digits_fsdd", *folders, modalities=["spectrogram"])
    assert set(loaded) == {"image", "spectrogram"}
    found = loaded["spectrogram"]
    assert (found.x.shape, found.x.dtype) == ((8, 128, 128), np.uint8)
    assert found.x.max() > 150
    monkeypatch.setattr(prepare, "build", lambda *_: pytest.fail("did not use the cache"))
    hide_source(folders[0])
    cached = prepare.load("fsdd", *folders, modalities=["spectrogram"])["spectrogram"]
    for column in ("x", "label", "id", "speaker", "part"):
        np.testing.assert_array_equal(getattr(found, column), getattr(cached, column))
    for column in ("label", "id", "speaker", "part"):
        np.testing.assert_array_equal(getattr(found, column), getattr(audio, column))
    assert (folders[1] / "fsdd.npz").read_bytes() == before
    assert len(prepare.load("fsdd", *folders)["audio"]) == 8


def test_each_kind_has_its_own_version(folders, monkeypatch):
    prepare.load("fsdd", *folders)
    prepare.load("fsdd", *folders, modalities=["spectrogram"])
    monkeypatch.setitem(prepare.VERSIONS, "spectrogram", "0.0")
    built = []
    build = prepare.build
    monkeypatch.setattr(prepare, "build", lambda *args: built.append(args[-1]) or build(*args))
    prepare.load("fsdd", *folders)
    prepare.load("fsdd", *folders, modalities=["spectrogram"])
    assert built == ["spectrogram"]


@pytest.mark.parametrize("damage", ["cut", "shape", "mfcc"])
def test_damaged_cache_of_spectrograms(folders, damage, capsys, no_network):
    found = prepare.load("fsdd", *folders, modalities=["spectrogram"])["spectrogram"]
    cache = folders[1] / "fsdd.spectrogram.npz"
    if damage == "cut":
        cache.write_bytes(cache.read_bytes()[:5_000])
    elif damage == "shape":
        with np.load(cache) as file:
            arrays = dict(file)
        np.savez(cache, **arrays | {"spectrogram.x": arrays["spectrogram.x"][:, 1:]})
    else:
        prepare.load("fsdd", *folders)
        (folders[1] / "fsdd.npz").rename(cache)
    broken = cache.read_bytes()
    again = prepare.load("fsdd", *folders, modalities=["spectrogram"])["spectrogram"]
    np.testing.assert_array_equal(again.x, found.x)
    assert "preparing it anew" in capsys.readouterr().err
    hide_source(folders[0])
    cache.write_bytes(broken)
    with pytest.raises(UserError, match=r"prepared file .*fsdd\.spectrogram\.npz.*recordings/"):
        prepare.load("fsdd", *folders, modalities=["spectrogram"])


def test_frames_are_cached_beside_the_mfcc(folders, monkeypatch):
    signal = np.random.default_rng(0).uniform(-0.3, 0.3, 1_500)
    soundfile.write(folders[0] / "fsdd" / "3_theo_9.wav", signal, 8_000)
    audio = prepare.load("fsdd", *folders)["audio"]
    loaded = prepare.load("digits_fsdd", *folders, modalities=["image", "frames"])
    assert set(loaded) == {"image", "frames"}
    found = loaded["frames"]
    assert (found.x.shape, found.x.dtype) == ((9, 26, 14), np.float32)
    length = found.x[..., -1].sum(1)
    assert dict(zip(found.id.tolist(), length.tolist(), strict=True))["3_theo_9"] == 26
    assert sorted(set(length)) == [16, 26]
    assert not found.x[found.x[..., -1] == 0].any()
    monkeypatch.setattr(prepare, "build", lambda *_: pytest.fail("did not use the cache"))
    cached = prepare.load("fsdd", *folders, modalities=["frames"])["frames"]
    assert (folders[1] / "fsdd.frames.npz").exists()
    for column in ("x", "label", "id", "speaker", "part"):
        np.testing.assert_array_equal(getattr(found, column), getattr(cached, column))
    np.testing.assert_array_equal(found.id, audio.id)
    assert len(prepare.load("fsdd", *folders)["audio"]) == 9


def test_means_are_cached_beside_the_mfcc(folders, monkeypatch):
    audio = prepare.load("fsdd", *folders)["audio"]
    loaded = prepare.load("digits_fsdd", *folders, modalities=["image", "mean_mfcc"])
    assert set(loaded) == {"image", "mean_mfcc"}
    found = loaded["mean_mfcc"]
    assert (found.x.shape, found.x.dtype) == ((8, 40), np.float32)
    np.testing.assert_array_equal(found.id, audio.id)
    monkeypatch.setattr(prepare, "build", lambda *_: pytest.fail("did not use the cache"))
    cached = prepare.load("fsdd", *folders, modalities=["mean_mfcc"])["mean_mfcc"]
    np.testing.assert_array_equal(found.x, cached.x)
    broken = dataclasses.replace(found, x=np.where(np.arange(40) == 3, np.nan, found.x))
    with pytest.raises(UserError, match=r"features of item .* hold NaN"):
        check(dataclasses.replace(broken, x=broken.x.astype(np.float32)), "these")
    assert prepare.load("bundled", modalities=["mean_mfcc"])["mean_mfcc"].x.shape == (2600, 40)


def test_frames_of_shipped_mfcc_and_of_none():
    whole = prepare.load("bundled", modalities=["frames"])
    assert set(whole) == {"image", "frames"}
    audio, found = prepare.load("espeak")["audio"], whole["frames"]
    np.testing.assert_array_equal(found.id, audio.id)
    length = found.x[..., -1].sum(1).astype(int)
    assert length.min() > 3 and length.max() == found.x.shape[1] < 39
    loud = audio.x[..., -1] > np.log(features.FLOOR) + 0.01
    for i in (0, 1_000, 2_599):
        first, last = np.flatnonzero(loud[i])[[0, -1]]
        heard = audio.x[i, first : last + 1]
        np.testing.assert_array_equal(found.x[i, : length[i], 1:13], heard[:, :12])
        np.testing.assert_array_equal(found.x[i, : length[i], 0], heard[:, 12])
    with pytest.raises(UserError, match=r"written_spoken has MFCC only.*MFCC frames need") as told:
        prepare.load("written_spoken", modalities=["frames"])
    assert "\n" not in str(told.value)


def test_words_are_cached_beside_the_mfcc(folders, monkeypatch):
    audio = prepare.load("fsdd", *folders)["audio"]
    loaded = prepare.load("digits_fsdd", *folders, modalities=["image", "word"])
    assert set(loaded) == {"image", "word"}
    found = loaded["word"]
    assert (found.x.shape, found.x.dtype) == ((8, 10_000), np.int16)
    np.testing.assert_array_equal(found.id, audio.id)
    monkeypatch.setattr(prepare, "build", lambda *_: pytest.fail("did not use the cache"))
    cached = prepare.load("fsdd", *folders, modalities=["word"])["word"]
    np.testing.assert_array_equal(found.x, cached.x)
    assert cached.x.dtype == np.int16
    with pytest.raises(UserError, match=r"espeak ships as MFCC: words need recordings.* fsdd") as e:
        prepare.load("bundled", modalities=["word"])
    assert "\n" not in str(e.value)


@pytest.mark.parametrize("modality", ["audio", "word", "frames"])
def test_joined_sets(folders, modality):
    names = {"zero/0a2b_nohash_0.wav": 16_000, "eight/0a2b_nohash_1.wav": 12_000}
    files = {name: wav(n, 16_000, seed=n) for name, n in names.items()}
    write_folder(folders[0] / "gsc_partial", files)
    one = prepare.load("fsdd", *folders, modalities=[modality])[modality]
    other = prepare.load("gsc_partial", *folders, modalities=[modality])[modality]
    pair = prepare.load("digits_fsdd+gsc_partial", *folders, modalities=["image", modality])
    assert set(pair) == {"image", modality}
    both = check(pair[modality], "both")
    assert both.name == "fsdd+gsc_partial" and len(both) == 10
    np.testing.assert_array_equal(both.x[:8, : one.x.shape[1]], one.x)
    np.testing.assert_array_equal(both.x[8:, : other.x.shape[1]], other.x)
    assert both.id[[0, -1]].tolist() == ["fsdd/0_lucas_4", "gsc_partial/zero/0a2b_nohash_0"]
    assert sorted(set(both.speaker)) == ["fsdd/lucas", "fsdd/theo", "gsc_partial/0a2b"]
    np.testing.assert_array_equal(both.label, [*one.label, *other.label])
    parts = pairing.splits({modality: both}, paired=False, policy="speaker", seed=0)
    held = [set(both.speaker[part.rows[modality]]) for part in parts.values()]
    assert [len(speakers) for speakers in held] == [1, 1, 1] and len(set.union(*held)) == 3


def test_sets_that_are_made_need_no_files(folders, monkeypatch, capsys):
    made = []

    def read(paths):
        made.append(paths)
        return recordings

    recordings = DATASETS["fsdd"].reader.read(sorted((folders[0] / "fsdd").iterdir()))
    monkeypatch.setattr(voices, "read", read)
    for _ in range(2):
        found = prepare.load("voices", *folders, modalities=["word"])["word"]
        assert len(found) == 8 and made == [[]]
    monkeypatch.setattr(voices, "VERSION", 0)
    assert capsys.readouterr().err == ""
    prepare.load("voices", *folders, modalities=["word"])
    assert len(made) == 2 and "preparing it anew" in capsys.readouterr().err


def test_a_recording_is_read_in_one_way():
    with pytest.raises(UserError, match="espeak is read as one of audio, frames, not as several"):
        prepare.load("bundled", modalities=["frames", "image", "audio"])


class OwnReader:
    """A reader of a person's own pictures: each file holds a number, the grey of one picture."""

    FOLDERS = ("mine",)

    @staticmethod
    def find(data_dir):
        return sorted((data_dir / "mine").glob("*.txt"))

    @staticmethod
    def read(paths):
        n = len(paths)
        x = np.zeros((n, 28, 28), np.uint8) + np.array(
            [int(path.read_text()) for path in paths], np.uint8
        ).reshape(n, 1, 1)
        ids = np.array([path.stem for path in paths])
        parts = np.full(n, "train")
        return Corpus("mine", x, np.zeros(n, np.int32), ids, np.full(n, ""), parts)


@pytest.fixture
def own(monkeypatch):
    monkeypatch.setitem(sys.modules, "fdigits.data.corpora.mine", OwnReader)
    record = datasets.Dataset(
        "mine", "mine", ("image",), own=True, folders=("mine",), needs="pictures you took"
    )
    monkeypatch.setitem(DATASETS, "mine", record)


def test_own_data_of_two_folders_are_two_sets(own, tmp_path, monkeypatch, capsys):
    for folder, grey in (("a", 10), ("b", 20)):
        write_folder(tmp_path / folder / "mine", {"x.txt": str(grey).encode()})
    built = []
    build = prepare.build
    monkeypatch.setattr(prepare, "build", lambda *args: built.append(args) or build(*args))
    for _ in range(2):
        for folder, grey in (("a", 10), ("b", 20)):
            found = prepare.load("mine", tmp_path / folder, tmp_path / "cache")["image"]
            assert found.x[0, 0, 0] == grey
    monkeypatch.chdir(tmp_path)
    prepare.load("mine", "a", "cache")
    assert len(built) == 2
    assert len(list((tmp_path / "cache").iterdir())) == 2
    assert capsys.readouterr().err == ""


def test_the_cache_never_answers_for_own_data_that_are_not_there(own, tmp_path):
    write_folder(tmp_path / "a" / "mine", {"x.txt": b"10"})
    prepare.load("mine", tmp_path / "a", tmp_path / "cache")
    (tmp_path / "a" / "mine" / "x.txt").unlink()
    for folder in ("a", "b"):
        with pytest.raises(
            UserError, match=rf"^mine is missing: put pictures you took into \S*/{folder}/mine$"
        ):
            prepare.load("mine", tmp_path / folder, tmp_path / "cache")


def test_a_cache_without_its_source_says_that_it_answers(folders, capsys):
    prepare.load("fsdd", *folders)
    prepare.load("fsdd", *folders)
    assert capsys.readouterr().err == ""
    hide_source(folders[0])
    prepare.load("fsdd", *folders)
    assert capsys.readouterr().err == (
        f"{folders[0]} holds no source of fsdd: the prepared file {folders[1] / 'fsdd.npz'} "
        "is used\n"
    )


def test_spectrograms_of_shipped_mfcc_and_of_none():
    whole = prepare.load("bundled", modalities=["spectrogram"])
    assert set(whole) == {"image", "spectrogram"}
    audio, pictures = prepare.load("espeak")["audio"], whole["spectrogram"]
    assert (pictures.x.shape, pictures.x.dtype) == ((len(audio), 128, 128), np.uint8)
    np.testing.assert_array_equal(pictures.id, audio.id)
    assert set(prepare.load("digits", modalities=["spectrogram"])) == {"image"}
    with pytest.raises(UserError, match="written_spoken has MFCC only") as caught:
        prepare.load("written_spoken", modalities=["spectrogram"])
    assert "\n" not in str(caught.value)


def test_the_cache_alone_needs_numpy_only(folders):
    prepare.load("fsdd", *folders)
    prepare.load("fsdd", *folders, modalities=["spectrogram"])
    prepare.load("fsdd", *folders, modalities=["frames"])
    prepare.load("fsdd", *folders, modalities=["word"])
    hide_source(folders[0])
    program = f"""
        import sys
        hidden = ("librosa", "soundfile", "soxr", "sklearn", "scipy", "joblib", "numba",
                  "tensorflow", "tensorflow_datasets", "espeakng_loader", "PIL", "jax")
        for name in hidden:
            sys.modules[name] = None
        from fdigits.data import prepare
        folders = {str(folders[0])!r}, {str(folders[1])!r}
        assert len(prepare.load("digits_fsdd", *folders)["audio"]) == 8
        assert len(prepare.load("bundled")["audio"]) > 2000
        pair = prepare.load("digits_fsdd", *folders, modalities=["spectrogram"])
        assert len(pair["spectrogram"]) == 8
        assert len(prepare.load("fsdd", *folders, modalities=["frames"])["frames"]) == 8
        assert len(prepare.load("fsdd", *folders, modalities=["word"])["word"]) == 8
        assert len(prepare.load("espeak", modalities=["spectrogram"])["spectrogram"]) > 2000
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(program)], check=True)


def test_changed_source_is_prepared_anew(folders):
    before = prepare.load("fsdd", *folders)["audio"]
    (folders[0] / "fsdd" / "7_theo_5.wav").write_bytes(wav(900, seed=99))
    after = prepare.load("fsdd", *folders)["audio"]
    changed = (before.x != after.x).any((1, 2))
    assert before.id[changed].tolist() == ["7_theo_5"]


def test_changed_recipe_is_prepared_anew(folders, monkeypatch):
    prepare.load("fsdd", *folders)
    monkeypatch.setitem(prepare.VERSIONS, "audio", "0.0")
    built = []
    build = prepare.build
    monkeypatch.setattr(prepare, "build", lambda *args: built.append(args) or build(*args))
    prepare.load("fsdd", *folders)
    assert built
    monkeypatch.setitem(prepare.VERSIONS, "audio", "0.1")
    hide_source(folders[0])
    monkeypatch.setattr(download, "fetch", lambda *_: (_ for _ in ()).throw(UserError("missing")))
    with pytest.raises(UserError, match=r"is of version 0\.0, not 0\.1; missing"):
        prepare.load("fsdd", *folders)


@pytest.mark.parametrize("damage", ["cut", "text", "pickle", "column", "nan"])
def test_damaged_cache(folders, damage, capsys, no_network):
    found = prepare.load("fsdd", *folders)["audio"]
    cache = folders[1] / "fsdd.npz"
    with np.load(cache) as file:
        arrays = dict(file)
    if damage == "cut":
        cache.write_bytes(cache.read_bytes()[: cache.stat().st_size // 2])
    elif damage == "text":
        cache.write_text("hello")
    elif damage == "pickle":
        np.savez(cache, **arrays | {"audio.id": np.array([{}] * 8, dtype=object)})
    elif damage == "column":
        np.savez(cache, **{k: v for k, v in arrays.items() if k != "audio.label"})
    else:
        np.savez(cache, **arrays | {"audio.x": arrays["audio.x"] * np.float32(np.nan)})
    broken = cache.read_bytes()
    again = prepare.load("fsdd", *folders)["audio"]
    np.testing.assert_array_equal(again.x, found.x)
    assert "preparing it anew" in capsys.readouterr().err
    hide_source(folders[0])
    assert len(prepare.load("fsdd", *folders)["audio"]) == 8
    cache.write_bytes(broken)
    with pytest.raises(UserError, match=r"prepared file .*fsdd\.npz.*recordings/"):
        prepare.load("fsdd", *folders)


def test_flipped_bits_of_a_cache_are_found(folders, no_network):
    """Wherever they are: in the arrays, in what zip says of them, or in its list of them."""
    found = prepare.load("fsdd", *folders)["audio"]
    cache = folders[1] / "fsdd.npz"
    whole, rng, told = cache.read_bytes(), np.random.default_rng(0), 0
    with zipfile.ZipFile(cache) as file:
        listed = file.start_dir
    hide_source(folders[0])
    for number in range(300):
        held = bytearray(whole)
        for offset in rng.integers(listed if number % 2 else 0, len(held), size=2):
            held[offset] ^= 1 << rng.integers(8)
        cache.write_bytes(held)
        try:
            again = prepare.load("fsdd", *folders)["audio"]
        except UserError as error:
            told += "is damaged" in str(error)
        else:
            np.testing.assert_array_equal(again.x, found.x)
            np.testing.assert_array_equal(again.label, found.label)
    assert told > 200


def test_a_failure_leaves_no_cache(folders):
    (folders[0] / "fsdd" / "7_theo_5.wav").write_bytes(b"no wav")
    with pytest.raises(UserError, match=r"7_theo_5\.wav: not a readable wav"):
        prepare.load("fsdd", *folders)
    assert not list(folders[1].glob("*")) if folders[1].exists() else True


def test_a_cache_that_cannot_be_written_is_no_failure(folders, capsys):
    folders[1].write_text("a file where the folder should be")
    assert len(prepare.load("fsdd", *folders)["audio"]) == 8
    assert "will be prepared again" in capsys.readouterr().err


def test_a_full_disk_under_the_cache_ends_it(folders, monkeypatch):
    def no_room(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "cache")

    monkeypatch.setattr(prepare, "_write_cache", no_room)
    with pytest.raises(OSError, match="No space"):
        prepare.load("fsdd", *folders)


def test_fingerprint_knows_the_recipe_not_the_folder(tmp_path):
    for name in ("a", "b"):
        write_folder(tmp_path / name / "fsdd", FILES)
    prints = {
        prepare.fingerprint(sorted((tmp_path / n).rglob("*.wav")), tmp_path / n, "1") for n in "ab"
    }
    assert len(prints) == 1
    paths = sorted((tmp_path / "a").rglob("*.wav"))
    assert prepare.fingerprint(paths, tmp_path / "a", "2") not in prints


def test_names(folders):
    pair = prepare.load("digits_fsdd", *folders)
    assert (pair["image"].name, pair["audio"].name) == ("digits", "fsdd")
    with pytest.raises(
        UserError, match=r"unknown data set 'mnist_fsd' \(did you mean 'mnist_fsdd'"
    ):
        prepare.load("mnist_fsd", *folders)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("mnist", r"train-images-idx3-ubyte.*into .*data/mnist, from https://storage"),
        ("reduced_mnist", r"train-images-idx3-ubyte.*into .*data/mnist, from https://storage"),
        ("fsdd", r"recordings/.* into .*data/fsdd, from https://github\.com/Jakobovski"),
        ("gsc_digits", r"nohash.* into .*data/gsc_digits, from http://download\.tensorflow"),
        ("gsc_partial", r"nohash.* into .*data/gsc_partial, from http://download\.tensorflow"),
        ("other_voices", r"voice_a.* into .*data/other_voices, from https://github\.com/secret"),
        ("audio_mnist", r"into .*data/audio_mnist, from https://github\.com/soerenab"),
        ("written_spoken", r"data_wr_train\.npy.*data/written_spoken, from https://zenodo"),
    ],
)
def test_missing_without_network(tmp_path, no_network, name, says):
    with pytest.raises(UserError, match=says) as caught:
        prepare.load(name, tmp_path / "data", tmp_path / "cache")
    assert "\n" not in str(caught.value)


def test_written_spoken_is_one_cache_for_both(tmp_path):
    folder = tmp_path / "data" / "written_spoken"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for part in ("train", "test"):
        np.save(folder / f"data_wr_{part}.npy", rng.integers(0, 256, (20, 784)))
        np.save(folder / f"data_sp_{part}.npy", rng.normal(size=(20, 507)))
        np.save(folder / f"labels_{part}.npy", np.arange(20) % 10)
    found = prepare.load("written_spoken", tmp_path / "data", tmp_path / "cache")
    hide_source(tmp_path / "data")
    cached = prepare.load("written_spoken", tmp_path / "data", tmp_path / "cache")
    for modality in ("image", "audio"):
        np.testing.assert_array_equal(found[modality].x, cached[modality].x)
        np.testing.assert_array_equal(found["image"].id, cached[modality].id)


def test_tar_and_folder_give_the_same(tmp_path, folders):
    write_tar(tmp_path / "other" / "fsdd" / "all.tar.gz", FILES)
    tar = prepare.load("fsdd", tmp_path / "other", tmp_path / "c2")["audio"]
    np.testing.assert_array_equal(tar.x, prepare.load("fsdd", *folders)["audio"].x)


@pytest.mark.slow
@pytest.mark.real
def test_fsdd_is_learned(real_data, tmp_path):
    """A plain classifier reads a random third of the real recordings."""
    from sklearn.svm import SVC

    corpus = prepare.load("fsdd", real_data, tmp_path)["audio"]
    x = corpus.x.reshape(3_000, -1)
    order = np.random.default_rng(0).permutation(3_000)
    train, test = order[:2_000], order[2_000:]
    x = (x - x[train].mean(0)) / (x[train].std(0) + 1e-6)
    model = SVC(C=10).fit(x[train], corpus.label[train])
    assert model.score(x[test], corpus.label[test]) > 0.95


def test_a_fingerprint_is_of_the_recordings_not_of_their_place(folders, tmp_path):
    first = prepare.load("fsdd", *folders)["audio"].fingerprint
    elsewhere = (folders[0].rename(tmp_path / "moved"), tmp_path / "another")
    assert first and prepare.load("fsdd", *elsewhere)["audio"].fingerprint == first
    assert prepare.load("fsdd", tmp_path / "none", elsewhere[1])["audio"].fingerprint == first
    name = next(iter(FILES))
    (elsewhere[0] / "fsdd" / name).write_bytes(wav(900, seed=999))
    assert prepare.load("fsdd", *elsewhere)["audio"].fingerprint != first


def test_what_ships_and_what_is_joined_have_fingerprints():
    found = prepare.load("bundled")
    both = prepare.load("digits+printed")["image"]
    told = {both.fingerprint, *(one.fingerprint for one in found.values())}
    assert len(told) == 3 and all(len(one) == 64 for one in told)
    assert prepare.load("bundled")["audio"].fingerprint == found["audio"].fingerprint
