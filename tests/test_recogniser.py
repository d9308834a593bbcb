"""The recogniser's mechanics, on experts with random weights; the shipped ones: test_pretrained."""

import json
import os
import shutil
import sys

import jax
import numpy as np
import pytest
import soundfile
from PIL import Image

from fdigits import Recogniser, predict, tasks, trained
from fdigits.config import DATA
from fdigits.data.corpora import bundled
from fdigits.errors import UserError
from fdigits.pretrained import make
from fdigits.recogniser import Opinion, together
from fdigits.tasks.task import blank_batch
from tests.test_systems import short

SAMPLES = bundled.FOLDER / bundled.SAMPLES
PICTURE, RECORDING = SAMPLES / "7.png", SAMPLES / "7.wav"


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """A folder of weights as they ship, random ones, and the run that they are of."""
    config = short("strangers", model__filters=(2, 4, 4), model__width=8, data__cache="mine")
    task = tasks.make(config)
    made = jax.jit(task.init)(jax.random.key(0), blank_batch(task.reads))
    folder = tmp_path_factory.mktemp("pretrained")
    run = trained.Trained(config, task, made["params"], made["batch_stats"], None, folder)
    make.ship(run, {"picture": 0.0, "recording": 0.0}, folder)
    return folder, run


@pytest.fixture(scope="module")
def shipped(ran):
    return ran[0]


@pytest.fixture(scope="module")
def recognise(shipped):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trained, "SHIPPED", shipped)
        yield Recogniser()


@pytest.fixture
def command(shipped, monkeypatch, capsys):
    """`predict` with arguments -> exit status, lines of stdout, stderr."""

    def run(*args):
        monkeypatch.setattr(trained, "SHIPPED", shipped)
        monkeypatch.setattr(sys, "argv", ["predict", *map(str, args)])
        try:
            predict.main()
            code = 0
        except SystemExit as ended:
            code = ended.code
        out, err = capsys.readouterr()
        return code, out.strip().splitlines(), err

    return run


def opinion(digit, *p):
    return Opinion(digit, tuple(np.array(p) / sum(p)))


def test_two_opinions_are_multiplied():
    one, other = opinion(0, 0.6, 0.4), opinion(1, 0.2, 0.8)
    np.testing.assert_allclose(together([one, other]).probabilities, [3 / 11, 8 / 11])
    assert together([one, other]).digit == 1
    assert together([one]) == one


def test_who_sees_no_digit_has_no_vote():
    one, other = opinion(0, 0.6, 0.4), opinion(None, 0.1, 0.9)
    assert together([one, other]) == one
    assert together([other]).digit is None


def test_either_alone_and_both(recognise):
    seen, heard = recognise(picture=PICTURE), recognise(recording=str(RECORDING))
    both = recognise(PICTURE, RECORDING)
    assert set(seen.modalities) == {"picture"} and set(heard.modalities) == {"recording"}
    assert seen.recording is None and heard.recording == str(RECORDING)
    product = np.multiply(seen.probabilities, heard.probabilities)
    np.testing.assert_allclose(both.probabilities, product / product.sum(), rtol=1e-5)
    assert both.modalities == seen.modalities | heard.modalities
    assert both.digit == np.argmax(product)


def test_an_opinion_below_the_least_is_none(recognise, monkeypatch):
    sure = max(recognise(picture=PICTURE).probabilities)
    monkeypatch.setattr(recognise, "least", {"picture": sure + 0.01})
    found = recognise(PICTURE, RECORDING)
    assert found.modalities["picture"].digit is None and found.digit is not None
    assert any("unlike any digit" in warning for warning in found.warnings)
    assert recognise(picture=PICTURE).digit is None


def test_neither_is_refused(recognise):
    with pytest.raises(UserError, match="a picture or a recording"):
        recognise()


def test_json_has_plain_fields(command):
    code, lines, _ = command("--picture", PICTURE, "--recording", RECORDING, "--json")
    assert code == 0 and len(lines) == 1
    found = json.loads(lines[0])
    keys = ("picture", "recording", "digit", "probabilities", "modalities", "warnings")
    assert sorted(found) == sorted(keys)
    assert found["picture"] == str(PICTURE) and len(found["probabilities"]) == 10
    assert abs(sum(found["probabilities"]) - 1) < 1e-5
    assert sorted(found["modalities"]["recording"]) == ["digit", "probabilities"]


def test_folders_and_several_files(command, tmp_path):
    for name in ("b.png", "a.png"):
        (tmp_path / name).write_bytes(PICTURE.read_bytes())
    (tmp_path / "c.png").write_text("no picture")
    code, lines, _ = command("--picture", tmp_path, SAMPLES / "1.png", "--json")
    found = [json.loads(line) for line in lines]
    assert [one["picture"].rpartition("/")[2] for one in found] == [
        "a.png",
        "b.png",
        "c.png",
        "1.png",
    ]
    assert found[2]["digit"] is None and "c.png" in found[2]["warnings"][0] and code == 1


def test_pairs_of_a_csv(command, tmp_path):
    (tmp_path / "seven.png").write_bytes(PICTURE.read_bytes())
    (tmp_path / "pairs.csv").write_text(f"picture,recording\nseven.png,{RECORDING}\n,{RECORDING}\n")
    code, lines, _ = command("--pairs", tmp_path / "pairs.csv", "--json")
    found = [json.loads(line) for line in lines]
    assert code == 0 and [one["picture"] for one in found] == [str(tmp_path / "seven.png"), None]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("a,b\n1,2\n", "must name the columns"),
        ("picture\trecording\n7.png\t7.wav\n", "must name the columns"),
        ("", "must name the columns"),
        ("picture,recording\n", "no row"),
        ("picture,recording\n7.png,\n\n,\n", "line 4: give a picture or a recording"),
        ("picture,recording\n,7\0.wav\n", "cannot be read"),
        ("picture\na,b.png\n", "line 2: it has more fields than columns"),
        ("picture,picture\n7.png,7.png\n", "two columns are called picture"),
        ("picture\n\xfc.png\n", "save it as CSV UTF-8"),
    ],
)
def test_a_csv_without_pairs_is_told(command, tmp_path, text, wanted):
    (tmp_path / "pairs.csv").write_bytes(text.encode("latin-1"))
    code, _, err = command("--pairs", tmp_path / "pairs.csv")
    assert code == 2 and wanted in err and len(err.strip().splitlines()) == 1


def test_blanks_behind_commas_hide_no_column(command, tmp_path):
    (tmp_path / "pairs.csv").write_text(f"picture, recording\n{PICTURE}, {RECORDING}\n")
    _, lines, _ = command("--pairs", tmp_path / "pairs.csv", "--json")
    assert json.loads(lines[0])["recording"] == str(RECORDING)


def test_of_a_folder_each_kind_takes_its_own_files(command, tmp_path):
    for file in (PICTURE, RECORDING, PICTURE.with_name("1.png"), RECORDING.with_name("1.wav")):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / ".hidden").mkdir()
    (tmp_path / ".hidden" / "2.png").write_bytes(PICTURE.read_bytes())
    code, lines, _ = command("--picture", tmp_path, "--recording", tmp_path, "--json")
    found = [json.loads(line) for line in lines]
    assert code == 0 and [one["picture"] for one in found] == [
        str(tmp_path / "1.png"),
        str(tmp_path / "7.png"),
    ]
    assert [one["recording"][-5:] for one in found] == ["1.wav", "7.wav"]


def test_a_folder_without_pictures_and_a_name_that_is_too_long_are_told(command, tmp_path):
    (tmp_path / "7.wav").write_bytes(RECORDING.read_bytes())
    for given, wanted in ((tmp_path, "holds no pictures"), ("x" * 5000, "name too long")):
        code, _, err = command("--picture", given)
        assert code == 2 and wanted in err


def test_a_name_that_is_no_text_is_printed(command, tmp_path):
    odd = tmp_path / os.fsdecode(b"od\xffd.png")
    odd.write_bytes(PICTURE.read_bytes())
    assert json.loads(command("--picture", odd, "--json")[1][0])["picture"] == str(odd)
    assert "od\\udcffd.png" in command("--picture", odd, PICTURE)[1][0]


def test_pictures_and_recordings_of_which_nobody_says_what_belongs_together(command):
    code, _, err = command("--picture", PICTURE, SAMPLES / "1.png", "--recording", RECORDING)
    assert code == 2 and "2 pictures and 1 recordings" in err and "--pairs" in err


def test_a_file_alone_that_cannot_be_read_is_one_line(command, tmp_path):
    (tmp_path / "no.png").write_text("no picture")
    code, lines, err = command("--picture", tmp_path / "no.png")
    assert code == 2 and not lines and len(err.strip().splitlines()) == 1


def test_the_picture_as_the_model_sees_it(command, tmp_path):
    assert command("--picture", PICTURE, "--show", tmp_path / "seen.png")[0] == 0
    assert Image.open(tmp_path / "seen.png").size == (224, 224)


def test_what_cannot_be_shown_is_told(command, tmp_path):
    code, _, err = command("--recording", RECORDING, "--show", tmp_path / "seen.png")
    assert code == 2 and "--show shows pictures" in err
    code, _, err = command("--picture", PICTURE, "--show", tmp_path / "seen.psd")
    assert code == 2 and "cannot be written" in err


def test_a_long_recording_is_refused(recognise, tmp_path):
    soundfile.write(tmp_path / "long.wav", np.zeros(121 * 1000, np.int16), 1000)
    with pytest.raises(UserError, match="121 s"):
        recognise(recording=tmp_path / "long.wav")


def test_what_ships_is_half_as_large_and_equal_to_three_digits(ran, recognise):
    folder, run = ran
    assert (folder / "weights.msgpack").stat().st_size < 20_000
    assert all(x.dtype == np.float32 for x in jax.tree.leaves(recognise.trained.params))
    for kind in ("params", "batch_stats"):
        wanted, found = getattr(run, kind), getattr(recognise.trained, kind)
        jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, 1e-3, 1e-6), wanted, found)
    assert recognise.trained.config.data.cache == DATA["cache"]


def test_a_file_that_a_run_does_not_read_is_named(recognise, monkeypatch):
    monkeypatch.setattr(recognise, "_sources", {"image": "image"}.values())
    found = recognise(PICTURE, RECORDING)
    assert [one.partition(",")[0] for one in found.warnings] == ["recording: not looked at"]
    assert found.probabilities == recognise(PICTURE).probabilities


def test_of_a_pair_what_can_be_read_is_answered(recognise, tmp_path):
    (tmp_path / "no.png").write_text("no picture")
    found = recognise(tmp_path / "no.png", RECORDING)
    assert found.probabilities == recognise(recording=RECORDING).probabilities
    assert found.picture.endswith("no.png") and set(found.modalities) == {"recording"}
    assert any("alone, since" in warning and "no.png" in warning for warning in found.warnings)
    (tmp_path / "no.wav").write_text("no sound")
    with pytest.raises(UserError, match=r"no\.png"):
        recognise(tmp_path / "no.png", tmp_path / "no.wav")


def test_folders_of_both_are_paired_by_name_or_not_at_all(command, tmp_path):
    for folder, name, source in (("a", "1.png", PICTURE), ("b", "1.wav", RECORDING)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / name).write_bytes(source.read_bytes())
    given = ("--picture", tmp_path / "a", "--recording", tmp_path / "b")
    code, lines, _ = command(*given, "--json")
    assert code == 0 and len(json.loads(lines[0])["modalities"]) == 2
    (tmp_path / "b" / "1.wav").rename(tmp_path / "b" / "2.wav")
    code, _, err = command(*given)
    assert code == 2 and "not called alike" in err


def test_columns_of_a_csv_may_stand_between_semicolons(command, tmp_path):
    (tmp_path / "pairs.csv").write_text(f"Recording;Picture\n{RECORDING};{PICTURE}\n")
    code, lines, _ = command("--pairs", tmp_path / "pairs.csv", "--json")
    found = json.loads(lines[0])
    assert code == 0 and (found["picture"], found["recording"]) == (str(PICTURE), str(RECORDING))


def test_many_pictures_are_shown_and_a_broken_one_is_black(command, tmp_path):
    for number in range(11):
        (tmp_path / f"{number:02}.png").write_bytes(PICTURE.read_bytes())
    (tmp_path / "03.png").write_text("no picture")
    code, _, _ = command("--picture", tmp_path, "--show", tmp_path / "seen.png")
    with Image.open(tmp_path / "seen.png") as shown:
        seen = np.asarray(shown).reshape(2, 224, 10, 224).swapaxes(1, 2)
    assert code == 1 and not seen[0, 3].any() and not seen[1, 1:].any()
    np.testing.assert_array_equal(seen[0, 0], seen[1, 0])


@pytest.mark.parametrize("name", ["weights.msgpack", "config.json", "thresholds.json"])
def test_a_flipped_bit_of_what_ships_is_told(shipped, monkeypatch, tmp_path, name):
    copy = shutil.copytree(shipped, tmp_path / "copy")
    held = bytearray((copy / name).read_bytes())
    held[-9] ^= 1  # of a number: nothing else would tell
    (copy / name).write_bytes(held)
    monkeypatch.setattr(trained, "SHIPPED", copy)
    with pytest.raises(UserError, match=rf"{name} is damaged\): install fdigits again"):
        Recogniser()


def test_weights_that_are_not_there_are_told(monkeypatch, tmp_path):
    monkeypatch.setattr(trained, "SHIPPED", tmp_path)
    with pytest.raises(UserError, match="install fdigits again"):
        Recogniser()


def test_two_that_disagree_are_told(recognise, monkeypatch):
    p = {"image": np.eye(10)[3] * 0.8 + 0.02, "word": np.eye(10)[5] * 0.6 + 0.04}
    monkeypatch.setattr(recognise, "probabilities", lambda inputs: p[next(iter(inputs))])
    found = recognise(PICTURE, RECORDING)
    assert found.digit == 3
    assert "the two disagree: the picture 3, the recording 5" in found.warnings
