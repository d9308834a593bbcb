import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from flax.traverse_util import flatten_dict
from hypothesis import given, settings
from hypothesis import strategies as st

from fdigits.models import encoders, kernels, layers
from tests.models import parity

DRAWS = settings(max_examples=5, deadline=None, derandomize=True)


def normal(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def agree(f, g, *args):
    """Values, and gradients by every argument of the same random projection, to 1e-5."""

    def values(function, args):
        y, back = jax.vjp(function, *args)
        return y, back(normal(9, *y.shape))

    both = jax.jit(lambda *args: (values(f, args), values(g, args)))(*args)
    for a, b in zip(*map(jax.tree.leaves, both), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5 * max(1.0, np.abs(b).max()))


@DRAWS
@given(
    size=st.tuples(st.integers(5, 11), st.integers(5, 11)),
    channels=st.sampled_from([1, 3, 8]),
    kernel=st.sampled_from([(1, 1), (3, 3), (5, 5), (3, 5)]),
    features=st.sampled_from([1, 3, 6]),
    padding=st.sampled_from(["SAME", "VALID", ((1, 0), (0, 2))]),
)
def test_conv_cpu_is_conv(size, channels, kernel, features, padding):
    pads = padding
    if isinstance(padding, str):
        pads = tuple(jax.lax.padtype_to_pads(size, kernel, (1, 1), padding))
    x, weights = normal(0, 2, *size, channels), normal(1, *kernel, channels, features)
    agree(
        lambda x, w: kernels.conv_cpu(x, w, pads), lambda x, w: kernels.conv(x, w, pads), x, weights
    )


@DRAWS
@given(
    size=st.tuples(st.integers(2, 9), st.integers(2, 9)),
    batch=st.sampled_from([1, 3]),
    seed=st.integers(0, 99),
)
def test_norm_relu_pool_cpu_is_norm_relu_pool(size, batch, seed):
    x = np.random.default_rng(seed).permutation(batch * size[0] * size[1] * 3)
    x = (x.reshape(batch, *size, 3) / x.size).astype(np.float32)  # no ties
    scale, offset = np.float32([1.5, 0.0, -0.5]), np.float32([-0.1, 0.3, 0.2])

    def outputs(function):
        def flat(*args):
            y, mean, var = function(*args, 1e-5)
            np.testing.assert_equal((mean.shape, var.shape), ((3,), (3,)))
            return y

        return flat

    agree(outputs(kernels.norm_relu_pool_cpu), outputs(kernels.norm_relu_pool), x, scale, offset)

    @jax.jit
    def moments(*args):
        functions = (kernels.norm_relu_pool_cpu, kernels.norm_relu_pool)
        return [function(*args, 1e-5)[1:] for function in functions]

    for ours, theirs in zip(*moments(x, scale, offset), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5)


@pytest.mark.parametrize("function", [kernels.norm_relu_pool, kernels.norm_relu_pool_cpu])
def test_first_of_equal_maxima_takes_the_gradient(function):
    x = np.float32([[0.0, 5.0], [5.0, 5.0]]).reshape(1, 2, 2, 1)

    @jax.jit
    @jax.grad
    def gradient_of_sum(shift):
        return function(x + shift, jnp.ones(1), jnp.ones(1), 1e-5)[0].sum()

    gradient = np.asarray(gradient_of_sum(0 * x)).reshape(4)
    np.testing.assert_allclose(gradient[2], gradient[3], atol=1e-6)
    assert gradient[1] > gradient[2] + 0.1


@pytest.mark.parametrize("function", [kernels.norm_relu_pool, kernels.norm_relu_pool_cpu])
def test_a_nan_is_not_hidden(function):
    x = normal(0, 2, 4, 4, 1)
    x[0, 1, 2, 0] = np.nan
    assert np.isnan(jax.jit(lambda x: function(x, jnp.ones(1), jnp.ones(1), 1e-5)[0])(x)).all()


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
@pytest.mark.parametrize("function", [kernels.norm_relu_pool, kernels.norm_relu_pool_cpu])
def test_half_precision_is_normalised_by_float32_statistics(function, dtype):
    """Squares of 300 overflow float16, and bfloat16 has no digits left for their differences."""
    x = (300 + normal(0, 4, 7, 6, 3)).astype(dtype)
    scale, offset = jnp.array([1.5, -1.0, 0.5], dtype), jnp.array([0.1, 0.25, -0.5], dtype)

    @jax.jit
    def values(x, scale, offset):
        y, back, moments = jax.vjp(
            lambda *a: split(function(*a, 1e-5)), x, scale, offset, has_aux=True
        )
        return y, back(normal(9, *y.shape).astype(y.dtype)), moments

    def split(outputs):
        return outputs[0], outputs[1:]

    y, gradients, moments = values(x, scale, offset)
    assert y.dtype == dtype and all(gradient.dtype == dtype for gradient in gradients)
    exact = [one.astype(jnp.float32) for one in (x, scale, offset)]
    wanted_y, wanted_gradients, wanted = values(*exact)
    for ours, theirs in zip(moments, wanted, strict=True):
        assert ours.dtype == jnp.float32
        np.testing.assert_allclose(ours, theirs, rtol=1e-5)
    np.testing.assert_allclose(y.astype(jnp.float32), wanted_y, atol=0.02)
    for ours, theirs in zip(gradients, wanted_gradients, strict=True):
        np.testing.assert_allclose(ours.astype(jnp.float32), theirs, atol=0.02 * abs(theirs).max())


def test_conv_block_is_flax_conv_batchnorm_relu_pool():
    x = normal(3, 4, 9, 6, 2)
    block = layers.ConvBlock(5)
    variables = parity.variables(block, x, False)
    params, stats = variables["params"], variables["batch_stats"]
    flax_norm = nn.BatchNorm(momentum=0.9, epsilon=1e-5)

    def reference(params, train):
        y = nn.Conv(5, (3, 3)).apply({"params": {k: params[k] for k in ("kernel", "bias")}}, x)
        norm = {"params": {"scale": params["scale"], "bias": params["offset"]}}
        norm["batch_stats"] = stats
        y, new = flax_norm.apply(norm, y, use_running_average=not train, mutable=["batch_stats"])
        return nn.max_pool(nn.relu(y), (2, 2), (2, 2)), new["batch_stats"]

    def ours(params, train):
        y, new = block.apply(
            {"params": params, "batch_stats": stats}, x, train=train, mutable=["batch_stats"]
        )
        return y, new["batch_stats"]

    for train in (True, False):
        (a, new), (b, flax_new) = (
            jax.jit(f, static_argnums=1)(params, train) for f in (ours, reference)
        )
        np.testing.assert_allclose(a, b, atol=1e-5)
        for name in stats:
            np.testing.assert_allclose(new[name], flax_new[name], atol=1e-5)
        agree(lambda p, t=train: ours(p, t)[0], lambda p, t=train: reference(p, t)[0], params)


@pytest.mark.parametrize(("rate", "batch"), [(0.25, 7), (0.5, 64), (0.1, 64)])
def test_dropout_drops_its_rate_and_keeps_the_mean(rate, batch):
    x = np.ones((batch, 3000), np.float32)
    rngs = {"dropout": jax.random.key(0)}
    y = np.asarray(jax.jit(lambda x: layers.Dropout(rate).apply({}, x, True, rngs=rngs))(x))
    dropped = float((y == 0).mean())
    assert abs(dropped - rate) < 0.01
    assert abs(float(y.mean()) - 1) < 0.02
    assert len(np.unique(y)) == 2
    rows = y == 0
    assert (rows[:, None] != rows[None]).any(-1).sum() == batch * (batch - 1)  # all rows differ
    np.testing.assert_array_equal(layers.Dropout(rate).apply({}, x, train=False), x)


@DRAWS
@given(steps=st.sampled_from([1, 6]), batch=st.integers(1, 3), width=st.integers(1, 5))
def test_lstm_is_flax_lstm(steps, batch, width):
    units = 4
    x = normal(1, batch, steps, width)
    variables = parity.variables(layers.LSTM(units), x)
    reference = nn.RNN(nn.OptimizedLSTMCell(units))

    def flax_lstm(variables, x):
        params = variables["params"]
        cell = {}
        for n, gate in enumerate("ifgo"):
            own = slice(n * units, (n + 1) * units)
            cell[f"i{gate}"] = {"kernel": params["kernel"][:, own]}
            recurrent, bias = params["recurrent_kernel"][:, own], params["bias"][own]
            cell[f"h{gate}"] = {"kernel": recurrent, "bias": bias}
        return reference.apply({"params": {"cell": cell}}, x)

    agree(layers.LSTM(units).apply, flax_lstm, variables, x)


class Block(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = layers.ConvBlock(4)(x, train=True)
        return layers.LSTM(3)(x.reshape(x.shape[0], x.shape[1], -1))


def forward(variables, x):
    return Block().apply(variables, x, mutable=["batch_stats"])[0]


def values_and_gradients(variables, x, seed):
    """Compiled anew at each call, as the backend may be another."""

    @jax.jit
    def both(variables, x):
        y, back = jax.vjp(forward, variables, x)
        return y, back(seed)

    return both(variables, x)


def test_backends_share_parameters_and_results(monkeypatch):
    x, seed = normal(2, 2, 9, 7, 3), normal(3, 2, 4, 3)
    variables = parity.variables(Block(), x)
    on_cpu = values_and_gradients(variables, x, seed)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    accelerator = parity.variables(Block(), x)
    assert jax.tree.map(jnp.shape, variables) == jax.tree.map(jnp.shape, accelerator)
    on_accelerator = values_and_gradients(variables, x, seed)
    for a, b in zip(*map(jax.tree.leaves, (on_cpu, on_accelerator)), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_layers_train_inside_a_scan():
    x, target = normal(4, 3, 2, 8, 8, 2), normal(5, 2, 4, 3)
    variables = parity.variables(Block(), x[0])

    @jax.jit
    def step(variables, x):
        loss, gradient = jax.value_and_grad(lambda v: jnp.square(forward(v, x) - target).mean())(
            variables
        )
        return jax.tree.map(lambda v, g: v - 0.1 * g, variables, gradient), loss

    scanned, losses = jax.jit(lambda v, x: jax.lax.scan(step, v, x))(variables, x)
    for batch, expected in zip(x, losses, strict=True):
        variables, loss = step(variables, batch)
        np.testing.assert_allclose(loss, expected, rtol=1e-5)
    for a, b in zip(*map(jax.tree.leaves, (scanned, variables)), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


@given(
    size=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    channels=st.integers(1, 3),
    n=st.integers(1, 4),
)
def test_unblocks_inverts_blocks(size, channels, n):
    x = np.random.default_rng(0).normal(size=(2, size[0] * n, size[1] * n, channels))
    blocks = kernels.blocks(x, n)
    assert blocks.shape == (2, *size, n * n * channels)
    np.testing.assert_array_equal(kernels.unblocks(blocks, n), x)


def test_blocks_lie_row_by_row():
    x = np.arange(4 * 6 * 2).reshape(1, 4, 6, 2)  # 12 numbers a row
    blocks = kernels.blocks(x, 2)
    assert blocks[0, 0, 0].tolist() == [0, 1, 2, 3, 12, 13, 14, 15]
    assert blocks[0, 0, 1].tolist() == [4, 5, 6, 7, 16, 17, 18, 19]
    assert blocks[0, 1, 0].tolist() == [24, 25, 26, 27, 36, 37, 38, 39]


@pytest.mark.parametrize(("size", "n"), [((3, 7), 2), ((5, 5), 2), ((5, 5), 4), ((7, 3), 4)])
def test_convolved_blocks_are_the_blocks_of_the_convolution(size, n):
    weights = normal(1, *size, 2, 3)
    of_blocks = jax.eval_shape(lambda weights: kernels.block_kernel(weights, n), weights).shape
    assert of_blocks == (*(-(-(k + n - 1) // n) for k in size), n * n * 2, n * n * 3)
    high, wide = 2 * n, n
    x = normal(0, 2, high + n * (of_blocks[0] - 1), wide + n * (of_blocks[1] - 1), 2)

    def by_blocks(x, weights):
        x, weights = kernels.blocks(x, n), kernels.block_kernel(weights, n)
        return kernels.conv(x, weights, layers.VALID)

    def plain(x, weights):
        return kernels.blocks(kernels.conv(x, weights, layers.VALID)[:, :high, :wide], n)

    agree(by_blocks, plain, x, weights)


@pytest.mark.parametrize("size", [(9, 6), (5, 11), (8, 8)])
def test_conv_by_blocks_is_conv(size):
    x = normal(0, 2, *size, 2)
    plain, by_blocks = (layers.Conv(3, (5, 3), block=n) for n in (1, 4))
    shapes = (jax.eval_shape(layer.init, jax.random.key(0), x) for layer in (plain, by_blocks))
    assert next(shapes) == next(shapes)
    variables = {"params": {"kernel": normal(1, 5, 3, 2, 3), "bias": normal(2, 3)}}
    agree(by_blocks.apply, plain.apply, variables, x)


@pytest.mark.parametrize("features", [3, 5])
@pytest.mark.parametrize("function", [kernels.conv, kernels.conv_cpu])
def test_negative_pads_leave_out(function, features):
    def pads(x, weights):
        return function(x, weights, ((-2, -1), (1, -3)))

    def slices(x, weights):
        return kernels.conv(x[:, 2:-1, :-3], weights, ((0, 0), (1, 0)))

    agree(pads, slices, normal(0, 2, 8, 9, 2), normal(1, 3, 3, 2, features))


@pytest.mark.parametrize(
    ("size", "window"),
    [((4, 6), (2, 2)), ((7, 3), (2, 2)), ((4, 6), (1, 4)), ((1, 9), (1, 4)), ((5, 7), (3, 2))],
)
def test_relu_pool_cpu_is_relu_pool(size, window):
    x, bias = normal(0, 3, *size, 4), np.float32([-0.5, 0.0, 0.3, -9.0])  # the last: all 0
    kernel_cpu, kernel = (
        functools.partial(function, window=window)
        for function in (kernels.relu_pool_cpu, kernels.relu_pool)
    )
    agree(kernel_cpu, kernel, x, bias)


def test_relu_mean_cpu_is_relu_mean():
    agree(kernels.relu_mean_cpu, kernels.relu_mean, normal(0, 2, 3, 2, 4, 3), normal(1, 3))


@pytest.mark.parametrize("shape", [(2, 3, 2, 5), (4, 1), (2, 2, 2, 4, 3)])
def test_channel_mean_max_is_mean_and_max(shape):
    def plain(x):
        return jnp.stack([x.mean(-1), x.max(-1)], -1)

    agree(kernels.channel_mean_max, plain, normal(0, *shape))


def test_of_equal_channels_the_first_takes_the_gradient():
    x = np.float32([[2.0, 5.0, 5.0, 1.0], [3.0, 3.0, 3.0, 3.0]])
    gradient = jax.jit(jax.grad(lambda x: kernels.channel_mean_max(x)[:, 1].sum()))(x)
    np.testing.assert_array_equal(gradient, [[0, 1, 0, 0], [1, 0, 0, 0]])


class Watched(nn.Module):
    @nn.compact
    def __call__(self, x):
        return layers.watch(self, layers.Conv(1, (1, 1))(x))


class Deep(nn.Module):
    @nn.compact
    def __call__(self, x):
        for _ in range(11):
            x = Watched()(x)
        return x


class TwoDeep(nn.Module):
    @nn.compact
    def __call__(self, x):
        return Deep(name="image_encoder")(x) + Deep(name="audio_encoder")(x)


def test_the_last_activation_is_the_one_called_last_not_the_last_name():
    """Watched_10 sorts before Watched_2."""
    x, watching = np.ones((1, 2, 2, 1), np.float32), ["activations", "calls"]
    params = jax.eval_shape(TwoDeep().init, jax.random.key(0), x)["params"]
    params = jax.tree.map(lambda p: np.full(p.shape, 0.5, np.float32), params)
    y, seen = jax.jit(lambda p: TwoDeep().apply({"params": p}, x, mutable=watching))(params)
    last = layers.last_watched(seen["calls"])
    assert last == {
        name: (name, "Watched_10", "activation") for name in ("image_encoder", "audio_encoder")
    }
    activations = flatten_dict(seen["activations"])
    found = sum(activations[path][-1] for path in last.values())
    np.testing.assert_array_equal(found, y)


def test_watching_changes_nothing():
    x = normal(0, 1, 4, 4, 1)
    variables = parity.variables(Watched(), x)
    of_conv = {"params": variables["params"]["Conv_0"]}
    alone = jax.jit(layers.Conv(1, (1, 1)).apply)(of_conv, x)
    watched = jax.jit(Watched().apply, static_argnames="mutable")
    for mutable in (False, ("activations", "calls")):
        y = watched({"params": variables["params"]}, x, mutable=mutable)
        np.testing.assert_array_equal(y[0] if mutable else y, alone)


BACKENDS = pytest.mark.parametrize("backend", ["cpu", "gpu"])


@BACKENDS
def test_conv_pool_is_flax_conv_relu_max_pool(backend, monkeypatch):
    """9 - 2 rows: the pooling drops one, which training does not compute."""
    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    params = {"kernel": normal(1, 3, 3, 2, 4), "bias": normal(2, 4)}

    def reference(params, x):
        x = nn.relu(nn.Conv(4, (3, 3), padding="VALID").apply({"params": params}, x))
        return nn.max_pool(x, (2, 2), (2, 2))

    def ours(params, x, train):
        return layers.ConvPool(4).apply({"params": params}, x, train)

    agree(
        lambda *args: jnp.stack([ours(*args, train=True), ours(*args, train=False)]),
        lambda *args: jnp.stack([reference(*args)] * 2),
        params,
        normal(0, 2, 9, 8, 2),
    )


@BACKENDS
def test_lenet_block_is_flax_conv_relu_mean_pool(backend, monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    params = {"Conv_0": {"kernel": normal(1, 5, 5, 3, 4), "bias": normal(2, 4)}}

    def reference(params, x):
        x = nn.Conv(4, (5, 5), padding="VALID").apply({"params": params["Conv_0"]}, x)
        return nn.avg_pool(nn.relu(x), (2, 2), (2, 2))

    def ours(params, x, train):
        return encoders.LeNetBlock(4, "none").apply({"params": params}, x, train)

    agree(
        lambda *args: jnp.stack([ours(*args, train=True), ours(*args, train=False)]),
        lambda *args: jnp.stack([reference(*args)] * 2),
        params,
        normal(0, 2, 10, 8, 3),
    )


@pytest.mark.parametrize("attention", ["cbam", "hybrid"])
def test_lenet_block_tests_as_it_trains(attention, monkeypatch):
    """With the batch's own statistics and no dropout."""
    monkeypatch.setattr(encoders, "Dropout", lambda rate: lambda x, train: x)
    x, block = normal(0, 3, 10, 8, 3), encoders.LeNetBlock(4, attention)
    shapes = jax.eval_shape(lambda: block.init(jax.random.key(0), x, train=False))
    params = jax.tree.map(lambda p: 0.3 * normal(1, *p.shape), shapes["params"])
    stats = jax.tree.map(lambda p: np.zeros(p.shape, np.float32), shapes["batch_stats"])

    @jax.jit
    def both(params, stats, x):
        variables = {"params": params, "batch_stats": stats}
        trained, new = block.apply(variables, x, train=True, mutable=["batch_stats"])
        of_batch = jax.tree.map(lambda p: p / (1 - layers.KERAS_MOMENTUM), new["batch_stats"])
        variables = {"params": params, "batch_stats": of_batch}
        return trained, block.apply(variables, x, train=False)

    trained, tested = both(params, stats, x)
    assert trained.shape == (3, 3, 2, 4) and np.ptp(trained) > 0.1
    np.testing.assert_allclose(trained, tested, atol=1e-5)


def test_a_nan_is_not_lost_in_pooling():
    @jax.jit
    def pooled(x):
        whole, bias = kernels.unblocks(x.reshape(1, 1, 1, 8), 2), jnp.zeros(2)
        return kernels.relu_mean_cpu(x, bias), kernels.relu_pool_cpu(whole, bias)

    for place in range(4):
        x = np.zeros((1, 1, 1, 4, 2), np.float32)
        x[0, 0, 0, place, 1] = np.nan
        for y in map(np.asarray, pooled(x)):
            assert np.isnan(y[..., 1]).all() and (y[..., 0] == 0).all()


@pytest.mark.parametrize("size", [2, 3, 4, 5])
@pytest.mark.parametrize("side", [4, 7])
@pytest.mark.parametrize(  # up to 4 features a transposed one is a matmul
    ("name", "features"), [("strided_conv", 4), ("transposed_conv", 4), ("transposed_conv", 5)]
)
def test_convolutions_that_go_by_two_and_their_gradients_equal_the_plain_ones(
    name, features, size, side
):
    plain, quick = getattr(kernels, name), getattr(kernels, f"{name}_cpu")
    rng = np.random.default_rng(size)
    x = rng.normal(size=(2, side, side, 3)).astype(np.float32)
    kernel = rng.normal(size=(size, size, 3, features)).astype(np.float32)
    weights = rng.normal(size=jax.eval_shape(plain, x, kernel).shape).astype(np.float32)

    def gradient(function):
        return jax.value_and_grad(lambda x, k: (function(x, k) * weights).sum(), (0, 1))

    found, wanted = jax.jit(lambda *args: (gradient(quick)(*args), gradient(plain)(*args)))(
        x, kernel
    )
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4), found, wanted)


def test_transposed_convolution_puts_each_pixel_where_keras_puts_it():
    """Kernel 5, "same": pixel i meets row a of the kernel at place 2i + a - 1."""
    x = np.arange(1.0, 5.0).reshape(1, 2, 2, 1)
    kernel = np.random.default_rng(0).normal(size=(5, 5, 1, 1))
    wanted = np.zeros((6 + 2, 6 + 2))
    for i in range(2):
        for j in range(2):
            wanted[2 * i : 2 * i + 5, 2 * j : 2 * j + 5] += x[0, i, j, 0] * kernel[..., 0, 0]
    found = jax.jit(kernels.transposed_conv_cpu)(x, kernel)
    np.testing.assert_allclose(found[0, ..., 0], wanted[1:5, 1:5], rtol=1e-5, atol=1e-5)


def test_transposed_convolution_equals_pytorchs():
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    x, kernel = rng.normal(size=(2, 5, 5, 3)), rng.normal(size=(4, 4, 3, 6))
    wanted = torch.nn.functional.conv_transpose2d(
        torch.tensor(x.transpose(0, 3, 1, 2)),
        torch.tensor(kernel.transpose(2, 3, 0, 1).copy()),
        stride=2,
        padding=1,
    )
    found = jax.jit(kernels.transposed_conv_cpu)(x, kernel)
    np.testing.assert_allclose(found, wanted.numpy().transpose(0, 2, 3, 1), rtol=1e-4, atol=1e-4)
