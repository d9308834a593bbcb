"""What a run left is made again from its checkpoint, to the same bytes."""

import dataclasses
import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from fdigits import checkpoint, embed, evaluate, report, train, trained
from fdigits.data import prepare
from fdigits.errors import UserError
from fdigits.explain import __main__ as explain
from fdigits.report import __main__ as command
from fdigits.report import artifacts
from fdigits.run import run
from tests.test_systems import short


def digests(folder, pattern):
    files = sorted(folder.rglob(pattern))
    return {str(f.relative_to(folder)): hashlib.sha256(f.read_bytes()).hexdigest() for f in files}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("run")
    run(short("weighted_fusion", epochs=3), workdir)
    return workdir


@pytest.mark.slow
def test_all_arrays_deleted_both_commands_draw_the_same(finished, tmp_path, capsys):
    page, arrays = digests(finished / "figures", "*.png"), digests(finished, "*.npz")
    assert len(page) > 8 and len(arrays) == 5
    embed.main([str(finished), "--out", str(tmp_path / "before")])
    before = digests(tmp_path / "before", "*")
    assert len(before) == 4 and {Path(name).suffix for name in before} == {".png", ".csv"}
    for name in arrays:
        (finished / name).unlink()
    command.main([str(finished), "--out", str(tmp_path / "page")])
    said = " ".join(capsys.readouterr().err.split())  # a long path wraps the line
    assert "made again from the checkpoint" in said
    assert digests(tmp_path / "page" / "figures", "*.png") == page
    assert digests(finished, "*.npz") == arrays
    for name in arrays:
        (finished / name).unlink()
    embed.main([str(finished), "--out", str(tmp_path / "after")])
    assert digests(tmp_path / "after", "*") == before


def test_the_same_launch_makes_them_again(finished, monkeypatch):
    monkeypatch.setattr(report, "write", lambda *args: "none")
    others = {file: file.stat().st_mtime_ns for file in finished.glob("*.npz")}
    others.pop(finished / "embeddings.npz", None)
    (finished / "embeddings.npz").unlink(missing_ok=True)
    run(short("weighted_fusion", epochs=3), finished)
    assert (finished / "embeddings.npz").is_file()
    assert {file: file.stat().st_mtime_ns for file in others} == others  # they stay as they are


def test_the_folders_given_now_are_read(finished, monkeypatch):
    seen = []
    monkeypatch.setattr(evaluate, "prepared", lambda config, *_: seen.append(config) or 1 / 0)
    lost = (finished / "embeddings.npz").read_bytes()
    (finished / "embeddings.npz").unlink()
    given = {"data__dir": "elsewhere", "data__cache": "other"}
    with pytest.raises(ZeroDivisionError):
        run(short("weighted_fusion", epochs=3, **given), finished)
    (finished / "embeddings.npz").write_bytes(lost)
    assert (seen[0].data.dir, seen[0].data.cache) == ("elsewhere", "other")


@pytest.mark.parametrize("change", ["labels", "ids"])
def test_other_data_than_the_runs_change_nothing(finished, tmp_path, monkeypatch, change, capsys):
    copy = shutil.copytree(finished, tmp_path / "copy")
    (copy / "embeddings.npz").unlink()
    before, load = digests(copy, "*.npz"), prepare.load

    def other(*args):
        column = "label" if change == "labels" else "id"
        return {
            m: dataclasses.replace(c, **{column: np.roll(getattr(c, column), 7)})
            for m, c in load(*args).items()
        }

    monkeypatch.setattr(prepare, "load", other)
    told = "test accuracy is" if change == "labels" else "predictions.npz holds other test items"
    with pytest.raises(UserError, match=f"the data are not those of the run .{told}"):
        evaluate.remake(copy)
    with pytest.raises(SystemExit):
        explain.main([str(copy)])
    assert told in capsys.readouterr().err and digests(copy, "*.npz") == before


@pytest.mark.parametrize(("part", "method"), [("train", "pca"), ("validation", "tsne")])
def test_any_kept_epoch_and_part_is_drawn(finished, tmp_path, part, method, capsys):
    epoch = checkpoint.kept(finished / "checkpoints")[0]
    embed.main(
        [str(finished), "--out", str(tmp_path), f"--epoch={epoch}", f"--part={part}",
         f"--method={method}"]
    )  # fmt: skip
    drawn = capsys.readouterr().out.split()
    assert len(drawn) == 2 and all(part in name and method in name for name in drawn)
    table = Path(drawn[0]).with_suffix(".csv").read_text().splitlines()
    assert table[0] == "id,label,cluster,x,y" and len(table) > 100


def test_runs_of_one_name_and_epochs_do_not_overwrite_each_other(finished, tmp_path, capsys):
    epoch = checkpoint.kept(finished / "checkpoints")[0]
    runs = [shutil.copytree(finished, tmp_path / name / "run") for name in "ab"]
    for given in ([], [f"--epoch={epoch}"]):
        embed.main([*map(str, runs), "--out", str(tmp_path / "out"), "--method=pca", *given])
    drawn = capsys.readouterr().out.split()
    assert len(set(drawn)) == 8 == len(list((tmp_path / "out").rglob("*.png")))
    assert {Path(file).parent.name for file in drawn} == {"run_1", "run_2"}


def test_a_recording_that_pairs_repeat_counts_once(finished, monkeypatch):
    """As on the page; the ids of a data set of pairs do not tell."""
    run_ = trained.load(finished)
    examples = evaluate.again(run_)
    test = examples.splits["test"]
    rows, half = test.examples(), len(test) // 2
    rows = {"image": rows["image"], "audio": np.resize(rows["audio"][:half], len(test))}
    pairs = dataclasses.replace(test, rows=rows, paired=True)
    examples = examples._replace(splits=examples.splits | {"test": pairs})
    monkeypatch.setattr(evaluate, "again", lambda *_: examples)
    drawn = {name: len(ids) for name, _, ids, _ in embed.encoders(run_, "test")}
    assert drawn["audio"] == len(np.unique(rows["audio"])) < drawn["image"] == len(test)


def test_what_cannot_be_drawn_is_one_line(finished, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    for run_, out, given, told in [
        (finished, tmp_path, ["--epoch=77"], "keeps no checkpoint of epoch 77; it has"),
        (finished, tmp_path / "file", [], "cannot write into"),
        (tmp_path / "no", tmp_path, [], "no finished run"),
    ]:
        with pytest.raises(SystemExit):
            embed.main([str(run_), "--out", str(out), *given])
        line = capsys.readouterr().err
        assert told in line and len(line.strip().splitlines()) == 1


def test_the_advice_for_damaged_maps_is_true_of_old_runs(finished, tmp_path):
    """Their results do not say which files they left."""
    copy = shutil.copytree(finished, tmp_path / "copy")
    result = json.loads((copy / "result.json").read_text())
    del result["artifacts"]
    (copy / "result.json").write_text(json.dumps(result))
    maps = (copy / "maps.npz").read_bytes()
    (copy / "maps.npz").write_bytes(maps[:100])
    with pytest.raises(UserError, match=f"make it anew: python -m fdigits.explain {copy}$"):
        artifacts.load(copy)
    explain.main([str(copy)])
    assert artifacts.load(copy).maps and (copy / "maps.npz").read_bytes() == maps


def test_what_cannot_be_made_again_names_the_file(finished, tmp_path):
    for name in ("config.json", "metrics.jsonl", "result.json"):
        (tmp_path / name).write_bytes((finished / name).read_bytes())
    with pytest.raises(UserError, match=r"lacks predictions.npz.*cannot be made again"):
        evaluate.remake(tmp_path)


def test_weights_are_read_without_their_optimizer(finished, tmp_path):
    copy = shutil.copytree(finished, tmp_path / "copy")
    held = json.loads((copy / "config.json").read_text())
    held["optimizer"]["name"] = "adam"  # another state than sgd's
    (copy / "config.json").write_text(json.dumps(held))
    params = trained.load(copy).params
    assert set(params) == {"image_encoder", "audio_encoder", "fusion", "head"}
    assert np.isfinite(params["head"]["Dense_0"]["kernel"]).all()


@pytest.mark.parametrize(
    ("name", "left"),
    [("result.json", 0), ("result.json", 0.5), ("metrics.jsonl", 0.9), ("statistics.json", 0.5)]
    + [("metrics.jsonl", None)],
)
def test_a_cut_file_of_a_finished_run_is_made_again(finished, tmp_path, name, left, monkeypatch):
    """The best weights are tested again; nothing is trained."""
    monkeypatch.setattr(report, "write", lambda *args: "none")
    monkeypatch.setattr(train, "fit", None)
    copy = shutil.copytree(finished, tmp_path / "copy")
    whole = (copy / name).read_bytes()
    (copy / name).unlink()
    if left is not None:
        (copy / name).write_bytes(whole[: int(left * len(whole))])
    result = run(short("weighted_fusion", epochs=3), copy)
    before = json.loads((finished / "result.json").read_text())
    assert result["metrics"] == before["metrics"] and result["epochs"] == before["epochs"]
    assert json.loads((copy / "result.json").read_text())["metrics"] == before["metrics"]
    if name != "result.json":
        assert (copy / name).read_bytes() == whole


def test_a_cut_config_of_a_finished_run_is_told(finished, tmp_path):
    copy = shutil.copytree(finished, tmp_path / "copy")
    whole = (copy / "config.json").read_bytes()
    (copy / "config.json").write_bytes(whole[:200])
    with pytest.raises(
        UserError, match=r"config.json is damaged: delete it if .* this very config"
    ):
        run(short("weighted_fusion", epochs=3), copy)
    (copy / "config.json").write_bytes(b"")
    with pytest.raises(UserError, match=r"config.json is damaged"):
        run(short("weighted_fusion", epochs=3), copy)


def test_flipped_bits_of_the_weights_are_told_with_what_to_do(finished, tmp_path):
    copy = shutil.copytree(finished, tmp_path / "copy")
    best = json.loads((copy / "result.json").read_text())["best_epoch"]
    for file in (copy / "checkpoints" / str(best) / "state").rglob("d/*"):
        held = bytearray(file.read_bytes())
        if len(held) > 10_000:  # of arrays
            held[5_000] ^= 4
            held[5_099] ^= 1
            file.write_bytes(held)
    with pytest.raises(
        UserError, match=f"epoch {best} .* delete .*result.json and run the command"
    ):
        trained.load(copy)
