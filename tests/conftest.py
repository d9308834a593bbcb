"""Fixtures that several rooms' tests share."""

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

# Workers, and the commands that tests start, compile a function once between them.
XLA_CACHE = Path("~/.cache/fdigits/xla").expanduser()
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(XLA_CACHE))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.1")
# Libraries whose threads wait by turning would fight for the processors that the workers share.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
# Servers that tests start are on this machine: no proxy is asked for them.
os.environ["NO_PROXY"] = os.environ["no_proxy"] = "127.0.0.1,localhost"
# What a developer has of TensorFlow Datasets takes no part.
os.environ["TFDS_DATA_DIR"] = str(Path(__file__).with_name("no_tfds"))

settings.register_profile("fdigits", deadline=None, max_examples=30, derandomize=True)
settings.load_profile("fdigits")

REAL_DATA = Path(__file__).parents[2] / "shared" / "data"


def pytest_xdist_auto_num_workers(config) -> int:
    """One for each processor that may be used, which is more than xdist takes by itself."""
    return min(8, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 2)


@pytest.fixture(autouse=True)
def faults_show(monkeypatch):
    """A figure that fails is a line on a person's page; a test sees why."""

    def fail(what: str, error: Exception):
        raise error

    monkeypatch.setattr("fdigits.report.page.unable", fail)


@pytest.fixture(scope="session", autouse=True)
def maps_in_this_process():
    """t-SNE without a process of its own, which takes two seconds to start for each map; the
    commands start it, and report/test_embeddings.py proves that it gives the same."""

    def plane(points_KxD, seed):
        from fdigits.report import tsne

        return tsne.plane(points_KxD, seed)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fdigits.report.embeddings._apart", plane)
        yield


@pytest.fixture
def real_data() -> Path:
    """The folder of real data; tests that take it are marked `real`."""
    if not REAL_DATA.is_dir():
        pytest.skip("no real data beside the project")
    return REAL_DATA


@pytest.fixture
def corpora():
    """220 small pictures and 120 recordings by 6 speakers that tell their class."""
    from fdigits.data.corpus import Corpus

    rng = np.random.default_rng(0)

    def corpus(name, shape, n, speakers, part):
        label = np.arange(n, dtype=np.int32) % 10
        prototypes = rng.normal(size=(10, *shape))
        x = prototypes[label] + 0.3 * rng.normal(size=(n, *shape))
        ids = np.array([f"{name}/{i}" for i in range(n)])
        return Corpus(name, x.astype(np.float32), label, ids, speakers, part)

    images = corpus(
        "pictures", (28, 28), 220, np.full(220, ""), np.where(np.arange(220) < 200, "train", "test")
    )
    pixels = np.clip(images.x * 40 + 128, 0, 255).astype(np.uint8)
    images = Corpus(images.name, pixels, images.label, images.id, images.speaker, images.part)
    speakers = np.array(["abcdef"[i // 20] for i in range(120)])
    audio = corpus("words", (39, 13), 120, speakers, np.full(120, "train"))
    return {"image": images, "audio": audio}
