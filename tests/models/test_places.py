import numpy as np
import pytest

from fdigits.models import places


@pytest.mark.parametrize(
    ("size", "count", "edges"),
    [
        (28, 28, (0, 28)),
        (28, 14, (0, 28)),  # padded 3 x 3, pooled: cell 0 sees pixels -1 to 2, stands on 0 and 1
        (28, 13, (1, 27)),  # 3 x 3, pooled: cell 0 sees pixels 0 to 3
        (28, 11, (3, 25)),  # and 3 x 3: cell 0 sees 0 to 7
        (28, 5, (3, 23)),  # and pooled, the 11th left out: 0 to 9
        (128, 124, (2, 126)),  # 5 x 5: cell 0 sees 0 to 4
        (128, 58, (6, 122)),  # pooled, 5 x 5: 0 to 13
        (39, 19, (0, 38)),  # padded, pooled, the 39th left out
        (13, 6, (0, 12)),
        (507, 126, (0, 504)),  # padded, pooled by 4, three left out
    ],
)
def test_cells_stand_around_the_centres_of_what_they_see(size, count, edges):
    assert places.span(size, count) == edges


def test_a_map_along_the_flattened_input_is_folded_back():
    along = np.zeros((1, 507))
    along[0, 13 * 2 + 5] = 1
    folded = places.folded(along, 39, 13)
    assert np.argwhere(folded[0] == 1).tolist() == [[2, 5]]
    coarse = np.zeros((1, 126))
    coarse[0, 10] = 1  # places 40 to 43: frame 3, coefficients 1 to 4
    folded = places.folded(coarse, 39, 13)
    high = np.argwhere(folded[0] > 0.6)
    assert set(high[:, 0]) == {3} and set(high[:, 1]) == {1, 2, 3, 4}
