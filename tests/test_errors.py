import errno
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from fdigits import errors

ROOT = Path(__file__).parents[1]
ENDLESS = """
from fdigits.errors import exit_cleanly

@exit_cleanly
def main():
    while True:
        print("line", flush=True)

main()
"""


def test_a_reader_that_stops_early_ends_a_command_without_a_trace():
    command = [sys.executable, "-c", ENDLESS]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "line\n"
        process.stdout.close()
        assert process.wait(30) == 1 and not process.stderr.read()


def no_room(filename=None):
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), filename)


def wrapped(text):
    """As libraries do: a kind of their own, and another one that came of it."""
    try:
        try:
            raise ValueError(f"RESOURCE_EXHAUSTED: write failed: {text}")
        except ValueError as error:
            raise RuntimeError("save thread failed") from error
    except RuntimeError as error:
        return error


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_is_known_however_it_is_told(code):
    for error in (OSError(code, "x", "here"), wrapped(f"[OS error: {os.strerror(code)}]")):
        assert errors.full(error).errno == code
        with pytest.raises(OSError, match=os.strerror(code)) as told, errors.writing("there"):
            raise error
        assert told.value.filename == ("here" if isinstance(error, OSError) else "there")
    assert errors.full(wrapped("the moon is full")) is None


def test_a_full_disk_ends_a_command_in_one_line(capsys):
    @errors.exit_cleanly
    def main():
        raise no_room("runs/x/result.json")

    with pytest.raises(SystemExit) as ended:
        main()
    told = capsys.readouterr().err
    assert ended.value.code == 2 and len(told.splitlines()) == 1
    assert "runs/x/result.json" in told and "run the same command again" in told


def test_background_threads_are_silent_about_it_alone(capsys, monkeypatch):
    said = []
    monkeypatch.setattr(threading, "excepthook", lambda args: said.append(args.exc_value))
    monkeypatch.setattr(sys, "unraisablehook", None)
    errors._hush_threads()

    def fail(error):
        raise error

    for error in (no_room(), wrapped("No space left on device"), KeyError("a mistake")):
        thread = threading.Thread(target=fail, args=(error,))
        thread.start()
        thread.join()
    assert [type(error) for error in said] == [KeyError]


INTERRUPTED = """
import gc, signal, time
from fdigits.errors import exit_cleanly

def interrupt(*_):
    gc.callbacks.clear()
    signal.raise_signal(signal.SIGINT)

@exit_cleanly
def main():
    gc.callbacks.append(interrupt)
    {work}
    time.sleep(2)

main()
"""


@pytest.fixture
def heeded():
    """Ctrl-C reaches commands that start here; what runs in the background ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("heeded")
@pytest.mark.parametrize("work", ["interrupt()", "gc.collect()"])
def test_ctrl_c_ends_a_command_in_one_line(work):
    """A callback of the garbage collector loses what is raised in it."""
    command = [sys.executable, "-c", INTERRUPTED.format(work=work)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (130, f"{errors.STOPPED}\n")


@pytest.mark.usefixtures("heeded")
@pytest.mark.parametrize(
    ("imported", "arguments"),
    [("jax", ["-m", "fdigits.predict", "--picture", "7.png"]), ("absl", [str(ROOT / "launch.py")])],
)
def test_ctrl_c_while_a_command_imports_is_one_line_too(tmp_path, imported, arguments):
    """JAX makes another error of it, or lets it through as a trace."""
    slow = "import os, signal\nos.kill(os.getpid(), signal.SIGINT)\nraise ImportError"
    (tmp_path / f"{imported}.py").write_text(slow)
    paths = os.pathsep.join([str(tmp_path), str(ROOT)])
    command = [sys.executable, *arguments]
    environment = os.environ | {"PYTHONPATH": paths}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (130, f"{errors.STOPPED}\n")


def test_memory_that_does_not_suffice_is_one_line(capsys):
    @errors.exit_cleanly
    def main():
        raise RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 9 bytes")

    with pytest.raises(SystemExit) as told:
        main()
    assert told.value.code == 2 and capsys.readouterr().err == f"error: {errors.MEMORY}\n"
