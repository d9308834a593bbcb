"""Pictures that fdigits draws itself: typefaces, and forms from strokes."""

import numpy as np
import pytest

from fdigits.data import corpus, prepare
from fdigits.data.corpora import printed, sketched
from fdigits.data.corpus import CLASSES


@pytest.fixture(scope="module", params=["printed", "sketched"])
def drawn(request):
    return prepare.load(request.param)["image"]


def test_they_have_mnists_form(drawn):
    corpus.check(drawn, drawn.name)
    lit = drawn.x > 32
    sides = np.stack([lit.any(2).sum(1), lit.any(1).sum(1)], 1)
    assert drawn.x.shape[1:] == (28, 28) and drawn.x.min() == 0
    assert ((sides.max(1) >= 18) & (sides.max(1) <= 20)).all()
    mass = drawn.x / drawn.x.sum((1, 2), keepdims=True)
    middle = np.einsum("nij,ija->na", mass, np.mgrid[:28, :28].transpose(1, 2, 0))
    assert (abs(middle - 13.75) < 1.1).all()


def test_all_digits_and_both_parts_are_there(drawn):
    for part in ("train", "test"):
        assert set(drawn.label[drawn.part == part]) == set(range(CLASSES))


def test_no_two_are_alike_and_all_come_again(drawn):
    assert len(np.unique(drawn.x, axis=0)) > 0.97 * len(drawn)  # two typefaces share a digit or two
    np.testing.assert_array_equal(prepare.load(drawn.name)["image"].x, drawn.x)


def test_a_form_drawn_without_a_shake_is_its_strokes(monkeypatch):
    monkeypatch.setattr(sketched, "MOVED", 0.0)
    one = sketched.sketched(sketched.FORMS[1][0], np.random.default_rng(0))
    rows, columns = np.flatnonzero((one > 128).any(1)), np.flatnonzero((one > 128).any(0))
    assert len(rows) == 20 and len(columns) <= 4


def test_a_typeface_draws_its_own_digit():
    plain, bold = printed.drawn("DejaVuSans", "1"), printed.drawn("DejaVuSans-Bold", "1")
    assert bold.sum() > 1.3 * plain.sum()
