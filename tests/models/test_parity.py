"""fdigits against PyTorch: `torch_twins.py` wrote what its twins give, `parity.py` says of what."""

import functools

import jax
import numpy as np
import pytest

from fdigits.models import layers
from tests.models import parity

# LayerNorm takes away most of the gradients before it: PyTorch in float32 is 1.1e-5 off here.
TOLERANCES = {"lenet_hybrid_trained": 1e-4}
REMAKE = (
    f"{parity.GOLDEN.name} is made by python -m tests.models.torch_twins, with PyTorch: "
    "pip install -c constraints.txt -e '.[bench]'"
)


@functools.cache
def golden():
    with np.load(parity.GOLDEN) as arrays:
        return dict(arrays)


def agree(ours, theirs, tolerance=1e-5):
    if ours.keys() != theirs.keys():
        pytest.fail(f"{sorted(ours.keys() ^ theirs.keys())} in one alone; {REMAKE}")
    for name, value in theirs.items():
        largest = max(1.0, float(np.abs(value).max()))
        np.testing.assert_allclose(ours[name], value, atol=tolerance * largest, rtol=0)


def of(name):
    return {key: value for key, value in golden().items() if key.startswith(f"{name}/")}


@pytest.mark.parametrize("backend", ["cpu", "gpu"])
@pytest.mark.parametrize("name", parity.MODULES)
def test_modules_and_their_gradients_are_pytorchs(name, backend, monkeypatch):
    monkeypatch.setattr(layers.Dropout, "__call__", lambda self, x, train: x)
    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    agree(parity.module_values(name), of(name), TOLERANCES.get(name, 1e-5))


@pytest.mark.parametrize("name", parity.MODELS)
def test_models_are_pytorchs(name):
    agree(parity.model_values(name), of(name))


def test_the_golden_file_is_what_pytorch_gives():
    pytest.importorskip("torch")
    from tests.models import torch_twins

    agree(torch_twins.golden(), golden(), tolerance=1e-6)


def test_what_the_golden_file_lacks_is_told_with_its_command():
    with pytest.raises(pytest.fail.Exception, match=r"new/logits.*tests\.models\.torch_twins"):
        agree({"new/logits": np.zeros(1)}, of("new"))


def test_the_golden_file_is_small():
    assert parity.GOLDEN.stat().st_size < 300_000
