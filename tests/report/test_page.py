"""Whatever a run left, its page is written."""

from functools import partial

import numpy as np
import pytest

from fdigits import report
from fdigits.errors import UserError
from fdigits.report import figures, page
from fdigits.report.page import Heading, Note, Picture, Undrawable, sound

# What a person is told; other tests see the fault itself, see `faults_show` in conftest.
told = page.unable


def failing(error):
    raise error


def picture(draw):
    return Picture("name", draw, "A figure", "", 1)


def test_what_cannot_be_drawn_is_a_line_and_the_next_figure_is_drawn(monkeypatch, capsys):
    monkeypatch.setattr(page, "unable", told)
    whole = picture(partial(figures.confusion, np.eye(10, dtype=int)))
    broken = picture(partial(failing, RuntimeError("two\nlines")))
    reason = picture(partial(failing, Undrawable("there is nothing")))
    blocks = list(sound([Heading("Part"), broken, reason, whole]))
    assert blocks[1] == Note("A figure: not drawn, RuntimeError: two lines.")
    assert blocks[2] == Note("A figure: not drawn, there is nothing.")
    assert blocks[3] is whole and whole.png.startswith(b"\x89PNG")
    told_line = "A figure: not drawn, RuntimeError: two lines: please report this\n"
    assert capsys.readouterr().err == told_line  # a reason is no fault


def test_a_part_that_fails_in_the_middle_is_told_by_its_heading(monkeypatch):
    monkeypatch.setattr(page, "unable", told)

    def part():
        yield Heading("Part")
        raise KeyError("logits")

    line = "the rest of Part: not drawn, KeyError: 'logits'."
    assert list(sound(part())) == [Heading("Part"), Note(line)]


def test_a_persons_mistake_is_no_line_of_a_page():
    with pytest.raises(UserError, match="differ"):
        list(sound([picture(partial(failing, UserError("items differ")))]))


def test_tests_see_a_figure_that_fails():
    with pytest.raises(RuntimeError):
        list(sound([picture(partial(failing, RuntimeError()))]))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_run_that_went_astray_has_a_page(tmp_path, write_run, bad):
    """Each array of floats that a fusion leaves holds a number that is none."""
    row = np.arange(10)
    run = write_run(
        tmp_path / "r", "fusion", {1},
        maps={"row": row, "gradcam:image": np.ones((10, 13, 13)), "attention:a": np.ones((10, 8))},
        corruption={
            "level": np.arange(3.0), "weights": np.ones((2, 3, 2)), "accuracy": np.ones((2, 3)),
        },
    )  # fmt: skip
    for name in ("predictions", "embeddings", "maps", "corruption"):
        with np.load(run / f"{name}.npz") as file:
            arrays = dict(file)
        if name == "predictions":
            arrays["weights"] = np.ones((60, 2))
        for array in arrays.values():
            if array.dtype.kind == "f":
                array.flat[-1] = bad
        if name == "predictions":  # what argmax makes of it is what the run was tested on
            arrays["label"][-1] = arrays["logits"][-1].argmax()
        np.savez(run / f"{name}.npz", **arrays)
    text = report.write([run], tmp_path / "out").with_suffix(".md").read_text()
    assert "logits of 1 of 60 test items hold NaN or infinity" in text
    assert "image encoder" in text and "not drawn, the embeddings hold NaN" in text
    assert "not drawn, the maps hold NaN or infinity" in text
    assert text.count("not drawn, the weights hold NaN or infinity") == 2
    assert (tmp_path / "out/figures/confusion_r1_weighted.png").exists()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e300, 5e-324, -1e300])
def test_curves_of_any_losses_are_drawn(bad):
    rows = [
        {"epoch": epoch, "train": part, "validation": part}
        for epoch, part in enumerate(({"loss": bad, "accuracy": bad, "fid": bad},) * 2, 1)
    ]
    for number in (1, 2):
        assert list(sound([picture(partial(figures.curves, {"a": rows[:number]}))]))


@pytest.mark.parametrize("first", [0.0, 1.0, 1e-300, 1e300])
def test_curves_that_leave_the_numbers_midway_are_drawn(first):
    values = (first, np.nan, np.inf)
    parts = [{"loss": value, "accuracy": value, "fid": value} for value in values]
    rows = [{"epoch": e, "train": part, "validation": part} for e, part in enumerate(parts, 1)]
    assert list(sound([picture(partial(figures.curves, {"a": rows}))]))
