"""Points [K, D] on stdin -> a plane [K, 2] on stdout, both npy: `embeddings.py` runs this.

Standing alone it needs no more of fdigits, and starts quickly.
"""

import io
import sys

import numpy as np
from sklearn.manifold import TSNE
from threadpoolctl import threadpool_limits


def main() -> None:
    points_KxD = np.load(io.BytesIO(sys.stdin.buffer.read()))
    perplexity = min(30, (len(points_KxD) - 1) / 3)
    with threadpool_limits(1):  # t-SNE's threads spin: on a busy machine they multiply its time
        tsne = TSNE(2, perplexity=perplexity, init="pca", random_state=int(sys.argv[1]))
        plane_Kx2 = tsne.fit_transform(points_KxD)
    made = io.BytesIO()
    np.save(made, plane_Kx2)
    sys.stdout.buffer.write(made.getvalue())


if __name__ == "__main__":
    main()
