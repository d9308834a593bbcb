import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, recall_score

from fdigits.metrics import calibration_error, classification, reliability


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
    recall = recall_score(label, predicted, labels=classes, average=None, zero_division=0)
    np.testing.assert_allclose(ours["per_class"], recall, rtol=1e-6)


def test_calibration_worked_out_by_hand():
    """Three items at .55, one of them right, and one at .95, which is right: |.55 - 1/3| and .05,
    by three to one."""
    p = np.array([[0.55, 0.45], [0.55, 0.45], [0.45, 0.55], [0.05, 0.95]])
    label = np.array([0, 1, 0, 1])
    confidence, right, n = reliability(p, label)
    np.testing.assert_allclose(confidence, [0.55, 0.95])
    np.testing.assert_allclose(right, [1 / 3, 1])
    assert n.tolist() == [3, 1]
    wanted = (3 * (0.55 - 1 / 3) + 0.05) / 4
    np.testing.assert_allclose(calibration_error(p, label), wanted)
