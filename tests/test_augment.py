import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from fdigits import augment
from fdigits.errors import UserError
from fdigits.train import KEY_IMPL

KEY = jax.random.key(0)
NAMES = list(augment.AUGMENTATIONS)
MANY = ("combined", "handwriting")  # of several others: they take ten seconds to compile
jitted = jax.jit(augment.apply, static_argnums=0)


def apply(name, image, seed, strength):
    """One compilation for each name and size."""
    keys = jax.random.split(jax.random.key(seed), len(image))
    return np.asarray(jitted(name, image, keys, np.full(len(image), strength, np.float32)))


@functools.cache
def pictures(n=6, height=12, width=10, channels=1):
    return np.random.default_rng(0).random((n, height, width, channels), np.float32)


@pytest.fixture
def largest(monkeypatch):
    """Every draw within ±limit is the limit."""
    monkeypatch.setattr(augment, "_within", lambda key, limit, shape=(): jnp.full(shape, limit))


def test_there_are_the_papers_seven_and_ours():
    assert NAMES[7:9] == ["combined", "thickness"] and NAMES[-1] == "handwriting"
    for name in NAMES:
        assert augment.AUGMENTATIONS[name] is getattr(augment, name)


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.slow] * (n in MANY)) for n in NAMES]
)
def test_strength_zero_returns_the_very_input(name):
    for image in (pictures(), pictures(6, 9, 16, 3)):
        for seed in range(3):
            out = apply(name, image, seed, 0.0)
            assert out.tobytes() == image.tobytes()


@pytest.mark.parametrize("name", NAMES)
@given(
    size=st.sampled_from([(12, 10, 1), (9, 16, 3)]),
    strength=st.floats(0, 1, width=32),
    seed=st.integers(0, 1000),
)
def test_shape_dtype_and_range_are_kept(name, size, strength, seed):
    image = pictures(6, *size)
    for value in (strength, 1.0):
        out = apply(name, image, seed, value)
        assert (out.shape, out.dtype) == (image.shape, np.float32)
        assert out.min() >= 0 and out.max() <= 1


@pytest.mark.parametrize("name", NAMES)
def test_full_strength_changes_every_picture(name):
    image = pictures()
    out = apply(name, image, 0, 1.0)
    assert (abs(out - image).max((1, 2, 3)) > 0.005).all()


@pytest.mark.parametrize("name", NAMES)
def test_the_key_alone_decides(name):
    image = pictures()
    once, again, other = (apply(name, image, seed, 1.0) for seed in (0, 0, 1))
    np.testing.assert_array_equal(once, again)
    assert not np.array_equal(once, other)


@pytest.mark.parametrize("name", NAMES)
def test_equal_pictures_of_a_batch_come_out_different(name):
    out = apply(name, np.tile(pictures(1), (6, 1, 1, 1)), 3, 1.0)
    assert len(np.unique(out.reshape(6, -1), axis=0)) == 6


def permuted_alike(name, impl):
    image, order = pictures(), np.array([3, 0, 5, 1, 4, 2])
    keys = jax.random.split(jax.random.key(0, impl=impl), len(order))
    strength = jnp.linspace(0.2, 1, len(order))
    straight = jitted(name, image, keys, strength)
    permuted = jitted(name, image[order], keys[order], strength[order])
    np.testing.assert_array_equal(straight[order], permuted)


@pytest.mark.parametrize("name", NAMES)
def test_a_permuted_batch_gives_the_permuted_output(name):
    permuted_alike(name, "threefry2x32")


def test_a_permuted_batch_of_the_training_loops_keys_too():
    """Plain draws under vmap would fail here: with "rbg" the first key of a batch decides."""
    permuted_alike("brightness", KEY_IMPL)


def test_one_key_is_folded_by_row():
    image, key = pictures(), jax.random.key(3)
    keys = jnp.stack([jax.random.fold_in(key, row) for row in range(len(image))])
    one = jitted("brightness", image, key, 1.0)
    np.testing.assert_array_equal(one, jitted("brightness", image, keys, jnp.ones(6)))


def affine(image_HxW, matrix, centre_shift=(0, 0)):
    """scipy's: reads at `matrix @ (place - centre) + centre + centre_shift`."""
    centre = (np.array(image_HxW.shape) - 1) / 2
    offset = centre - matrix @ centre + centre_shift
    return ndimage.affine_transform(
        np.asarray(image_HxW, np.float64), matrix, offset, order=1, mode="grid-constant"
    )


def test_rotation_zoom_and_translation_are_scipys(largest):
    image = pictures(2, 17, 14)
    for name in ("rotation", "zoom", "translation"):
        made = jax.jit(lambda strength, name=name: augment.apply(name, image, KEY, strength))
        for strength in (0.4, 1.0):
            angle = np.deg2rad(augment.ROTATION * strength)
            turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
            matrix = {"rotation": turn, "zoom": np.eye(2) / (1 + augment.ZOOM * strength)}
            shift = -augment.TRANSLATION * strength * np.array([17, 14]) * (name == "translation")
            for before, after in zip(image, np.asarray(made(strength)), strict=True):
                expected = affine(before[..., 0], matrix.get(name, np.eye(2)), shift)
                np.testing.assert_allclose(after[..., 0], expected, atol=1e-5, err_msg=name)


def test_shear_and_stretch_are_scipys(largest):
    image = pictures(2, 17, 14)
    for name in ("shear", "stretch"):
        made = jax.jit(lambda strength, name=name: augment.apply(name, image, KEY, strength))
        for strength in (0.4, 1.0):
            factor = np.exp(strength * augment.ASPECT)
            slant = np.array([[1, 0], [strength * augment.SHEAR, 1]])
            matrix = {"shear": slant, "stretch": np.diag([factor, 1 / factor])}[name]
            for before, after in zip(image, np.asarray(made(strength)), strict=True):
                np.testing.assert_allclose(after[..., 0], affine(before[..., 0], matrix), atol=1e-5)


def test_seen_from_the_side_one_edge_is_smaller(largest):
    """At full strength the far corner is read 1.24 times as far from the centre, its opposite
    .76 times."""
    y, x = np.mgrid[-14:15, -14:15].astype(np.float32)
    far_y, far_x = augment._tilt(y, x, KEY, 1.0)
    ends = 14 / 29 * augment.PERSPECTIVE * 2
    assert np.asarray(far_y)[28, 28] == pytest.approx(14 * (1 + ends), rel=1e-5)
    assert np.asarray(far_x)[0, 0] == pytest.approx(-14 * (1 - ends), rel=1e-5)


def test_blur_is_scipys_and_gamma_a_power(largest, monkeypatch):
    image = pictures(2, 28, 28)
    monkeypatch.setattr(jax.random, "uniform", lambda key, minval: jnp.float32(0.6))
    blurred = np.asarray(jax.jit(lambda: augment.blur(image, KEY, 0.5))())
    soft = ndimage.gaussian_filter(image, (0, 1, 1, 0), mode="constant", truncate=28)
    np.testing.assert_allclose(blurred, 0.7 * image + 0.3 * soft, atol=1e-4)
    darker = np.asarray(jax.jit(lambda: augment.gamma(image, KEY, 0.5))())
    np.testing.assert_allclose(darker, image ** np.exp(0.5 * augment.GAMMA), rtol=1e-4)


def test_paper_lies_around_the_picture(largest):
    ink = jnp.ones((1, 28, 28, 1))
    shifted = np.asarray(jax.jit(lambda: augment.translation(ink, KEY, 1.0))())[0, ..., 0]
    assert (shifted[:2] == 0).all() and (shifted[:, :2] == 0).all()
    np.testing.assert_allclose(shifted[2:, 2:], 1, atol=1e-5)


def test_noise_has_its_deviation():
    grey = np.full((6, 12, 10, 1), 0.5, np.float32)
    noise = np.stack([apply("white_noise", grey, seed, 0.5) - grey for seed in range(10)])
    assert abs(noise.std() - 0.5 * augment.NOISE) < 0.0015
    assert abs(noise.mean()) < 0.002


def test_brightness_scales_the_ink_and_keeps_the_paper():
    grey = np.full((6, 12, 10, 1), 0.5, np.float32)
    grey[:, :4] = 0
    bright = apply("brightness", grey, 0, 1.0)
    assert (bright[:, :4] == 0).all()
    factor = bright[:, 4:].reshape(6, -1) / 0.5
    np.testing.assert_allclose(factor, factor[:, :1] + 0 * factor, rtol=1e-6)
    assert (abs(factor - 1) <= augment.BRIGHTNESS).all() and np.ptp(factor) > 0.2


@pytest.mark.parametrize("strength", [0.5, 1.0])
def test_cutout_blanks_one_square_anywhere(strength):
    blank = apply("cutout", np.ones((300, 28, 28, 1), np.float32), 0, strength)
    blank, side = blank[..., 0] == 0, round(6 * strength)
    rows, columns = blank.any(2), blank.any(1)
    assert (rows.sum(1) == side).all() and (columns.sum(1) == side).all()
    assert (blank.sum((1, 2)) == side**2).all()
    corners = rows.argmax(1), columns.argmax(1)
    assert all(c.min() == 0 and c.max() == 28 - side for c in corners)


def test_elastic_moves_pixels_smoothly_by_simards_amount():
    n = 28
    at = jnp.zeros((n, n))
    keys = jax.random.split(jax.random.key(0), 200)
    deform = jax.jit(jax.vmap(lambda k: jnp.stack(augment._deform(at, at, k, 1.0))))
    moved = np.asarray(deform(keys))
    rms = np.sqrt((moved[..., 10:18, 10:18] ** 2).mean())
    assert abs(rms - 34 / np.sqrt(3) / (4 * np.sqrt(4 * np.pi))) < 0.1
    assert np.sqrt((np.diff(moved, axis=-1) ** 2).mean()) < 0.3 * rms
    noise = np.random.default_rng(0).normal(size=n)
    np.testing.assert_allclose(
        augment._gaussian(n, 4.0) @ noise,
        ndimage.gaussian_filter1d(noise, 4.0, mode="constant", truncate=8),
        atol=1e-5,
    )


def test_combined_at_full_strength_composes_its_maps(largest, monkeypatch):
    """Translation, zoom, rotation, then brightness: one sampling, as scipy's."""
    monkeypatch.setattr(augment, "_white_noise", lambda image, key, strength: image)
    monkeypatch.setattr(augment, "_cutout", lambda image, key, strength: image)
    monkeypatch.setattr(augment, "_deform", lambda y, x, key, strength: (y, x))
    image = 0.5 * ndimage.gaussian_filter(np.eye(28) + np.eye(28)[::-1], 2)
    image_BxHxWxC = jnp.asarray(image, jnp.float32)[None, ..., None]
    out = jax.jit(lambda: augment.combined(image_BxHxWxC, KEY, 1.0))()
    angle = np.deg2rad(15)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    expected = affine(image, turn / 1.15, centre_shift=(-2, -2)) * 1.4
    np.testing.assert_allclose(out[0, ..., 0], expected, atol=1e-5)


def corpus(n=47):
    rng = np.random.default_rng(0)
    label = np.array([0, 1, 1, 4])[np.arange(n) % 4]
    return rng.integers(0, 256, (n, 8, 8), dtype=np.uint8), label


@pytest.mark.parametrize("per_class", [0, 5, 30, 200])
def test_generate_uses_each_picture_of_a_class_equally_often(per_class):
    image, label = corpus()
    made, of, source = augment.generate(image, label, per_class, "combined", 1.0, seed=0)
    assert (made.dtype, made.shape) == (np.uint8, (3 * per_class, 8, 8))
    assert of.dtype == np.int32
    np.testing.assert_array_equal(of, label[source])
    for one in np.unique(label):
        assert (of == one).sum() == per_class
        used = np.bincount(source, minlength=len(label))[label == one]
        assert used.max() - used.min() <= 1


def test_generate_is_decided_by_the_seed_and_never_repeats_itself():
    image, label = corpus()
    make = functools.partial(augment.generate, image, label, 200, "combined", 0.9)
    first, again, other = make(0), make(0), make(1)
    for one, two in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, two)
    assert not np.array_equal(first[0], other[0]) and not np.array_equal(first[2], other[2])
    assert len(np.unique(first[0].reshape(600, -1), axis=0)) == 600


def test_generate_at_strength_zero_copies_its_sources():
    image, label = corpus()
    made, _, source = augment.generate(image, label, 9, "combined", 0.0, seed=0)
    np.testing.assert_array_equal(made, image[source])


@pytest.mark.parametrize("strength", [0.1, 0.3])
def test_combined_takes_each_of_seven_with_probability_strength(strength):
    image, label = corpus()
    made, _, source = augment.generate(image, label, 500, "combined", strength, seed=0)
    unchanged = (made == image[source]).all((1, 2)).mean()
    p = (1 - strength) ** 7
    assert abs(unchanged - p) < 3 * np.sqrt(p * (1 - p) / len(made))


def test_an_unknown_augmentation_is_refused():
    with pytest.raises(UserError, match=r"augment\.name 'rotate'.*did you mean 'rotation'"):
        augment.apply("rotate", pictures(), jax.random.key(0), 1.0)
    with pytest.raises(UserError, match="did you mean 'elastic'"):
        augment.generate(*corpus(), 5, "elastics", 1.0, seed=0)


def test_a_thicker_stroke_has_one_pixel_more_at_each_side(monkeypatch):
    line = np.zeros((1, 9, 9, 1), np.float32)
    line[0, 2:7, 4] = 1
    monkeypatch.setattr(jax.random, "uniform", lambda key, minval, maxval: jnp.float32(maxval))
    wide = np.asarray(jax.jit(lambda x: augment._thickness(x, KEY, 1.0))(line[0]))[..., 0]
    assert wide[4].tolist() == [0, 0, 0, 1, 1, 1, 0, 0, 0] and wide[:, 4].sum() == 7
    monkeypatch.setattr(jax.random, "uniform", lambda key, minval, maxval: jnp.float32(minval))
    thin = jax.jit(lambda x: augment._thickness(x, KEY, 1.0))(wide[..., None])[4, :, 0]
    np.testing.assert_allclose(thin[3:6], [0.4, 1, 0.4], rtol=1e-6)


def test_nothing_is_no_picture_of_the_batch():
    image = pictures(40, 28, 28)
    made = np.asarray(jax.jit(augment.nothing)(image, KEY))
    assert made.shape == image.shape and made.min() >= 0 and made.max() <= 1
    assert all(abs(image - one).max((1, 2, 3)).min() > 0.1 for one in made)


def test_what_holds_no_digit_is_of_four_kinds(monkeypatch):
    """Blots, shuffled tiles, two digits side by side and nearly blank paper, a quarter each."""
    image = pictures(40, 28, 28)

    @jax.jit
    def each_kind():
        made = []
        for kind in range(4):
            chosen = lambda key, shape, *_, kind=kind: jnp.full(shape, kind)  # noqa: E731
            monkeypatch.setattr(jax.random, "randint", chosen)
            made.append(augment.nothing(image, KEY))
        return made

    blots, tiles, pairs, blank = map(np.asarray, each_kind())
    assert blots.max() == 1 and blots.min() == 0 and 0 < blank.max() <= 0.2 + 1e-6
    for one, source in zip(tiles, image, strict=True):
        np.testing.assert_allclose(np.sort(one, None), np.sort(source, None), atol=1e-6)
    thin = image.reshape(40, 28, 14, 2, 1).max(3)  # half as wide
    beside = np.concatenate([thin, np.roll(thin, 1, 0)], 2)
    np.testing.assert_allclose(pairs, beside, atol=1e-6)
    monkeypatch.undo()
    many = np.asarray(jax.jit(augment.nothing)(np.repeat(image, 25, 0), KEY))
    assert abs((many.max((1, 2, 3)) <= 0.2 + 1e-6).mean() - 0.25) < 0.05


def test_shuffled_tiles_are_the_pictures_own():
    image = np.arange(64, dtype=np.float32).reshape(8, 8, 1)
    made = np.asarray(jax.jit(lambda x: augment._shuffled(x, KEY, 1.0))(image))
    held = [x.reshape(4, 2, 4, 2).swapaxes(1, 2).reshape(16, 4).tolist() for x in (made, image)]
    assert sorted(held[0]) == sorted(held[1]) and held[0] != held[1]
