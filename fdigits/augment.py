"""Augmentations of pictures: a batch and a key in, a batch out (R4, Problem 2; Figure 5).

R4 names seven and gives no magnitudes. Those here keep a digit readable even where `combined`
takes all seven, and scale with the side of the picture: pixels are told for a side of 28. Ink is 1,
paper 0, and paper lies all around. `handwriting` is ours: what pens, hands and cameras change.

Every function takes `(image_BxHxWxC, key, strength)`: float32 within 0..1; one key, or one for each
picture; one strength within 0..1, or one for each picture. It returns the same shape and range.
Strength scales the magnitudes, in `combined` instead the probability of each of the seven; 0
returns the very input. A picture's draws depend on nothing but its own key, which is
`fold_in(key, row)` if there is one key only.
"""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np

from fdigits.config import choose

NOISE = 0.1  # standard deviation
BRIGHTNESS = 0.4  # ink times 0.6 to 1.4; above 1 only the grey rims of strokes change
CUTOUT = 6 / 28  # side of the square (DeVries & Taylor 2017): 6 pixels
ROTATION = 15.0  # degrees, either way: far from turning a 1 into a 7, a 6 into a 9
TRANSLATION = 2 / 28  # 2 pixels along each axis, so that even a zoomed digit stays inside
ZOOM = 0.15  # times 0.85 to 1.15: a digit of 20 pixels has 17 to 23
# Simard, Steinkraus & Platt 2003: sigma 4 pixels, alpha 34, which moves by 1.4 pixels (rms) along
# each axis.
ELASTIC_SIGMA, ELASTIC_ALPHA = 4 / 28, 34 / 28
SHEAR = 0.3  # pixels to the side for each pixel down
ASPECT = 0.2  # width times 0.8 to 1.2, height by as much the other way
PERSPECTIVE = 0.25  # the far edge is smaller by up to this share
GAMMA = 0.7  # ink to the power of exp(-.7) to exp(.7)
GRAIN = 3.0  # times `NOISE`
THICK, THIN = 1.0, 0.6  # pixels at each side of a stroke

BATCH = 500  # pictures a call in `generate`


def over_batch(one):
    """Lifts `one(image_HxWxC, key, strength)` to a batch."""

    def augmentation(
        image_BxHxWxC: jax.Array, key: jax.Array, strength: jax.Array | float
    ) -> jax.Array:
        rows = len(image_BxHxWxC)
        # Under vmap, keys of "rbg" draw by the first alone. Half of such a key is one of threefry.
        key = jax.random.wrap_key_data(jax.random.key_data(key)[..., :2], impl="threefry2x32")
        if not key.ndim:
            key = jax.vmap(functools.partial(jax.random.fold_in, key))(jnp.arange(rows))
        return jax.vmap(one)(image_BxHxWxC, key, jnp.broadcast_to(strength, rows))

    return augmentation


def _within(key, limit, shape=()):
    """Uniform draws. Flat ones, as here, XLA compiles in a sixth of the time."""
    draw = jax.random.uniform(key, (math.prod(shape),), minval=-limit, maxval=limit)
    return draw.reshape(shape)


def _white_noise(image, key, strength):
    """Adds Gaussian noise of standard deviation `NOISE * strength`."""
    noise = jax.random.normal(key, (image.size,)).reshape(image.shape)
    return jnp.clip(image + NOISE * strength * noise, 0, 1)


def _brightness(image, key, strength):
    """Multiplies the ink by 1 ± `BRIGHTNESS * strength`; paper stays 0."""
    return jnp.clip(image * (1 + strength * _within(key, BRIGHTNESS)), 0, 1)


def _cutout(image, key, strength):
    """Blanks a square of side `CUTOUT * strength` of the picture's shorter side, inside it."""
    sides = np.array(image.shape[:2])
    side = jnp.round(strength * CUTOUT * sides.min())
    top, left = jnp.floor(jax.random.uniform(key, (2,)) * (sides - side + 1))
    y, x = jnp.arange(sides[0])[:, None], jnp.arange(sides[1])
    inside = (y >= top) & (y < top + side) & (x >= left) & (x < left + side)
    return jnp.where(inside[..., None], 0.0, image)


# A warp maps places (y, x) `[H, W]`, from the centre, of pixels to the places they are read from.


def _rotate(y, x, key, strength):
    """Turns by up to `ROTATION * strength` degrees about the centre."""
    angle = strength * _within(key, np.deg2rad(ROTATION))
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    return cos * y - sin * x, sin * y + cos * x


def _translate(y, x, key, strength):
    """Shifts along each axis by up to `TRANSLATION * strength` of its length, subpixels too."""
    down, right = strength * _within(key, TRANSLATION, (2,)) * np.array(y.shape)
    return y - down, x - right


def _scale(y, x, key, strength):
    """Scales by 1 ± `ZOOM * strength` about the centre."""
    factor = 1 + strength * _within(key, ZOOM)
    return y / factor, x / factor


def _deform(y, x, key, strength):
    """Moves each pixel by uniform noise smoothed with a Gaussian (Simard et al. 2003)."""
    side = min(y.shape)
    noise_2xHxW = _within(key, strength * ELASTIC_ALPHA * side, (2, *y.shape))
    down, across = (_gaussian(n, ELASTIC_SIGMA * side) for n in y.shape)
    field = jnp.einsum("ab,nbc,dc->nad", down, noise_2xHxW, across)
    return y + field[0], x + field[1]


def _gaussian(n: int, sigma: float) -> np.ndarray:
    """`[n, n]`: convolves n numbers, zeros around them, with a Gaussian of sum 1."""
    distance = np.arange(n)[:, None] - np.arange(n)
    kernel = np.exp(-0.5 * (distance / sigma) ** 2) / (sigma * np.sqrt(2 * np.pi))
    return kernel.astype(np.float32)


def _warped(*warps):
    """One sampling for several warps; the last of them acts on the picture first."""

    def one(image, key, strength):
        height, width, _ = image.shape
        y, x = jnp.arange(height) - (height - 1) / 2, jnp.arange(width) - (width - 1) / 2
        y, x = jnp.meshgrid(y, x, indexing="ij")
        keys, strengths = jax.random.split(key, len(warps)), jnp.broadcast_to(strength, len(warps))
        for i, warp in enumerate(warps):
            y, x = warp(y, x, keys[i], strengths[i])
        return _sample(image, y + (height - 1) / 2, x + (width - 1) / 2)

    return one


def _sample(image_HxWxC, y, x):
    """Bilinear values at the places (y, x) `[H, W]`; 0 outside the picture."""
    read = functools.partial(jax.scipy.ndimage.map_coordinates, order=1, mode="constant")
    return jnp.clip(jax.vmap(lambda c: read(c, [y, x]), -1, -1)(image_HxWxC), 0, 1)


def _combined(image, key, strength):
    """Each of the seven with probability `strength`, at full strength (R4's "Combined")."""
    chosen, *keys = jax.random.split(key, 5)
    taken_7 = jax.random.bernoulli(chosen, strength, (7,)).astype(jnp.float32)
    image = _warped(_deform, _rotate, _scale, _translate)(image, keys[0], taken_7[:4])
    image = _brightness(image, keys[1], taken_7[4])
    image = _white_noise(image, keys[2], taken_7[5])
    return _cutout(image, keys[3], taken_7[6])


def _thickness(image, key, strength):
    """Strokes thicker by up to `THICK` pixels at each side, or thinner by up to `THIN`."""
    around = ((1, 1), (1, 1), (0, 0))
    padded = jnp.pad(image, around)
    places = [padded[i : i + image.shape[0], j : j + image.shape[1]] for i, j in np.ndindex(3, 3)]
    thick, thin = functools.reduce(jnp.maximum, places), functools.reduce(jnp.minimum, places)
    amount = strength * jax.random.uniform(key, minval=-THIN, maxval=THICK)
    return jnp.where(amount > 0, _mix(image, thick, amount), _mix(image, thin, -amount))


def _blur(image, key, strength):
    """Mixes in the picture blurred by a Gaussian with sigma 1 pixel of 28."""
    down, across = (_gaussian(n, min(image.shape[:2]) / 28) for n in image.shape[:2])
    blurred = jnp.einsum("ab,bwc,vw->avc", down, image, across)
    return jnp.clip(_mix(image, blurred, strength * jax.random.uniform(key, minval=0.2)), 0, 1)


def _gamma(image, key, strength):
    """Grey rims of strokes darker or lighter: ink to a power."""
    return image ** jnp.exp(strength * _within(key, GAMMA))


def _mix(image, other, share):
    return image + share * (other - image)


def _shear(y, x, key, strength):
    """Slants by up to `SHEAR`."""
    return y, x + strength * _within(key, SHEAR) * y


def _stretch(y, x, key, strength):
    """Wider and lower, or narrower and higher, by up to `ASPECT`."""
    factor = jnp.exp(strength * _within(key, ASPECT))
    return y * factor, x / factor


def _tilt(y, x, key, strength):
    """Seen from the side: one edge of the picture is up to `PERSPECTIVE` smaller."""
    down, right = strength * _within(key, PERSPECTIVE, (2,)) / np.array(y.shape)
    near = 1 + down * y + right * x
    return y * near, x * near


def _handwriting(image, key, strength):
    """Each of ten changes of pen, hand and camera with probability `strength`."""
    chosen, grain, *keys = jax.random.split(key, 7)
    taken_10 = jax.random.bernoulli(chosen, strength, (10,)).astype(jnp.float32)
    image = _thickness(image, keys[0], taken_10[0])
    warp = _warped(_deform, _rotate, _shear, _stretch, _tilt, _translate)
    image = warp(image, keys[1], taken_10[1:7] * jnp.array([1, 1, 1, 1, 1, 0.5]))
    image = _blur(image, keys[2], taken_10[7])
    image = jnp.clip(_gamma(image, keys[3], taken_10[8]), 0, 1)
    return _white_noise(image, keys[4], GRAIN * taken_10[9] * jax.random.uniform(grain))


def nothing(image_BxHxWxC: jax.Array, key: jax.Array) -> jax.Array:
    """Pictures that hold no digit, or more than one, of the same shape, made of some that do.

    A quarter each: blots and textures (smoothed noise above a level), a digit whose sixteen tiles
    are shuffled, two digits side by side, and nearly blank paper.
    """
    kind, other = jax.random.split(key)
    made = jnp.stack(
        [
            over_batch(_blots)(image_BxHxWxC, key, 1.0),
            over_batch(_shuffled)(image_BxHxWxC, key, 1.0),
            _side_by_side(image_BxHxWxC),
            0.2 * over_batch(_blots)(image_BxHxWxC, other, 1.0),
        ]
    )
    chosen_B = jax.random.randint(kind, (len(image_BxHxWxC),), 0, len(made))
    return made[chosen_B, jnp.arange(len(image_BxHxWxC))]


def _blots(image, key, strength):
    """Noise of a random smoothness, where it is above a random level."""
    noise, smooth, level = jax.random.split(key, 3)
    field = jax.random.normal(noise, (image.size,)).reshape(image.shape)
    smoother = [jnp.einsum("ab,bwc,vw->avc", g, field, g) for g in _smoothers(image.shape)]
    field = jnp.stack([field, *smoother])[jax.random.randint(smooth, (), 0, len(smoother) + 1)]
    field /= field.std()
    least = jax.random.uniform(level, minval=0.0, maxval=1.5)
    return strength * jnp.clip((field - least) / 0.3, 0, 1)


def _smoothers(shape):
    return [_gaussian(shape[0], sigma * shape[0] / 28) for sigma in (0.7, 1.3, 2.5)]


def _shuffled(image, key, strength):
    """The sixteen tiles of a picture in a random order."""
    tiles = image.reshape(4, image.shape[0] // 4, 4, image.shape[1] // 4, -1).swapaxes(1, 2)
    moved = jax.random.permutation(key, tiles.reshape(16, *tiles.shape[2:])).reshape(tiles.shape)
    return strength * moved.swapaxes(1, 2).reshape(image.shape)


def _side_by_side(image_BxHxWxC):
    """Each picture and the batch's next, half as wide."""
    narrow = image_BxHxWxC.reshape(*image_BxHxWxC.shape[:2], -1, 2, image_BxHxWxC.shape[-1]).max(3)
    return jnp.concatenate([narrow, jnp.roll(narrow, 1, 0)], 2)


white_noise = over_batch(_white_noise)
brightness = over_batch(_brightness)
cutout = over_batch(_cutout)
rotation = over_batch(_warped(_rotate))
translation = over_batch(_warped(_translate))
zoom = over_batch(_warped(_scale))
elastic = over_batch(_warped(_deform))
combined = over_batch(_combined)
thickness = over_batch(_thickness)
blur = over_batch(_blur)
gamma = over_batch(_gamma)
shear = over_batch(_warped(_shear))
stretch = over_batch(_warped(_stretch))
perspective = over_batch(_warped(_tilt))
handwriting = over_batch(_handwriting)

AUGMENTATIONS = dict(
    white_noise=white_noise,
    brightness=brightness,
    cutout=cutout,
    rotation=rotation,
    translation=translation,
    zoom=zoom,
    elastic=elastic,
    combined=combined,
    thickness=thickness,
    blur=blur,
    gamma=gamma,
    shear=shear,
    stretch=stretch,
    perspective=perspective,
    handwriting=handwriting,
)


def apply(
    name: str, image_BxHxWxC: jax.Array, key: jax.Array, strength: jax.Array | float
) -> jax.Array:
    """The augmentation called `name`.

    Raises:
      UserError: no such augmentation; names the nearest.
    """
    return choose(name, AUGMENTATIONS, "augment.name")(image_BxHxWxC, key, strength)


def generate(
    image_NxHxW: np.ndarray,
    label_N: np.ndarray,
    per_class: int,
    name: str,
    strength: float,
    seed: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """`per_class` augmented pictures of each class that occurs (R4, Table 3).

    Within a class no picture is used more than once more often than another.

    Args:
      image_NxHxW: uint8, ink 255.

    Returns:
      image `[M, H, W]` uint8, label `[M]` int32, and the rows they were made of `[M]`; by class.

    Raises:
      UserError: no such augmentation; names the nearest.
    """
    rng, key = np.random.default_rng(seed), jax.random.key(seed)
    rows = [np.flatnonzero(label_N == label) for label in np.unique(label_N)]
    source_M = np.concatenate([_deck(rng, of_class, per_class) for of_class in rows])
    made = np.empty((len(source_M), *image_NxHxW.shape[1:]), np.uint8)
    for start in range(0, len(made), BATCH):
        row_B = np.arange(start, start + BATCH)
        given = image_NxHxW[source_M[row_B % len(made)]]
        image = _render(name, given, key, row_B, strength)
        made[start : start + BATCH] = image[: len(made) - start]
    return made, label_N[source_M].astype(np.int32), source_M


def _deck(rng: np.random.Generator, rows: np.ndarray, n: int) -> np.ndarray:
    """n of the rows: all in a random order, then all in another, and so on."""
    return rng.permuted(np.tile(rows, (-(-n // len(rows)), 1)), axis=1).ravel()[:n]


@functools.partial(jax.jit, static_argnums=0)
def _render(name, image_BxHxW, key, row_B, strength):
    keys_B = jax.vmap(functools.partial(jax.random.fold_in, key))(row_B)
    image = apply(name, image_BxHxW[..., None] / 255.0, keys_B, strength)
    return jnp.round(image[..., 0] * 255).astype(jnp.uint8)
