import dataclasses
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fdigits.data.corpus import Corpus
from fdigits.data.pairing import (
    draw_partners,
    extend,
    per_class,
    split_rows,
    splits,
    validate_on_test,
)
from fdigits.errors import UserError

DRAWN = {  # crc32 of the rows that seed 1 draws of the fixture's corpora, since the first release
    ("image", "paper"): 243824065,
    ("image", "official"): 4125550693,
    ("audio", "paper"): 2988350050,
    ("audio", "speaker"): 363169224,
    ("audio", "random"): 3123958086,
}
POLICIES = ["paper", "official", "random", "speaker"]


@given(st.lists(st.integers(0, 9), min_size=1, max_size=80), st.integers(1, 4), st.integers(0, 99))
def test_partners_share_the_class_and_are_used_equally(label, copies, seed):
    label = np.array(label)
    candidates = np.repeat(np.arange(10), copies)
    partner = draw_partners(label, candidates, np.random.default_rng(seed))
    assert (candidates[partner] == label).all()
    for digit in range(10):
        uses = np.bincount(partner, minlength=len(candidates))[candidates == digit]
        assert uses.max() - uses.min() <= 1


def test_a_class_without_a_recording_is_told():
    with pytest.raises(UserError, match="digit 3"):
        draw_partners(np.array([1, 3]), np.array([1, 2]), np.random.default_rng(0))


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("modality", ["image", "audio"])
def test_parts_are_disjoint_and_seeded(corpora, policy, modality):
    corpus = corpora[modality]
    if policy == "official":
        part = np.where(np.arange(len(corpus.label)) % 5 == 4, "test", "train")
        corpus = Corpus(corpus.name, corpus.x, corpus.label, corpus.id, corpus.speaker, part)
    parts = split_rows(corpus, policy, seed=1)
    rows = np.concatenate(list(parts.values()))
    assert len(np.unique(rows)) == len(rows)
    again = split_rows(corpus, policy, seed=1)
    assert all((parts[part] == again[part]).all() for part in parts)
    other = split_rows(corpus, policy, seed=2)
    assert any(not np.array_equal(parts[part], other[part]) for part in parts)


def test_paper_splits_14_3_3_by_class_without_the_official_test(corpora):
    parts = split_rows(corpora["image"], "paper", 0)
    assert [len(parts[p]) for p in ("train", "validation", "test")] == [140, 30, 30]
    rows = np.concatenate(list(parts.values()))
    assert (corpora["image"].part[rows] == "train").all()
    counts = np.bincount(corpora["image"].label[parts["train"]])
    assert abs(counts - 14).max() < 2
    heard = dataclasses.replace(corpora["audio"], part=np.resize(["train", "test"], 120))
    audio = split_rows(heard, "paper", 0)
    assert sum(len(rows) for rows in audio.values()) == 120


def test_the_default_ratio_draws_what_it_always_drew(corpora):
    """Of recorded runs: their splits must not change."""
    digests = {
        (modality, policy): zlib.crc32(
            b"".join(
                rows.astype("<i8").tobytes()
                for rows in split_rows(corpora[modality], policy, 1).values()
            )
        )
        for modality, policy in DRAWN
    }
    assert digests == DRAWN


@pytest.mark.parametrize("ratio", [(7, 1, 2), (8, 1, 1), (1, 1, 1)])
@pytest.mark.parametrize("policy", ["paper", "random"])
def test_any_ratio_by_class(corpora, policy, ratio):
    """220 and 120 items; of the pictures `paper` leaves 20 of the official test part."""
    for modality, corpus in corpora.items():
        parts = split_rows(corpus, policy, 0, ratio=ratio)
        rows = np.concatenate(list(parts.values()))
        assert len(np.unique(rows)) == len(rows)
        assert len(rows) == (200 if (policy, modality) == ("paper", "image") else len(corpus))
        for part, share in zip(parts, ratio, strict=True):
            expected = len(rows) * share / sum(ratio)
            assert abs(len(parts[part]) - expected) <= 1
            counts = np.bincount(corpus.label[parts[part]], minlength=10)
            assert abs(counts - expected / 10).max() <= 2


def test_a_ratio_of_official_parts_and_of_speakers(corpora):
    image, audio = corpora["image"], corpora["audio"]
    parts = split_rows(image, "official", 0, ratio=(4, 1, 5))
    assert [len(parts[part]) for part in ("train", "validation", "test")] == [160, 40, 20]
    assert (image.part[parts["test"]] == "test").all()
    parts = split_rows(audio, "speaker", 0, ratio=(3, 1, 2))
    assert [len(np.unique(audio.speaker[rows])) for rows in parts.values()] == [3, 1, 2]
    assert sum(map(len, parts.values())) == 120


@pytest.mark.parametrize("ratio", [(4, 0, 1), (8, 2), (0.8, 0.1, 0.1), (8, 1, -1)])
def test_a_ratio_without_a_part_is_refused(corpora, ratio):
    with pytest.raises(UserError, match="must be three positive whole numbers"):
        split_rows(corpora["image"], "paper", 0, ratio=ratio)


def test_no_speaker_stands_in_two_parts_and_the_named_one_is_tested(corpora):
    audio = corpora["audio"]
    parts = split_rows(audio, "speaker", 0, "f")
    speakers = {part: set(audio.speaker[rows]) for part, rows in parts.items()}
    assert speakers == {"train": set("bcde"), "validation": {"a"}, "test": {"f"}}
    drawn = split_rows(audio, "speaker", 3)
    sets = [set(audio.speaker[rows]) for rows in drawn.values()]
    assert not (sets[0] & sets[1] or sets[0] & sets[2] or sets[1] & sets[2])
    with pytest.raises(UserError, match=r"data\.speaker"):
        split_rows(audio, "speaker", 0, "theo")


def test_random_keeps_identical_items_together(corpora):
    audio = corpora["audio"]
    x = np.concatenate([audio.x, audio.x])
    double = Corpus(
        "twice", x, *(np.tile(v, 2) for v in (audio.label, audio.id, audio.speaker, audio.part))
    )
    for rows in split_rows(double, "random", 0).values():
        assert set(rows % 120) == set(rows[rows < 120]) == set(rows[rows >= 120] - 120)


def make(corpora, **more):
    return splits(corpora, **dict(paired=False, policy="paper", seed=0) | more)


def test_no_recording_stands_in_two_parts_and_pairs_agree(corpora):
    used = {}
    for part, split in make(corpora).items():
        examples = split.examples()
        assert (corpora["image"].label[examples["image"]] == examples["label"]).all()
        assert (corpora["audio"].label[examples["audio"]] == examples["label"]).all()
        used[part] = set(examples["audio"])
        assert len(split) == len(examples["label"]) == len(split.ids())
    assert not (used["train"] & used["test"] or used["train"] & used["validation"])


def test_training_partners_change_with_the_epoch_and_test_partners_do_not(corpora):
    parts = make(corpora)
    one, two = parts["train"].examples(1), parts["train"].examples(2)
    assert (one["image"] == two["image"]).all() and (one["audio"] != two["audio"]).any()
    assert (one["audio"] == parts["train"].examples(1)["audio"]).all()
    test = parts["test"]
    assert (test.examples(1)["audio"] == test.examples(2)["audio"]).all()


@pytest.mark.parametrize("policy", ["random", "speaker", "official"])
def test_no_item_is_left_out(corpora, policy):
    for modality in ("image", "audio"):
        one = {modality: corpora[modality]}
        if policy == "official" and modality == "audio":
            continue  # these recordings name no test part
        if policy == "speaker" and modality == "image":
            continue
        parts = splits(one, paired=False, policy=policy, seed=3)
        held = np.concatenate([split.rows[modality] for split in parts.values()])
        assert sorted(held) == list(range(len(one[modality])))


def test_limit_and_paired_rows(corpora):
    assert len(make(corpora, limit=7)["train"]) == 7
    audio = corpora["audio"]
    image = corpora["image"]
    twins = {
        "image": Corpus("p", image.x[:120], audio.label, audio.id, np.full(120, ""), audio.part),
        "audio": Corpus("p", audio.x, audio.label, audio.id, np.full(120, ""), audio.part),
    }
    parts = make(twins, paired=True)
    examples = parts["train"].examples(5)
    assert (examples["image"] == examples["audio"]).all()
    assert list(parts["train"].ids()) == list(audio.id[examples["image"]])
    with pytest.raises(UserError, match="names no speakers"):
        make(twins, paired=True, policy="speaker")


def test_spectrograms_split_and_pair_as_mfcc_do(corpora):
    audio = corpora["audio"]
    x = (np.arange(120)[:, None, None] + np.zeros((128, 128))).astype(np.uint8)
    pictures = dataclasses.replace(audio, x=x, part=np.resize(["train", "test"], 120))
    audio = dataclasses.replace(audio, part=pictures.part)
    for policy in POLICIES:
        expected, found = split_rows(audio, policy, 1), split_rows(pictures, policy, 1)
        for part in expected:
            held = set(expected[part]), set(found[part])
            # `random` draws groups of equal items in the order of their content
            assert held[0] == held[1] if policy != "random" else len(held[0]) == len(held[1])
    parts = make({"spectrogram": pictures, "image": corpora["image"]})
    one, two = parts["train"].ids()[0].split("|")
    assert one.startswith("pictures/") and two.startswith("words/")
    alone = make({"spectrogram": pictures})["test"]
    assert list(alone.ids()) == list(pictures.id[alone.rows["spectrogram"]])


def without(corpus: Corpus, digit: int) -> Corpus:
    return corpus.take(corpus.label != digit)


def test_what_is_not_read_may_lack_a_class(corpora):
    """A model of pictures alone runs where some digit was never spoken."""
    few = corpora | {"audio": without(corpora["audio"], 3)}
    with pytest.raises(UserError, match="no item of digit 3"):
        make(few)["test"].examples()
    with pytest.raises(UserError, match="no item of digit 3"):
        make(few, reads=["image", "audio"])["test"].examples()
    for split in make(few, reads=["image"]).values():
        examples = split.examples()
        lacking = examples["label"] == 3
        assert lacking.any() and not lacking.all()
        assert (examples["audio"][lacking] == -1).all()
        assert (
            few["audio"].label[examples["audio"][~lacking]] == examples["label"][~lacking]
        ).all()
        ids = np.array([name.split("|") for name in split.ids()])
        assert (ids[:, 0] == few["image"].id[examples["image"]]).all()
        assert ((ids[:, 1] == "") == lacking).all()
        assert list(ids[~lacking, 1]) == list(few["audio"].id[examples["audio"][~lacking]])


def test_what_is_read_may_not_lack_a_class(corpora):
    """The pictures lead, so a model of recordings would be asked for words never spoken."""
    few = corpora | {"audio": without(corpora["audio"], 3)}
    with pytest.raises(UserError, match="no item of digit 3"):
        make(few, reads=["audio"])["train"].examples(1)


@given(st.sampled_from([(), ("image",), ("audio",), ("image", "audio")]), st.integers(0, 9))
def test_what_is_read_changes_no_draw(reads, seed):
    both = {"image": pictures(0), "audio": spoken()}
    one = make(both, seed=seed)
    other = make(both, seed=seed, reads=reads)
    for part, split in one.items():
        for epoch in (0, 1, 2):
            expected, found = split.examples(epoch), other[part].examples(epoch)
            assert expected.keys() == found.keys()
            assert all(np.array_equal(expected[k], found[k]) for k in expected)
        assert list(split.ids()) == list(other[part].ids())


def spoken() -> Corpus:
    label = np.resize(np.arange(10, dtype=np.int32), 120)
    ids = np.array([f"words/{i}" for i in range(120)])
    x = np.zeros((120, 39, 13), np.float32)
    return Corpus("words", x, label, ids, np.full(120, ""), np.full(120, "train"))


@given(st.sampled_from(["image", "audio"]), st.booleans(), st.integers(0, 9))
def test_a_renamed_modality_has_the_same_examples(modality, paired, seed):
    both = {"image": pictures(0), "audio": spoken()}
    if paired:
        both["image"] = dataclasses.replace(both["audio"], x=pictures(0).x[:120])
    for split in make(both, seed=seed, paired=paired, reads=["image"]).values():
        new = split.renamed(modality, "code")
        old, found = split.examples(2), new.examples(2)
        names = {m: "code" if m == modality else m for m in old}
        assert all(np.array_equal(old[m], found[names[m]]) for m in old)
        assert set(new.rows) == set(new.corpora) == {"code", "image", "audio"} - {modality}
        kinds = {split.lead: new.lead}
        assert kinds[split.lead] == names[split.lead]
        halves = [name.split("|") for name in split.ids()]
        swapped = [[*reversed(h)] if modality == "image" else h for h in halves]
        assert list(new.ids()) == ["|".join(h) for h in swapped]  # known modalities, then others


def test_a_wrong_new_name_is_refused(corpora):
    train = make(corpora)["train"]
    with pytest.raises(UserError, match="modality 'sound' is unknown"):
        train.renamed("sound", "code")
    with pytest.raises(UserError, match="audio cannot be called image"):
        train.renamed("audio", "image")
    alone = make({"audio": corpora["audio"]})["train"].renamed("audio", "code")
    assert list(per_class(alone, 2).ids()) == list(alone.ids()[np.sort(first_two(alone))])
    with pytest.raises(UserError, match="pictures alone, not of code"):
        extend(alone, np.zeros((1, 28, 28), np.uint8), np.zeros(1), np.array(["a"]))


def first_two(split) -> np.ndarray:
    label = split.examples()["label"]
    return np.concatenate([np.flatnonzero(label == digit)[:2] for digit in range(10)])


def test_only_pictures_leave_the_official_test_part_out(corpora):
    """Told by the table of modalities: other things may be 28 x 28."""
    images = corpora["image"]
    other = dataclasses.replace(images, x=images.x.astype(np.float32))
    assert sum(map(len, split_rows(other, "paper", 0).values())) == 220
    assert sum(map(len, split_rows(images, "paper", 0).values())) == 200


def test_the_old_word_is_told(corpora):
    with pytest.raises(UserError, match="'report' is now called 'paper'"):
        split_rows(corpora["image"], "report", 0)


@given(st.integers(0, 30), st.integers(0, 60), st.integers(0, 99))
def test_further_pictures_follow_those_of_the_split(m, limit, seed):
    images = pictures(seed)
    parts = make({"image": images}, limit=limit)
    rng = np.random.default_rng(seed)
    x, label = rng.integers(0, 256, (m, 28, 28)).astype(np.uint8), rng.integers(0, 10, m)
    names = np.array([f"generated/{i}/{'long' * 9}" for i in range(m)], dtype=str)
    before = parts["train"]
    after = extend(before, x, label, names)
    assert len(after) == len(before) + m
    assert list(after.ids()) == list(before.ids()) + list(names)
    rows, labels = after.examples()["image"], after.examples()["label"]
    assert len(np.unique(rows)) == len(rows)
    whole = after.corpora["image"]
    np.testing.assert_array_equal(labels, np.append(before.examples()["label"], label))
    np.testing.assert_array_equal(whole.x[rows][len(before) :], x)
    np.testing.assert_array_equal(whole.x[rows][: len(before)], images.x[rows[: len(before)]])
    assert len(images) == 200 and parts["test"].corpora["image"] is images


def pictures(seed: int) -> Corpus:
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 256, (200, 28, 28)).astype(np.uint8)
    ids = np.array([f"train/{i}" for i in range(200)])
    label = rng.integers(0, 10, 200).astype(np.int32)
    return Corpus("pictures", x, label, ids, np.full(200, ""), np.full(200, "train"))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"image_Mx28x28": np.zeros((2, 14, 14), np.uint8)}, r"of shape \(14, 14\)"),
        (
            {"image_Mx28x28": np.zeros((2, 28, 28), np.float32)},
            "float32 of shape .*, expected uint8",
        ),
        ({"image_Mx28x28": np.zeros((2, 128, 128), np.uint8)}, r"\(128, 128\)"),
        ({"image_Mx28x28": np.zeros((3, 28, 28), np.uint8)}, "3 x but 2 labels"),
        ({"label_M": np.array([1, 10])}, "label 10"),
        ({"id_M": np.array(["a", "a"])}, "occurs twice"),
        ({"id_M": np.array(["a", "train/7"])}, "pictures and further pictures: .* occurs twice"),
    ],
)
def test_wrong_further_pictures(change, says):
    good = dict(
        image_Mx28x28=np.zeros((2, 28, 28), np.uint8),
        label_M=np.array([1, 2]),
        id_M=np.array(["a", "b"]),
    )
    with pytest.raises(UserError, match=says):
        extend(make({"image": pictures(0)})["train"], **good | change)


@given(st.integers(1, 9), st.integers(0, 99), st.integers(0, 120))
def test_the_first_of_each_class(n, seed, limit):
    split = make({"image": pictures(seed)}, seed=seed, limit=limit)["train"]
    ids, label = split.ids(), split.examples()["label"]
    least = np.bincount(label, minlength=10).min()
    if least < n:
        told = "raise data.limit" if limit else "choose a larger data set"
        with pytest.raises(UserError, match=rf"is {n}, but .*pictures has {least} items.*{told}"):
            per_class(split, n)
        return
    few = per_class(split, n)
    expected = [name for i, name in enumerate(ids) if (label[:i] == label[i]).sum() < n]
    assert list(few.ids()) == expected
    assert len(few) == 10 * n
    assert set(few.ids()) <= set(per_class(split, least).ids())


def test_pictures_with_recordings_are_neither_extended_nor_thinned(corpora):
    both = make(corpora)["train"]
    with pytest.raises(UserError, match="pictures alone, not of image and audio"):
        extend(both, np.zeros((1, 28, 28), np.uint8), np.zeros(1), np.array(["a"]))
    with pytest.raises(UserError, match="one modality alone, not of image and audio"):
        per_class(both, 3)
    heard = make({"audio": corpora["audio"]})["train"]
    with pytest.raises(UserError, match="pictures alone, not of audio"):
        extend(heard, np.zeros((1, 28, 28), np.uint8), np.zeros(1), np.array(["a"]))
    assert len(per_class(heard, 2)) == 20


def test_the_papers_protocol_trains_on_the_validation_part(corpora):
    parts = splits({"image": corpora["image"]}, paired=False, policy="paper", seed=0)
    found = validate_on_test(parts)
    both = np.concatenate([parts[part].rows["image"] for part in ("train", "validation")])
    np.testing.assert_array_equal(found["train"].rows["image"], both)
    assert len(found["train"]) == 170 and found["validation"] is found["test"] is parts["test"]
