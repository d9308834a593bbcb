import shutil

import numpy as np
import pytest
import soundfile
from PIL import Image

from fdigits.config import parse_arg
from fdigits.data import audit, datasets, pairing, prepare
from fdigits.data.corpora import folder
from fdigits.errors import UserError
from tests.data.source_files import wav, write_folder

DIGITS = range(10)


@pytest.fixture(scope="module")
def bundled():
    return prepare.load("digits")["image"]


@pytest.fixture(scope="module")
def own(tmp_path_factory, bundled):
    """A folder of both kinds, three of each digit; its name holds what names are made of."""
    root = tmp_path_factory.mktemp("own") / "my digits+a_b,c=d"
    for digit in DIGITS:
        (root / str(digit)).mkdir(parents=True)
        for take, row in enumerate(np.flatnonzero(bundled.label == digit)[:3]):
            Image.fromarray(bundled.x[row]).save(root / f"{digit}/{take}.png")
            (root / f"{digit}/{take}.wav").write_bytes(wav(4_000, seed=10 * digit + take))
    return root


@pytest.fixture
def copy(own, tmp_path):
    return shutil.copytree(own, tmp_path / "digits")


def load(name, tmp_path, **wanted):
    return prepare.load(name, tmp_path / "data", tmp_path / "cache", **wanted)


def test_a_folder_of_both_kinds_is_a_pair(own, tmp_path, bundled):
    name = f"folder:{own}"
    found = load(name, tmp_path)
    assert {modality: one.x.shape for modality, one in found.items()} == {
        "image": (30, 28, 28),
        "audio": (30, 39, 13),
    }
    for one in found.values():
        assert one.name == "my digits+a_b,c=d"
        assert np.bincount(one.label).tolist() == [3] * 10
    assert found["image"].id[:2].tolist() == ["0/0.png", "0/1.png"]
    first = bundled.x[np.flatnonzero(bundled.label == 7)[0]]
    np.testing.assert_array_equal(found["image"].x[21], first)  # in MNIST's form: as it is
    assert datasets.title(name) == "my digits+a_b,c=d × my digits+a_b,c=d"
    assert datasets.default_split(name) == "random" and not datasets.is_paired(name)
    parts = pairing.splits(found, paired=False, policy="random", seed=0)
    assert {part: len(split) for part, split in parts.items()} == {
        **{"train": 21, "validation": 5, "test": 4}
    }
    again = datasets.find("+".join(one.name for one in datasets.find(name)[:1]))
    assert [one.modalities for one in again] == [("image",)]  # a record's name finds it alone


def test_recordings_are_those_of_a_corpus(tmp_path):
    files = {f"{digit}_theo_{take}.wav": wav(900 + take, seed=digit) for digit in (0, 7) for take in
             range(2)}  # fmt: skip
    write_folder(tmp_path / "data/fsdd", files)
    write_folder(tmp_path / "own", {f"{name[0]}/{name}": wave for name, wave in files.items()})
    theirs, ours = load("fsdd", tmp_path), load(f"folder:{tmp_path / 'own'}", tmp_path)
    np.testing.assert_array_equal(ours["audio"].x, theirs["audio"].x)
    assert [name[2:-4] for name in ours["audio"].id] == theirs["audio"].id.tolist()
    word = load(f"recordings:{tmp_path / 'own'}", tmp_path, modalities=["word"])["word"]
    assert word.x.shape == (4, 10_000)


def test_several_rates_and_forms(tmp_path):
    root = tmp_path / "own"
    for digit, (end, rate) in enumerate((("wav", 8_000), ("flac", 44_100), ("ogg", 16_000))):
        (root / folder.WORDS[digit].title() / "anna").mkdir(parents=True)
        tone = np.sin(np.arange(rate) * 880 * np.pi / rate) / 2
        tones = np.stack([tone, tone], 1)
        soundfile.write(root / folder.WORDS[digit].title() / f"anna/x.{end}", tones, rate)
    reader = folder.Folder(root, "audio")
    found = reader.read(reader.find(root))
    assert (found.rate, [len(one) for one in found.signal]) == (16_000, [16_000] * 3)
    assert dict(zip(found.id.tolist(), found.label.tolist(), strict=True)) == {
        **{"One/anna/x.flac": 1, "Two/anna/x.ogg": 2, "Zero/anna/x.wav": 0}
    }


def test_pairs_and_joins_with_other_sets(own):
    def names(name):
        return [one.name for one in datasets.find(name)]

    pictures, recordings = f"pictures:{own}", f"recordings:{own}"
    assert names(f"folder:{own}") == [pictures, recordings]
    assert names(f"digits_folder:{own}") == ["digits", recordings]
    assert names(f"espeak_folder:{own}") == [pictures, "espeak"]
    assert names(f"digits+folder:{own}") == [f"digits+{pictures}"]
    assert names(f"pictures:{own}+digits") == [f"{pictures}+digits"]
    assert names(f"digits_fsdd+folder:{own}") == ["digits", f"fsdd+{recordings}"]
    assert names(f"{pictures}+digits") == names(names(f"{pictures}+digits")[0])
    assert datasets.default_split(f"digits+folder:{own}") == "paper"
    for name, says in {
        f"digits_pictures:{own}": "make no pair",
        f"written_spoken_folder:{own}": "make no pair",
        f"digits_fsdd_folder:{own}": "make no pair",
        f"digits+recordings:{own}": "only sets of one kind",
        f"{pictures}+{pictures}": "there twice, or two have one name",
        f"digit_folder:{own}": "unknown data set 'digit'",
        f"foldr:{own}": "unknown data set",
    }.items():
        with pytest.raises(UserError, match=says):
            datasets.find(name)


def test_joined_items_keep_their_set(own, tmp_path):
    found = load(f"folder:{own}+digits".replace("folder", "pictures"), tmp_path)["image"]
    assert {name.split("/")[0] for name in found.id} == {own.name, "digits"}


def test_a_place_is_found_from_home_and_from_here(own, monkeypatch):
    monkeypatch.setenv("HOME", str(own.parent))
    monkeypatch.chdir(own)
    for place in (f"~/{own.name}", ".", f"{own}/", f"../{own.name}"):
        assert datasets.find(f"pictures:{place}")[0].name == f"pictures:{own}"


def test_another_folder_or_another_file_is_read_anew(copy, tmp_path, monkeypatch):
    name = f"pictures:{copy}"
    before = load(name, tmp_path)["image"]
    with monkeypatch.context() as patched:
        patched.setattr(prepare, "build", lambda *_: pytest.fail("did not use the cache"))
        cached = load(name, tmp_path)["image"]
        assert cached.name == before.name
        np.testing.assert_array_equal(cached.x, before.x)
    (copy / "3/0.png").rename(copy / "4/00.png")
    assert np.bincount(load(name, tmp_path)["image"].label)[[3, 4]].tolist() == [2, 4]
    shutil.copy(copy / "1/0.png", copy / "2/0.png")  # other pixels, the same name
    now = load(name, tmp_path)["image"]
    (changed,) = now.x[now.id == "2/0.png"]
    np.testing.assert_array_equal(changed, before.x[before.id == "1/0.png"][0])
    other = tmp_path / "other/digits"
    shutil.copytree(copy / "5", other / "5")
    assert len(load(f"pictures:{other}", tmp_path)["image"]) == 3
    shutil.rmtree(copy)
    with pytest.raises(UserError, match="no such file or directory"):
        load(name, tmp_path)  # the cache is of a folder, which is gone


def test_what_cannot_be_read_is_told_at_each_start(copy, tmp_path, capsys):
    shutil.rmtree(copy / "4")
    (copy / "5/0.png").write_bytes(b"<html>")
    (copy / "5/new.heic").write_bytes(b"heic")
    (copy / "5/._0.png").write_bytes(b"hidden")
    (copy / "5/notes.txt").write_bytes(b"no picture")
    (copy / "6/0.wav").write_bytes(b"")
    soundfile.write(copy / "6/1.wav", np.full(800, np.nan, np.float32), 8_000, subtype="FLOAT")
    Image.new("L", (60, 60), 255).save(copy / "7/0.png")
    for _ in range(2):
        found = load(f"folder:{copy}", tmp_path)
        assert [len(one) for one in found.values()] == [26, 25]
        told = capsys.readouterr().err.splitlines()
        assert len(told) == 5
        assert "2 of 28 pictures cannot be read and are left out: 5/0.png, 5/new.heic; " in told[0]
        assert told[0].endswith(
            "; 5/0.png cannot be read as a picture (cannot identify image file '5/0.png'): give a "
            "PNG or JPEG"
        )
        assert told[1].endswith("there are no pictures of 4")
        assert told[2].endswith("in 1 of 26 pictures nothing is seen: 7/0.png")
        assert "2 of 27 recordings cannot be read and are left out: 6/0.wav, 6/1.wav; " in told[3]


def test_a_file_that_may_not_be_read(own, tmp_path, monkeypatch):
    monkeypatch.setattr(folder.Folder, "find", lambda *_: [own / "0"])  # no file: as if forbidden
    with pytest.raises(UserError, match=r"/0 cannot be read \(Is a directory\): mend it, or move"):
        load(f"pictures:{own}", tmp_path)


def test_folders_that_are_none(tmp_path):
    for name, says in {
        "gone": "gone: no such file or directory",
        "file": "file: not a directory",
        "empty": "holds no digits: expected are folders 0 to 9 or zero to nine",
        "parts": "parts/test has some",
        "sound": "sound holds no pictures of digits",
        "broken": r"broken: not one picture can be read; .*0\.png cannot be read as a picture",
    }.items():
        path = tmp_path / name
        if name == "file":
            path.write_bytes(b"")
        elif name != "gone":
            write_folder(path, {"readme.txt": b"", "seven.png": b""})
        if name == "parts":
            write_folder(path, {"train/7/a.png": b"", "test/7/a.png": b""})
        if name == "sound":
            write_folder(path, {"7/a.wav": wav()})
        if name == "broken":
            write_folder(path, {"7/0.png": b"", "8/0.png": b""})
        with pytest.raises(UserError, match=says) as told:
            load(f"pictures:{path}" if name == "sound" else f"folder:{path}", tmp_path)
        assert "\n" not in str(told.value)


def test_audit(own, tmp_path, capsys):
    audit.main([f"folder:{own}", "--cache-dir", str(tmp_path)])
    told = capsys.readouterr().out
    assert "split random, seed 0" in told
    assert "· image: items per class" in told
    assert "+1627.0" in told  # the recordings' offset, before features


def test_a_config_takes_a_place():
    def parsed(arg):
        return parse_arg(arg, data="bundled", net="cnn")

    assert parsed("folder:~/my a=b digits, 2,net=lstm") == {
        **{"data": "folder:~/my a=b digits, 2", "net": "lstm"}
    }
    assert parsed("net=lstm,mnist_folder:a,b") == {"data": "mnist_folder:a,b", "net": "lstm"}
    with pytest.raises(UserError, match=r"'nets=lstm': no such key .did you mean 'net'"):
        parsed("folder:a,nets=lstm")
