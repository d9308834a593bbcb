import jax
import numpy as np
import optax
import pytest
from flax.traverse_util import unflatten_dict

from fdigits import tasks
from fdigits.data import prepare
from fdigits.errors import UserError
from fdigits.tasks import recognise
from tests.models import parity
from tests.test_systems import short


@pytest.fixture(scope="module")
def image():
    return prepare.load("digits")["image"].x[:32]


def test_what_is_added_holds_no_digit(image):
    added = jax.jit(lambda x, key: recognise._with_nothing("image", x, key))
    more = np.asarray(added(image[:16], jax.random.key(0)))
    assert more.dtype == np.uint8 and more.shape == (18, 28, 28)
    np.testing.assert_array_equal(more[:16], image[:16])
    assert all((made != image).any((1, 2)).all() for made in more[16:])


def test_a_model_of_what_cannot_lack_a_digit_is_refused():
    with pytest.raises(UserError, match="reads audio"):
        tasks.make(short("strangers", "sound", model__name="audio"))


def test_learning_that_there_is_no_digit(image):
    """A few steps on one batch: digits are told better, and what holds none nears one in ten."""
    sizes = dict(model__filters=(4, 8), model__width=16, model__dropout=0.0, augment__strength=0.0)
    task = tasks.make(short("strangers", "picture", **sizes))
    label = prepare.load("digits")["image"].label[:32]
    batch, key = {"image": image, "label": label}, jax.random.key(0)
    shapes = jax.eval_shape(task.init, key, batch)
    state = unflatten_dict(parity.draw(shapes, np.random.RandomState(0)), sep="/")
    params, statistics = state["params"], state["batch_stats"]
    optimizer = optax.adam(1e-2)
    held = jax.jit(optimizer.init)(params)

    @jax.jit
    def step(params, statistics, held, key):
        gradient = jax.grad(task.loss, has_aux=True)
        change, (statistics, told) = gradient(params, statistics, batch, key)
        update, held = optimizer.update(change, held)
        return optax.apply_updates(params, update), statistics, held, told

    history = []
    for number in range(60):
        key = jax.random.fold_in(key, number)
        params, statistics, held, told = step(params, statistics, held, key)
        history.append(jax.device_get(told))
    first, last = history[:5], history[-5:]
    assert np.mean([t["loss"] for t in last]) < 0.7 * np.mean([t["loss"] for t in first])
    assert np.mean([t["nothing"] for t in last]) < 0.35
