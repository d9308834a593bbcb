import ast
import shutil
from pathlib import Path

import pytest

from fdigits import provenance

CODE = '''"""What it is."""
def f(x):
    return x + 1
'''


def meaning(source: str) -> str:
    return provenance._meaning(ast.parse(source))


def test_words_and_line_breaks_are_no_change_of_the_code():
    other = '"""Other words."""\n\ndef f(\n    x,\n):  # why\n    "More."\n    return x + 1\n'
    assert meaning(other) == meaning(CODE)


@pytest.mark.parametrize("change", ["x + 2", "x - 1", "x + 1.0", "y + 1", "x + '1'"])
def test_another_number_name_or_sign_is_one(change):
    assert meaning(CODE.replace("x + 1", change)) != meaning(CODE)


def test_a_word_that_the_code_uses_is_no_docstring():
    assert meaning('x = "a"') != meaning('x = "b"')


# What cannot change a training's numbers, or shows in its config.json.
ELSEWHERE = {
    *("__init__", "arguments", "cells", "checkpoint", "config", "console", "corruptions", "demo"),
    *("embed", "errors", "explain", "export", "files", "measured", "predict", "pretrained"),
    *("provenance", "recogniser", "report", "robustness", "run", "search", "study", "workdir"),
}


def test_every_room_is_known_to_touch_the_numbers_or_not():
    here = Path(provenance.__file__).parent
    rooms = {place.stem for place in here.iterdir() if (place / "__init__.py").is_file()}
    rooms |= {place.stem for place in here.glob("*.py")}
    assert rooms - {"data"} == ({*provenance.TOUCHES} | ELSEWHERE) - {"data"}
    assert not ELSEWHERE & {*provenance.TOUCHES} and "data" in provenance.TOUCHES


def test_the_commit_is_that_of_the_code_that_was_loaded(monkeypatch):
    first = provenance.commit()
    monkeypatch.setattr(provenance.subprocess, "run", pytest.fail)
    assert provenance.commit() == first


def test_every_room_that_is_named_is_there():
    here = Path(provenance.__file__).parent
    for place in (*provenance.TOUCHES, *provenance.UNTOUCHED):
        assert (here / place).is_dir() or (here / f"{place}.py").is_file(), place
    assert len(provenance.code()) == 64


def test_what_touches_numbers_changes_the_codes_fingerprint(tmp_path, monkeypatch):
    here = Path(provenance.__file__).parent
    for place in ("provenance.py", "train.py", "demo.py", "data/audit.py"):
        (tmp_path / place).parent.mkdir(exist_ok=True)
        shutil.copy(here / place, tmp_path / place)
    monkeypatch.setattr(provenance, "__file__", str(tmp_path / "provenance.py"))
    code = provenance.code.__wrapped__
    before = code()
    for place, changes in (("demo.py", False), ("data/audit.py", False), ("train.py", True)):
        with (tmp_path / place).open("a") as file:
            file.write("\nx = 1\n")
        assert (code() != before) == changes, place
