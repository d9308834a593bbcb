import numpy as np
import pytest

from fdigits.data import datasets, prepare
from fdigits.data.corpus import MODALITIES, PARTS, RECORDED
from fdigits.data.datasets import DATASETS, Dataset
from fdigits.errors import UserError


def names(name: str) -> list[str]:
    return [one.name for one in datasets.find(name)]


@pytest.mark.parametrize(
    ("name", "members", "title", "split"),
    [
        ("mnist_fsdd", ["mnist", "fsdd"], "MNIST × FSDD", "paper"),
        (
            "reduced_mnist_audio_mnist",
            ["reduced_mnist", "audio_mnist"],
            "reduced MNIST × AudioMNIST",
            "paper",
        ),
        (
            "bundled",
            ["digits", "espeak"],
            "scikit-learn digits × eSpeak NG (synthetic speech)",
            "official",
        ),
        ("digits", ["digits"], "scikit-learn digits", "official"),
        ("espeak", ["espeak"], "eSpeak NG (synthetic speech)", "official"),
        ("gsc_digits", ["gsc_digits"], "Speech Commands digits", "paper"),
        ("written_spoken", ["written_spoken"], "Written and Spoken Digits", "paper"),
    ],
)
def test_a_name_is_its_records(name, members, title, split):
    assert names(name) == members
    assert datasets.title(name) == title
    assert datasets.default_split(name) == split
    assert datasets.is_paired(name) == (name == "written_spoken")


def test_joined_sets_are_one():
    image, voices = datasets.find("mnist_fsdd+gsc_partial+espeak")
    assert image.name == "mnist"
    assert [one.name for one in voices.joins] == ["fsdd", "gsc_partial", "espeak"]
    assert voices.name == "fsdd+gsc_partial+espeak"
    assert voices.modalities == RECORDED and not voices.disjoint
    assert datasets.title("digits_gsc_digits+gsc_partial") == (
        "scikit-learn digits × Speech Commands digits + Speech Commands, four digits in number"
    )
    assert datasets.find("gsc_digits+gsc_partial")[0].disjoint
    assert datasets.default_split("mnist_fsdd+gsc_partial") == "paper"
    assert not datasets.is_paired("mnist_fsdd+gsc_partial")
    assert names("mnist+digits") == ["mnist+digits"]
    for name, says in (
        ("fsdd+fsdd", "a data set is there twice"),
        ("fsdd+mnist", "only sets of one kind"),
        ("fsdd+written_spoken", "only sets of one kind"),
        ("fsdd+gsc_partail", "did you mean 'gsc_partial'"),
        ("fsdd+", "unknown data set ''"),
        ("fsdd+mnist_gsc_digits", "only sets of one kind"),
    ):
        with pytest.raises(UserError, match=says) as told:
            datasets.find(name)
        assert "\n" not in str(told.value)


def test_an_unknown_name():
    for ask in (datasets.find, datasets.default_split, datasets.is_paired):
        with pytest.raises(UserError, match=r"'mnist_fsd' \(did you mean 'mnist_fsdd'\?\)"):
            ask("mnist_fsd")
    assert datasets.title("of_a_later_version") == "of_a_later_version"


@pytest.mark.parametrize("record", DATASETS.values(), ids=lambda one: one.name)
def test_records_are_whole(record):
    assert record.split in ("paper", "official", "random", "speaker")
    if record.members:
        assert not record.modalities and {*record.members} <= DATASETS.keys()
        return
    assert record.title and {*record.modalities} <= MODALITIES.keys()
    assert record.recorded == (record.modalities == RECORDED)
    if record.ships or record.made:
        assert callable(record.reader.read)
    else:
        assert record.folders == record.reader.FOLDERS
        assert record.needs and record.home


def test_official_parts_that_share_no_speaker():
    assert [one.name for one in DATASETS.values() if one.disjoint] == [
        "gsc_digits",
        "audio_mnist",
        "gsc_partial",
        "voices",
        "espeak",
        "written_spoken",
    ]
    heard = prepare.load("espeak")["audio"]
    voices = [set(heard.speaker[heard.part == part]) for part in PARTS]
    assert sum(map(len, voices)) == len(set.union(*voices))


def test_a_new_record_makes_pairs_and_has_a_title(monkeypatch):
    monkeypatch.setitem(DATASETS, "mine", Dataset("mine", "my own", modalities=("image",)))
    monkeypatch.setitem(DATASETS, "ours", Dataset("ours", "our voices", modalities=RECORDED))
    for name, members in {
        "mine_fsdd": ["mine", "fsdd"],
        "mine_ours": ["mine", "ours"],
        "mnist_ours": ["mnist", "ours"],
    }.items():
        assert names(name) == members
    assert datasets.title("mine_ours") == "my own × our voices"
    with pytest.raises(
        UserError, match=r"unknown data set 'ours_mine'.* mine, ours and <image set>"
    ):
        datasets.find("ours_mine")


def test_what_is_read_has_the_stored_items_form():
    for name, modality in MODALITIES.items():
        read = modality.read[:-1] if name == "spectrogram" else modality.read
        assert read == modality.shape
        assert np.dtype(modality.dtype).name == modality.dtype
