import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fdigits.data.corpus import Corpus
from fdigits.data.pairing import draw_partners, split_rows, splits
from fdigits.errors import UserError

POLICIES = ["report", "official", "random", "speaker"]


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


def test_report_splits_14_3_3_by_class_without_the_official_test(corpora):
    parts = split_rows(corpora["image"], "report", 0)
    assert [len(parts[p]) for p in ("train", "validation", "test")] == [140, 30, 30]
    rows = np.concatenate(list(parts.values()))
    assert (corpora["image"].part[rows] == "train").all()
    counts = np.bincount(corpora["image"].label[parts["train"]])
    assert abs(counts - 14).max() < 2
    heard = dataclasses.replace(corpora["audio"], part=np.resize(["train", "test"], 120))
    audio = split_rows(heard, "report", 0)
    assert sum(len(rows) for rows in audio.values()) == 120


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
    return splits(corpora, **dict(paired=False, policy="report", seed=0) | more)


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
