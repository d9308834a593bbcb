import functools

import jax
import numpy as np

from fdigits import tasks, train
from fdigits.config import stage_config
from tests.test_config import get_config


@functools.cache
def made(batch_size=16):
    """The task, its state, and one batch whose pictures tell their digit."""
    config = stage_config(get_config("gan", "generator=cvae"), "gan").copy_and_resolve_references()
    with config.unlocked():
        config.batch_size = batch_size
    task, rng = tasks.make(config), np.random.default_rng(0)
    label = np.arange(batch_size, dtype=np.int32) % 10
    image = np.zeros((batch_size, 28, 28), np.uint8)
    for row, digit in enumerate(label):
        image[row, 2 * digit : 2 * digit + 4, 4:24] = rng.integers(180, 256, (4, 20))
    batch = {"image": image, "label": label}
    return task, train.create_state(task, config, batch, 10), batch


def test_steps_lower_the_loss_and_leave_the_judge():
    task, state, batch = made()
    step = jax.jit(train.make_train_step(task, task.config, 10))
    judge = jax.tree.map(np.asarray, state.params["judge_encoder"])
    losses = []
    for _ in range(12):
        state, told = step(state, batch)
        losses.append(float(told["loss"]))
    assert losses[-1] < 0.7 * losses[0]
    np.testing.assert_allclose(told["loss"], told["reconstruction"] + told["kl"], rtol=1e-5)
    jax.tree.map(np.testing.assert_array_equal, state.params["judge_encoder"], judge)


def test_the_reader_learns_from_true_pictures_alone(monkeypatch):
    """With true pictures' scores cut off, its gradient is 0, the decoder's is not."""
    task, state, batch = made()
    apply = type(task)._apply

    def loss(params):
        seen = iter([True, False])  # the true pictures are read first, then the drawn ones

        def cut(self, params, method, *given):
            found = apply(self, params, method, *given)
            return jax.lax.stop_gradient(found) if method == "read" and next(seen) else found

        monkeypatch.setattr(type(task), "_apply", cut)
        return task.loss(params, {}, batch, jax.random.key(0))[0]

    gradient = jax.jit(jax.grad(loss))(state.params)
    assert all((g == 0).all() for g in jax.tree.leaves(gradient["reader"]))
    assert any((g != 0).any() for g in jax.tree.leaves(gradient["decoder"]))


def test_drawings_are_pictures_of_noise_and_label():
    task, state, _ = made()
    draw = jax.jit(lambda noise, label: task.draw(state.params, {}, noise, label))
    noise = np.random.default_rng(0).normal(size=(2, 24)).astype(np.float32)
    label = np.array([3, 3])
    drawn = np.asarray(draw(noise, label))
    assert drawn.shape == (2, 28, 28, 1) and drawn.min() >= 0 and drawn.max() <= 1
    assert (drawn[0] != drawn[1]).any()
    assert (drawn != draw(noise, label + 1)).any()
