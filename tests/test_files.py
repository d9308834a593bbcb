import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fdigits import embed, files, predict
from fdigits.data import audit, prepare
from fdigits.errors import UserError
from fdigits.explain import __main__ as explain
from fdigits.report import __main__ as report

HOLDING = """
import sys, time
from pathlib import Path
from fdigits.files import held
with held(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_folder_is_one_runs_at_a_time_and_a_killed_one_lets_go(tmp_path):
    folder = tmp_path / "run"
    command = [sys.executable, "-c", HOLDING, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        with pytest.raises(UserError, match=f"another run is at work in {folder}: wait"):  # noqa: SIM117
            with files.held(folder):
                pytest.fail("both have it")
        process.send_signal(signal.SIGKILL)
    assert list(folder.iterdir()) == [folder / files.LOCK]
    with files.held(folder):
        (folder / "result.json").write_text("{}")
    assert list(folder.iterdir()) == [folder / "result.json"]


def test_a_run_that_ends_while_another_starts_leaves_the_folder_to_that_one_alone(
    tmp_path, monkeypatch
):
    """It removes the lock's file between the other's opening and locking it."""
    opened = []

    def ending(path, *given):
        descriptor = opens(path, *given)
        if Path(path).name == files.LOCK and not opened:
            Path(path).unlink()
        opened.append(path)
        return descriptor

    opens = os.open
    monkeypatch.setattr(os, "open", ending)
    with files.held(tmp_path), pytest.raises(UserError, match="another run is at work"):
        assert len(opened) > 1 and (tmp_path / files.LOCK).is_file()
        with files.held(tmp_path):
            pytest.fail("both have it")


def test_a_folder_that_nothing_was_written_into_goes_again(tmp_path):
    (tmp_path / "a_persons").mkdir()
    for name in ("new", "a_persons"):
        with pytest.raises(ZeroDivisionError), files.held(tmp_path / name):
            raise ZeroDivisionError
    assert [path.name for path in tmp_path.iterdir()] == ["a_persons"]


def test_what_is_half_written_replaces_nothing(tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    files.write_json(tmp_path / "a.json", {"epoch": 1})
    files.write_arrays(tmp_path / "a.npz", x=np.arange(3))
    monkeypatch.setattr(os, "fsync", full)
    monkeypatch.setattr(np, "savez_compressed", full)
    for write, name in [(files.write_json, "a.json"), (files.write_arrays, "a.npz")]:
        given = {"x": np.ones(3)} if name == "a.npz" else {}
        with pytest.raises(OSError, match="No space left") as told:
            write(tmp_path / name, **given or {"value": {"epoch": 2}})
        assert told.value.filename == str(tmp_path / name)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.json", "a.npz"]
    assert "1" in (tmp_path / "a.json").read_text()
    np.testing.assert_array_equal(files.read_arrays(tmp_path / "a.npz")["x"], np.arange(3))


@pytest.mark.parametrize(
    ("command", "given"),
    [
        (embed.main, ["~/run", "--out", "~/out"]),
        (report.main, ["~/run", "--out", "~/out"]),
        (explain.main, ["~/run"]),
        (predict.main, ["~/run", "--recording", "~/7.wav"]),
        (predict.main, ["--picture", "~/run"]),
    ],
)
def test_the_home_folder_in_every_commands_paths(tmp_path, monkeypatch, capsys, command, given):
    """What is missing is told by its whole path."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["command", *given])
    with pytest.raises(SystemExit):
        command(*[given] if command is not predict.main else [])
    assert str(tmp_path / "run") in capsys.readouterr().err


def test_the_home_folder_of_an_audit(tmp_path, monkeypatch, capsys):
    seen = []
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["audit", "fsdd", "--data-dir=~/data", "--cache-dir", "~/c"])
    monkeypatch.setattr(prepare, "load", lambda *given: seen.extend(given) or 1 / 0)
    with pytest.raises(ZeroDivisionError):
        audit.main()
    assert seen == ["fsdd", tmp_path / "data", tmp_path / "c"]


def test_a_workdir_is_one_kinds_and_one_that_checkpoints_can_be_read_in(tmp_path):
    for name, kind in files.MARKS.items():
        folder = tmp_path / name.partition(".")[0]
        folder.mkdir()
        (folder / name).write_text("{}")
        for other in ("a run", "a study", "a search"):
            if other == kind:
                files.refuse_place(folder, other)
                continue
            with pytest.raises(UserError, match=f"holds {kind}: choose another --workdir"):
                files.refuse_place(folder, other)
    with pytest.raises(UserError, match="no checkpoint can be read again"):
        files.refuse_place(tmp_path / "[a]" / "b", "a run")


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("hybrid_cnn-mnist_fsdd+voices", "hybrid_cnn-mnist_fsdd+voices"),
        ("image_cnn-folder:../../My [Digits]", "image_cnn-folder_.._.._My_Digits_"),
        ("..", "run"),
        ("", "run"),
    ],
)
def test_a_default_workdir_is_one_folder_in_runs(name, folder):
    assert files.default_workdir(name) == Path("runs") / folder
