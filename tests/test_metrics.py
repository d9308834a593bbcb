import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score

from fdigits.metrics import classification


@given(st.integers(0, 1000), st.sampled_from([1, 2, 9, 40]))  # each size is a compilation
def test_metrics_equal_scikit_learns(seed, n):
    rng = np.random.default_rng(seed)
    label = rng.integers(0, 10, n).astype(np.int32)
    logits = rng.normal(size=(n, 10)).astype(np.float32)
    predicted = logits.argmax(1)
    ours = classification(logits, label)
    classes = list(range(10))
    np.testing.assert_allclose(ours["accuracy"], accuracy_score(label, predicted), rtol=1e-6)
    f1 = f1_score(label, predicted, average="macro")
    np.testing.assert_allclose(ours["macro_f1"], f1, rtol=1e-5)
    np.testing.assert_array_equal(
        ours["confusion"], confusion_matrix(label, predicted, labels=classes)
    )
