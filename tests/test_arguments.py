import pytest

from fdigits import predict
from fdigits.arguments import Parser
from fdigits.errors import UserError


def test_a_flag_that_is_none_names_the_nearest_in_one_line():
    parser = Parser("fdigits.made_up", "Made up.")
    parser.add_argument("--picture", nargs="+")
    with pytest.raises(UserError, match=r"--pictures=7\.png .did you mean '--picture'"):
        parser.parse_args(["--pictures=7.png"])
    with pytest.raises(UserError, match=r"expected at least one argument; --help says what python"):
        parser.parse_args(["--picture"])


def test_a_picture_in_the_place_of_a_run_is_told(tmp_path, monkeypatch):
    (tmp_path / "7.png").write_text("")
    monkeypatch.setattr("sys.argv", ["predict", str(tmp_path / "7.png")])
    with pytest.raises(UserError, match=r"7\.png is a file: did you mean --picture"):
        predict.parsed()
