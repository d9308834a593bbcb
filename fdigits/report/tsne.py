"""Points [K, D] on stdin -> a plane [K, 2] on stdout, both npy: `embeddings.py` runs this.

Standing alone it needs no more of fdigits, and starts quickly.
"""

import io
import sys

import numpy as np
from sklearn.manifold import TSNE
from threadpoolctl import threadpool_limits


def plane(points_KxD: np.ndarray, seed: int) -> np.ndarray:
    perplexity = min(30, (len(points_KxD) - 1) / 3)
    with threadpool_limits(1):  # t-SNE's threads spin: on a busy machine they multiply its time
        tsne = TSNE(2, perplexity=perplexity, init="pca", random_state=seed)
        return tsne.fit_transform(points_KxD)


def main() -> None:
    points_KxD = np.load(io.BytesIO(sys.stdin.buffer.read()))
    made = io.BytesIO()
    np.save(made, plane(points_KxD, int(sys.argv[1])))
    sys.stdout.buffer.write(made.getvalue())


if __name__ == "__main__":
    main()
