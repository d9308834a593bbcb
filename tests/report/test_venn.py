import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fdigits.errors import UserError
from fdigits.report.venn import regions, same_items, venn

SETS = st.lists(st.sets(st.integers(0, 12)), min_size=2, max_size=3)


@given(SETS)
def test_every_element_is_counted_in_exactly_its_region(sets):
    counts = regions(sets)
    for region, count in counts.items():
        inside = {
            element
            for element in range(13)
            if tuple(k for k, members in enumerate(sets) if element in members) == region
        }
        assert count == len(inside)
    assert len(counts) == 2 ** len(sets) - 1
    assert sum(counts.values()) == len(set.union(*sets))


def test_the_drawing_shows_each_count_in_its_circles():
    sets = [set(range(0, 10)), set(range(7, 30)), {8, 9, 40, 41, 42, 43}]
    figure = venn(["one", "two", "three"], sets)
    circles = [patch for patch in figure.axes[0].patches if not patch.get_fill()]
    shown = {}
    for text in figure.axes[0].texts:
        if text.get_text().isdigit():
            x, y = text.get_position()
            inside = tuple(
                k
                for k, circle in enumerate(circles)
                if np.hypot(x - circle.center[0], y - circle.center[1]) < circle.radius
            )
            shown[inside] = int(text.get_text())
    assert shown == regions(sets)
    assert "23 wrong" in [text.get_text() for text in figure.axes[0].texts]


def test_four_sets_are_refused():
    with pytest.raises(ValueError, match="two or three"):
        venn(list("abcd"), [set()] * 4)


def test_different_items_are_refused_with_both_names_and_the_difference():
    with pytest.raises(UserError) as refused:
        same_items(np.array(["a", "b", "c"]), np.array(["b", "c"]), "first", "second")
    line = str(refused.value)
    assert "first and second" in line
    assert "3 and 2 items, 2 of them shared" in line
    assert "\n" not in line


def test_another_order_is_refused_as_such():
    with pytest.raises(UserError, match="another order"):
        same_items(np.array(["a", "b"]), np.array(["b", "a"]), "first", "second")
