import subprocess
import sys
import textwrap

import numpy as np
import pytest

from fdigits.data import download, prepare
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
    import dataclasses

    closed = "http://127.0.0.1:9/"
    for name, source in download.SOURCES.items():
        files = tuple(dataclasses.replace(file, url=closed + file.name) for file in source.files)
        record = source.record and closed
        monkeypatch.setitem(
            download.SOURCES, name, dataclasses.replace(source, files=files, record=record)
        )


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
    loaded = prepare.load("digits_fsdd", *folders, spectrogram=True)
    assert set(loaded) == {"image", "spectrogram"}
    found = loaded["spectrogram"]
    assert (found.x.shape, found.x.dtype) == ((8, 128, 128), np.uint8)
    assert found.x.max() > 150
    monkeypatch.setattr(prepare, "build", lambda *_: pytest.fail("did not use the cache"))
    hide_source(folders[0])
    cached = prepare.load("fsdd", *folders, spectrogram=True)["spectrogram"]
    for column in ("x", "label", "id", "speaker", "part"):
        np.testing.assert_array_equal(getattr(found, column), getattr(cached, column))
    for column in ("label", "id", "speaker", "part"):
        np.testing.assert_array_equal(getattr(found, column), getattr(audio, column))
    assert (folders[1] / "fsdd.npz").read_bytes() == before
    assert len(prepare.load("fsdd", *folders)["audio"]) == 8


def test_each_kind_has_its_own_version(folders, monkeypatch):
    prepare.load("fsdd", *folders)
    prepare.load("fsdd", *folders, spectrogram=True)
    monkeypatch.setitem(prepare.VERSIONS, "spectrogram", "0.0")
    built = []
    build = prepare.build
    monkeypatch.setattr(prepare, "build", lambda *args: built.append(args[-1]) or build(*args))
    prepare.load("fsdd", *folders)
    prepare.load("fsdd", *folders, spectrogram=True)
    assert built == ["spectrogram"]


@pytest.mark.parametrize("damage", ["cut", "shape", "mfcc"])
def test_damaged_cache_of_spectrograms(folders, damage, capsys, no_network):
    found = prepare.load("fsdd", *folders, spectrogram=True)["spectrogram"]
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
    again = prepare.load("fsdd", *folders, spectrogram=True)["spectrogram"]
    np.testing.assert_array_equal(again.x, found.x)
    assert "preparing it anew" in capsys.readouterr().err
    hide_source(folders[0])
    cache.write_bytes(broken)
    with pytest.raises(UserError, match=r"prepared file .*fsdd\.spectrogram\.npz.*recordings/"):
        prepare.load("fsdd", *folders, spectrogram=True)


def test_spectrograms_of_shipped_mfcc_and_of_none():
    whole = prepare.load("bundled", spectrogram=True)
    assert set(whole) == {"image", "spectrogram"}
    audio, pictures = prepare.load("espeak")["audio"], whole["spectrogram"]
    assert (pictures.x.shape, pictures.x.dtype) == ((len(audio), 128, 128), np.uint8)
    np.testing.assert_array_equal(pictures.id, audio.id)
    assert set(prepare.load("digits", spectrogram=True)) == {"image"}
    with pytest.raises(UserError, match="written_spoken has MFCC only") as caught:
        prepare.load("written_spoken", spectrogram=True)
    assert "\n" not in str(caught.value)


def test_the_cache_alone_needs_numpy_only(folders):
    prepare.load("fsdd", *folders)
    prepare.load("fsdd", *folders, spectrogram=True)
    hide_source(folders[0])
    program = f"""
        import sys
        hidden = ("librosa", "soundfile", "sklearn", "scipy", "joblib", "numba", "tensorflow",
                  "tensorflow_datasets", "espeakng_loader", "PIL", "jax")
        for name in hidden:
            sys.modules[name] = None
        from fdigits.data import prepare
        folders = {str(folders[0])!r}, {str(folders[1])!r}
        assert len(prepare.load("digits_fsdd", *folders)["audio"]) == 8
        assert len(prepare.load("bundled")["audio"]) > 2000
        assert len(prepare.load("digits_fsdd", *folders, spectrogram=True)["spectrogram"]) == 8
        assert len(prepare.load("espeak", spectrogram=True)["spectrogram"]) > 2000
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


def test_a_failure_leaves_no_cache(folders):
    (folders[0] / "fsdd" / "7_theo_5.wav").write_bytes(b"no wav")
    with pytest.raises(UserError, match=r"7_theo_5\.wav: not a readable wav"):
        prepare.load("fsdd", *folders)
    assert not list(folders[1].glob("*")) if folders[1].exists() else True


def test_a_cache_that_cannot_be_written_is_no_failure(folders, capsys):
    folders[1].write_text("a file where the folder should be")
    assert len(prepare.load("fsdd", *folders)["audio"]) == 8
    assert "will be prepared again" in capsys.readouterr().err


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
    assert prepare.members("reduced_mnist_audio_mnist") == ("reduced_mnist", "audio_mnist")
    assert prepare.members("bundled") == ("digits", "espeak")
    assert prepare.is_paired("written_spoken")
    assert not prepare.is_paired("mnist_fsdd")
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
