import io
import os

import numpy as np
import pytest
import soundfile

from fdigits.data import features, prepare
from fdigits.data.corpora import bundled, make_bundled, synthesiser
from fdigits.errors import UserError

SAMPLES = bundled.FOLDER / bundled.SAMPLES


@pytest.fixture(scope="module")
def shipped():
    return prepare.load("bundled")


def test_counts(shipped):
    image, audio = shipped["image"], shipped["audio"]
    assert image.x.shape == (1_797, 28, 28)
    assert image.x.dtype == np.uint8
    assert audio.x.shape == (2_600, 39, 13)
    assert audio.x.dtype == np.float32
    assert np.isfinite(audio.x).all()
    assert np.bincount(audio.label).tolist() == [260] * 10
    for corpus in (image, audio):
        assert corpus.label.dtype == np.int32
        assert len(np.unique(corpus.id)) == len(corpus)
        for part, share in (("train", 0.7), ("validation", 0.15), ("test", 0.15)):
            held = corpus.part == part
            assert abs(held.mean() - share) < 0.01
            assert set(corpus.label[held]) == set(range(10))


def test_voices_are_disjoint(shipped):
    audio = shipped["audio"]
    voices = [set(audio.speaker[audio.part == part]) for part in make_bundled.PARTS]
    assert [len(names) for names in voices] == [36, 8, 8]
    assert len(set.union(*voices)) == 52
    female = set(make_bundled.FEMALE.split())
    assert all(names & female and names - female for names in voices)
    accents = {name.split("_")[1].split("+")[0] for name in audio.id}
    assert len(accents) == 8


def test_nothing_is_there_twice(shipped):
    for corpus in shipped.values():
        assert len(np.unique(corpus.x.reshape(len(corpus), -1), axis=0)) == len(corpus)


def test_files_are_small():
    assert (bundled.FOLDER / bundled.FEATURES).stat().st_size <= 3_000_000
    assert all(path.stat().st_size < 50_000 for path in SAMPLES.iterdir())


def test_a_voice_of_each_part_made_again_is_what_ships(shipped):
    audio = shipped["audio"]
    voices = ["f3", "m3"]
    made = make_bundled.speech(voices)
    assert len(made.signal) == 100
    place = {name: i for i, name in enumerate(audio.id)}
    rows = [place[name] for name in made.id]
    np.testing.assert_array_equal(audio.label[rows], made.label)
    np.testing.assert_array_equal(audio.speaker[rows], made.speaker)
    np.testing.assert_array_equal(audio.part[rows], made.part)
    found = features.extract(made)
    np.testing.assert_allclose(found, audio.x[rows], atol=0.02)  # float16


def test_pictures_made_again_are_what_ships(shipped):
    made = make_bundled.handwriting()
    image = shipped["image"]
    np.testing.assert_array_equal(made["label"], image.label)
    np.testing.assert_array_equal(made["part"], image.part)
    difference = np.abs(made["image"].astype(int) - image.x)
    assert difference.max() <= 2  # levels of 255


def test_pictures_have_the_form_of_mnist(shipped):
    x = shipped["image"].x.astype(float)
    border = np.concatenate([x[:, 0], x[:, -1], x[:, :, 0], x[:, :, -1]], axis=1)
    assert (border.max(1) > 0).mean() < 0.02  # white digits amid black paper
    assert (x.max((1, 2)) >= 250).all()
    grid = np.arange(28)
    ink = x.sum((1, 2))
    for axis in (1, 2):
        centre = (x.sum(3 - axis) * grid).sum(1) / ink
        assert np.abs(centre - 14).max() < 0.6  # MNIST's own: 13.5 to 14.5
        extent = (x.max(3 - axis) > 60).sum(1)
        assert extent.max() <= 24
    height = (x.max(2) > 60).sum(1)
    assert np.median(height) in range(17, 22)


def test_samples_are_of_the_test_part(shipped):
    held = bundled.samples()
    for digit in range(10):
        for modality in ("image", "audio"):
            corpus = shipped[modality]
            row = np.flatnonzero(corpus.id == held[modality][digit])[0]
            assert corpus.label[row] == digit
            assert corpus.part[row] == "test"
            if modality == "audio":
                signal, rate = soundfile.read(SAMPLES / f"{digit}.wav", dtype="float32")
                assert rate == 16_000
                difference = np.abs(features.mfcc(signal, rate) - corpus.x[row])
                assert difference.mean() < 0.05  # int16 once more
            else:
                from PIL import Image

                content = (SAMPLES / f"{digit}.png").read_bytes()
                picture = np.array(Image.open(io.BytesIO(content)))
                np.testing.assert_array_equal(picture, corpus.x[row])


def test_what_was_spoken_before_does_not_matter(monkeypatch):
    """More lists than processors: a worker that spoke two would carry the synthesiser's state."""
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    words = make_bundled.utterances("f2")[:4]
    lists = synthesiser.speak_lists([words] * 2)
    for spoken in lists[1:]:
        for one, other in zip(lists[0], spoken, strict=True):
            np.testing.assert_array_equal(one, other)


def test_an_unknown_voice():
    with pytest.raises(UserError, match="no voice 'en-us\\+nobody'"):
        synthesiser.speak_lists([[synthesiser.Utterance("one", "en-us+nobody", 175, 50)]])


@pytest.mark.parametrize("damage", ["flipped", "lost"])
def test_what_ships_damaged_is_told(monkeypatch, tmp_path, damage):
    held = bytearray((bundled.FOLDER / bundled.FEATURES).read_bytes())
    held[len(held) // 2] ^= 1
    held = held if damage == "flipped" else held[:1000]
    (tmp_path / bundled.FEATURES).write_bytes(held)
    monkeypatch.setattr(bundled, "FOLDER", tmp_path)
    bundled._arrays.cache_clear()
    with pytest.raises(UserError, match=r"are damaged .*: install fdigits again"):
        bundled.read("digits")
    bundled._arrays.cache_clear()
