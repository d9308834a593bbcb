"""Sheets of drawn pictures."""

import numpy as np

from fdigits.report.sheets import GAP, sheet, tiled
from fdigits.report.style import png


def test_pictures_stand_in_their_rows_and_columns_between_gaps():
    image = np.arange(1, 7, dtype=np.uint8).reshape(2, 3, 1, 1) * np.ones((4, 5), np.uint8)
    whole = tiled(image)
    assert whole.shape == (2 * (4 + GAP) + GAP, 3 * (5 + GAP) + GAP)
    for row, column in np.ndindex(2, 3):
        top, left = GAP + row * (4 + GAP), GAP + column * (5 + GAP)
        assert (whole[top : top + 4, left : left + 5] == image[row, column]).all()
    assert (whole == 0).sum() == whole.size - image.size


def test_a_sheet_frames_what_is_wrong():
    image = np.zeros((2, 3, 28, 28), np.uint8)
    wrong = np.array([[False, True, False], [False, False, True]])
    axes = sheet(image, ["a", "b", "c"], ["1", "2"], wrong).axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["a", "b", "c"]
    corners = [patch.get_xy() for patch in axes.patches]
    assert corners == [(30.5, 0.5), (60.5, 30.5)]
    assert png(sheet(image, ())).startswith(b"\x89PNG")
