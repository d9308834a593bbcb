"""Where the cells of a feature map stand on the input that they see."""

import numpy as np

# What poolings of an odd size leave out at the end, by (input, map); none by default.
DROPPED = {(28, 5): 2, (39, 19): 1, (13, 6): 1, (507, 126): 3}


def span(size: int, count: int) -> tuple[float, float]:
    """Where `count` cells of a feature map begin and end on an input of `size` places.

    Cells stand around the centres of what they see. Convolutions without padding lose as much at
    either end; poolings halve, so a cell is a power of two wide: of 28 pixels through a 3 x 3
    convolution and a pooling, cell 0 of 13 sees pixels 0 to 3 and stands on 1 and 2: (1, 27).
    """
    stride = 2 ** int(np.log2(size / count))
    start = (size - count * stride - DROPPED.get((size, count), 0)) / 2
    return start, start + count * stride


def folded(map_KxT: np.ndarray, height: int, width: int) -> np.ndarray:
    """Maps along a flattened input, spread over its places and folded back: `[K, H, W]`."""
    size, count = height * width, map_KxT.shape[1]
    start, end = span(size, count)
    centre_T = start + (end - start) * (np.arange(count) + 0.5) / count
    place = np.arange(size) + 0.5
    return np.stack([np.interp(place, centre_T, row) for row in map_KxT]).reshape(-1, height, width)
