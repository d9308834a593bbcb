import jax
import numpy as np
import pytest

from fdigits import optim
from fdigits.config import base
from fdigits.errors import UserError


def optimizer(**fields):
    config = base("x", "bundled").optimizer
    config.update(**fields)
    return config


def updated(tx):
    """`(params, state, grads) -> (updates, state)`, compiled."""
    return jax.jit(lambda params, state, grads: tx.update(grads, state, params))


def one_update(tx, params, grads):
    updates, _ = updated(tx)(params, jax.jit(tx.init)(params), grads)
    return jax.tree.map(lambda p, u: p + np.asarray(u), params, updates)


def test_weight_decay_is_added_to_the_gradient_before_adam():
    params, grads = np.float32([2.0, -3.0]), np.float32([0.0, 1e-3])
    tx = optim.make(optimizer(weight_decay=0.1, learning_rate=0.01), 10)
    # Adam's first step is lr · g / (|g| + eps): with decay inside the gradient even a zero
    # gradient moves a whole step; AdamW would move it by lr · 0.1 · 2.
    g = np.array([0.2, 1e-3 - 0.3])
    np.testing.assert_allclose(
        one_update(tx, params, grads), params - 0.01 * g / (abs(g) + 1e-8), rtol=1e-5
    )


def test_sgd_momentum_and_clipping():
    tx = optim.make(
        optimizer(name="sgd", weight_decay=0.0, clip_norm=1.0, learning_rate=1.0, momentum=0.5), 1
    )
    params, update = np.zeros(2, np.float32), updated(tx)
    state, moved = jax.jit(tx.init)(params), []
    for _ in range(2):
        updates, state = update(params, state, np.float32([3.0, 4.0]))
        moved.append(updates)
    np.testing.assert_allclose(moved[0], [-0.6, -0.8], rtol=1e-6)
    np.testing.assert_allclose(moved[1], [-0.9, -1.2], rtol=1e-6)


def test_step_decay_counts_epochs():
    schedule = optim.schedule(optimizer(learning_rate=0.01, decay_epochs=10), steps_per_epoch=7)
    np.testing.assert_allclose([schedule(s) for s in (0, 69, 70, 140)], [1e-2, 1e-2, 1e-3, 1e-4])


def torch_plateau(accuracies, patience, factor):
    """ReduceLROnPlateau(mode="max", threshold_mode="abs", threshold=1e-4) written out."""
    best, bad, scale, scales = -np.inf, 0, 1.0, []
    for accuracy in accuracies:
        if accuracy > best + 1e-4:
            best, bad = accuracy, 0
        else:
            bad += 1
        if bad > patience:
            scale, bad = scale * factor, 0
        scales.append(scale)
    return scales


@pytest.mark.parametrize("patience", [1, 5])
def test_plateau_acts_when_torchs_does(patience):
    rng = np.random.default_rng(0)
    accuracies = np.round(np.minimum(0.5 + 0.04 * np.arange(30), 0.9) + rng.normal(0, 0.002, 30), 4)
    config = base("x", "bundled").plateau
    config.patience = patience
    plateau = optim.make_plateau(config)
    state, scales = plateau.init({}), []
    update = jax.jit(lambda state, value: plateau.update({}, state, value=value)[1])
    for accuracy in accuracies:
        state = update(state, 1.0 - accuracy)
        scales.append(float(state.scale))
    expected = torch_plateau(accuracies, patience, 0.1)
    assert expected[-1] < 1
    np.testing.assert_allclose(scales, expected, rtol=1e-5)


def test_an_unknown_optimizer_names_the_nearest():
    with pytest.raises(UserError, match="did you mean 'adam'"):
        optim.make(optimizer(name="adamm"), 1)


def test_clipping_is_of_each_array():
    params = {"a": np.zeros(2, np.float32), "b": np.zeros(2, np.float32)}
    rule = dict(name="sgd", weight_decay=0.0, clip_norm=1.0, learning_rate=1.0)
    grads = {"a": np.float32([3.0, 4.0]), "b": np.float32([0.3, 0.4])}
    moved = one_update(optim.make(optimizer(**rule), 1), params, grads)
    np.testing.assert_allclose(moved["a"], [-0.6, -0.8], rtol=1e-6)
    np.testing.assert_allclose(moved["b"], [-0.3, -0.4], rtol=1e-6)


def test_without_a_plateau_the_rate_stays():
    plateau = base("x", "bundled").plateau
    plateau.patience = 0
    tx = optim.make_plateau(plateau)
    state = tx.init({})
    update = jax.jit(lambda state: tx.update({}, state, value=1.0)[1])
    for _ in range(50):
        state = update(state)
    assert state.scale == 1


def test_adadelta_is_torchs():
    """Three steps of torch.optim.Adadelta(lr=1) on these gradients, by its formula."""
    chosen = optimizer(name="adadelta", learning_rate=1.0, weight_decay=0.0)
    rule, x = optim.make(chosen, 1), np.float32([1.0, -2.0])
    state, wanted, update = jax.jit(rule.init)(x), np.array([1.0, -2.0]), updated(rule)
    square, delta = np.zeros(2), np.zeros(2)
    for gradient in np.array([[0.5, -1.0], [0.1, 2.0], [-0.3, 0.0]]):
        updates, state = update(x, state, np.float32(gradient))
        x = x + np.asarray(updates)
        square = 0.9 * square + 0.1 * gradient**2
        step = np.sqrt((delta + 1e-6) / (square + 1e-6)) * gradient
        delta = 0.9 * delta + 0.1 * step**2
        wanted = wanted - step
    np.testing.assert_allclose(x, wanted, rtol=1e-4)


def test_adams_first_beta_is_the_configs():
    """Of gradients 1 and -1 the mean is b1·(1-b1) - (1-b1), unbiased by 1 - b1²: 0 at b1 = 1."""
    for beta1 in (0.5, 0.9):
        tx = optim.make(optimizer(beta1=beta1, learning_rate=1.0, weight_decay=0.0), 1)
        x, update = np.zeros(1, np.float32), updated(tx)
        state = jax.jit(tx.init)(x)
        for gradient in (1.0, -1.0):
            updates, state = update(x, state, np.float32([gradient]))
        mean = (beta1 * (1 - beta1) - (1 - beta1)) / (1 - beta1**2)
        np.testing.assert_allclose(updates, -mean, rtol=1e-4)
