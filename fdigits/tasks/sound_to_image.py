"""Task: from the sound of a digit to a handwritten picture of it, which a judge reads (R2).

A picture of the same digit, drawn anew for each recording in each epoch (`Split.examples`), is what
the drawing is held against. The judge is a classifier that an earlier stage trained on true
pictures; it sees what is drawn as it saw those.
"""

from collections.abc import Mapping
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from ml_collections import ConfigDict

from fdigits import metrics, noise
from fdigits.data.corpus import CLASSES
from fdigits.errors import UserError
from fdigits.models import vae
from fdigits.tasks.classify import Classify, cross_entropy
from fdigits.tasks.generate import to_bytes
from fdigits.tasks.task import Batch, Outputs, Task

DRAWS = 8  # pictures drawn of one recording, for the page
STEPS = 9  # of a walk between two recordings
READING = 10.0  # weight of what the sharp model's reader says of what is drawn
WALKS = ((3, 8), (1, 7), (4, 9), (0, 6))  # between which digits
COMPARED = 100  # drawn and true pictures of a digit whose distances are taken


def gaussian_kl(mean_BxD, log_variance_BxD, prior_mean=0.0, prior_log_variance=0.0) -> jax.Array:
    """KL divergence `[B]`, in nats, of diagonal Gaussians from others, or the standard normal."""
    more = log_variance_BxD - prior_log_variance
    off = jnp.square(mean_BxD - prior_mean) * jnp.exp(-prior_log_variance)
    return (off + jnp.exp(more) - 1 - more).sum(-1) / 2


def bernoulli(logits: jax.Array, target: jax.Array) -> jax.Array:
    """Cross-entropy `[B]`, in nats, of pictures in [0, 1]: summed over pixels, `[B,28,28,1]`."""
    # Not by -|x|, whose slope in JAX is -1 at 0.
    least = jnp.minimum(logits, -logits)
    error = jnp.maximum(logits, 0) - logits * target + jnp.log1p(jnp.exp(least))
    flat = error.reshape(len(error), -1)
    # A sum of XLA's on CPUs would hold the logarithms and take a tenth of the step.
    return jnp.dot(flat, jnp.ones(flat.shape[1], flat.dtype), precision="highest")


def apart(x_NxD: np.ndarray, label_N: np.ndarray) -> np.ndarray:
    """Root of the mean squared distance of two items of a digit, `[10]`; 0 with fewer than two.

    Twice the variance, summed over D, is the mean over all ordered pairs, an item and itself among
    them: n / (n - 1) leaves those out.
    """
    found = np.zeros(CLASSES)
    for digit in range(CLASSES):
        some = x_NxD[label_N == digit].astype(np.float64)
        if len(some) > 1:
            found[digit] = np.sqrt(2 * some.var(0, ddof=1).sum())
    return found


class SoundToImage(Task):
    """The evidence lower bound of pictures; the sharp model also learns to name the digit."""

    SCORES: ClassVar = {"loss": -1, "accuracy": 1}
    PREDICTIONS = ("picture", "logits", "reconstruction", "kl", "heard")

    FIELDS = ("name", "sound", "latent")

    @classmethod
    def of(cls, config: ConfigDict) -> "SoundToImage":
        if config.augment.strength:
            raise UserError(
                f"augment.strength is {config.augment.strength}, but {config.name} learns to draw "
                "pictures as they are: set it to 0"
            )
        return cls(vae.make(config.model), config)

    @property
    def sound(self) -> str:
        return self.config.model.sound

    @property
    def sharp(self) -> bool:
        return isinstance(self.model, vae.SharpVAE)

    @property
    def reads(self) -> tuple[str, ...]:
        return ("image", self.sound)

    @property
    def given(self) -> tuple[str, ...]:
        return (self.sound,)

    def pixels(self, module: str) -> tuple[float, float] | None:
        return self.config.model.judge_pixels if module.startswith("judge_") else None

    def inputs(self, batch: Batch, key: jax.Array | None = None) -> dict[str, jax.Array]:
        """The sound, with the config's noise in training, and, if given, its picture in [0, 1]."""
        sound = batch[self.sound]
        if key is not None and self.config.input_noise:
            sound += self.config.input_noise * noise.gaussian(key, sound.shape)
        read = {self.sound: sound}
        if "image" in batch:
            read["image"] = batch["image"][..., None].astype(jnp.float32) / 255
        return {name: x.astype(self.dtype) for name, x in read.items()}

    def init(self, key: jax.Array, batch: Batch) -> dict:
        read = {name: x.astype(jnp.float32) for name, x in self.inputs(batch).items()}
        return self.model.init({"params": key}, read, train=False)

    def _parts(self, outputs: Mapping, target: jax.Array) -> dict[str, jax.Array]:
        """What the bound is made of, `[B]` each."""
        told = {name: x.astype(jnp.float32) for name, x in outputs.items()}
        prior = jnp.split(told["prior"], 2, -1) if "prior" in told else ()
        return {
            "reconstruction": bernoulli(told["pixels"], target.astype(jnp.float32)),
            "kl": gaussian_kl(told["mean"], told["log_variance"], *prior),
        }

    def loss(self, params, batch_stats, batch: Batch, key: jax.Array):
        """Minus the bound; of the sharp model the ear's cross-entropy too, and, not told of, the
        reader's of true pictures and of drawn ones. Aux: new statistics, loss and parts."""
        read = self.inputs(batch, key)
        outputs, new = self.model.apply(
            {"params": self.cast(params), "batch_stats": batch_stats},
            read | {"digit": jax.nn.one_hot(batch["label"], CLASSES)},
            train=True,
            rngs={name: jax.random.fold_in(key, n) for n, name in enumerate(("latent", "dropout"))},
            mutable=["batch_stats"],
        )
        told = {k: v.mean() for k, v in self._parts(outputs, read["image"]).items()}
        loss, label, aside = told["reconstruction"] + told["kl"], batch["label"], 0.0
        if "heard" in outputs:
            heard, seen = (outputs[name].astype(jnp.float32) for name in ("heard", "read"))
            loss += cross_entropy(heard, label)
            told["heard"] = (heard.argmax(-1) == label).mean()
            drawn = self._read_drawn(params, batch_stats, label, jax.random.fold_in(key, 2))
            aside = cross_entropy(seen, label) + READING * cross_entropy(drawn, label)
        new = batch_stats | new.get("batch_stats", {})
        return loss + aside, (new, {"loss": loss} | told)

    def _read_drawn(self, params, batch_stats, label_B, key: jax.Array) -> jax.Array:
        """The scores `[B, 10]` of the sharp model's reader, which learns nothing by them, of
        drawings of digits."""
        params = dict(params) | {"reader": lax.stop_gradient(params["reader"])}
        variables = {"params": self.cast(params), "batch_stats": batch_stats}
        digit, styles = jax.nn.one_hot(label_B, CLASSES), self._styles(key, len(label_B))
        pixels = self.model.apply(variables, digit, styles, method="draw")
        read = self.model.apply(variables, jax.nn.sigmoid(pixels), method="read")
        return read.astype(jnp.float32)

    def _noise(self, batch: Batch, purpose: int) -> jax.Array:
        """Noise `[B, D]` that follows from each item's sound, and its picture if it has one, and
        not from the items beside it."""
        held = [batch[name] for name in (self.sound, "image") if name in batch]
        flat = jnp.concatenate([x.reshape(len(x), -1).astype(jnp.float32) for x in held], 1)
        bits_BxN = lax.bitcast_convert_type(flat, jnp.uint32)
        key = jax.random.fold_in(jax.random.key(0, impl="threefry2x32"), purpose)
        return noise.of_items(key, bits_BxN, self.model.latent, self.dtype)

    def _styles(self, key: jax.Array, count: int) -> jax.Array:
        """Noise for the decoder: the sharp model's style; none for R2's, which draws the mean."""
        shape = (count, self.model.latent)
        if not self.sharp:
            return jnp.zeros(shape, self.dtype)
        return jax.random.normal(key, shape, self.dtype)

    def _draw(self, params, batch_stats, told: jax.Array, noise_BxD: jax.Array) -> jax.Array:
        """Pictures `[B, 28, 28]` uint8."""
        variables = {"params": self.cast(params), "batch_stats": batch_stats}
        logits = self.model.apply(variables, told, noise_BxD, method="draw")
        return to_bytes(jax.nn.sigmoid(logits.astype(jnp.float32)))

    def judged(self, params, image_Bx28x28: jax.Array) -> tuple[jax.Array, jax.Array]:
        """The judge's features `[B, 128]` and scores `[B, 10]` of pictures, uint8."""
        mean, std = self.config.model.judge_pixels
        seen = (image_Bx28x28[..., None].astype(jnp.float32) / 255 - mean) / std
        found = self.model.apply({"params": params}, seen, method="judge")
        return tuple(x.astype(jnp.float32) for x in found)

    def evaluate(self, params, batch_stats, batch: Batch) -> Outputs:
        """Each sound's picture `[B, 28, 28]` uint8 and what the judge makes of it.

        R2's model draws the mean of its Gaussian, the sharp one a style for each item. Beside
        `picture`: the judge's `logits` and, of the item's true picture, `reconstruction` and `kl`
        (of one draw, in nats); the sharp model's `heard` `[B, 10]`; under the sound's name its
        embedding.
        """
        read = self.inputs(batch)
        variables = {"params": self.cast(params), "batch_stats": batch_stats}
        told, embedding = self.model.apply(variables, read, method="describe")
        styles = self._noise(batch, 0) * self.sharp  # R2's draws the mean
        picture = self._draw(params, batch_stats, told, styles)
        _, logits = self.judged(params, picture)
        outputs = {"picture": picture, "logits": logits, self.sound: embedding.astype(jnp.float32)}
        if not {"image", "label"} <= batch.keys():
            return outputs
        read |= {"digit": jax.nn.one_hot(batch["label"], CLASSES), "noise": self._noise(batch, 1)}
        found = self.model.apply(variables, read, train=False)
        outputs |= self._parts(found, read["image"])
        return outputs | ({"heard": found["heard"]} if "heard" in found else {})

    def encode(self, params, batch_stats, batch: Batch) -> Outputs:
        """For later stages: each sound's `picture`."""
        return {"picture": self.evaluate(params, batch_stats, batch)["picture"]}

    def probabilities(self, outputs: Outputs) -> jax.Array:
        """The judge's."""
        return jax.nn.softmax(outputs["logits"])

    def summary(self, outputs: Mapping[str, np.ndarray], label_N: np.ndarray) -> dict:
        """Accuracy and the like by the judge; the bound's parts where there are true pictures;
        how far `apart` drawn pictures of a digit are, in units of ink, mean over digits."""
        found = metrics.summary(outputs["logits"], label_N)
        found["apart"] = float(apart(outputs["picture"] / np.float32(255), label_N).mean())
        if "reconstruction" not in outputs:
            return found
        parts = {name: float(outputs[name].mean()) for name in ("reconstruction", "kl")}
        loss = sum(parts.values())
        if "heard" in outputs:
            loss += float(cross_entropy(outputs["heard"], label_N))
            parts["heard"] = float((outputs["heard"].argmax(-1) == label_N).mean())
        return {"loss": loss} | found | parts

    def generate(self, params, batch_stats, key: jax.Array, label_B: jax.Array) -> jax.Array:
        """Of the sharp model alone, which can do without a sound."""
        if not self.sharp:
            return super().generate(params, batch_stats, key, label_B)
        digit = jax.nn.one_hot(label_B, CLASSES)
        return self._draw(params, batch_stats, digit, self._styles(key, len(digit)))

    def samples(self, params, batch_stats) -> jax.Array | None:
        """Of the sharp model: the same styles of each digit after each epoch."""
        if not self.sharp:
            return None
        digit = jnp.repeat(jnp.arange(CLASSES), DRAWS)
        drawn = self.generate(params, batch_stats, jax.random.key(0), digit)
        return drawn.reshape(CLASSES, DRAWS, *drawn.shape[1:])

    def leave(self, params, batch_stats, splits, arrays) -> dict[str, dict[str, np.ndarray]]:
        """For the page, of the test part.

        - `draws.npz`: `image` `[M, 8, 28, 28]`, eight of one recording of each `digit` `[M]`.
        - `walk.npz`: `image` `[W, 9, 28, 28]` between recordings of two digits, `between` `[W, 2]`.
        - `apart.npz`: `apart` of at most 100 pictures of each digit, `[10]` each: `drawn` and
          `true` ones, by pixels and, `..._judged`, by the judge's features.
        """
        rows = splits["test"].examples()
        digit, first = np.unique(rows["label"], return_index=True)
        sound = arrays[self.sound][rows[self.sound][first]]
        draws, walks = jax.jit(self._draws), jax.jit(self._walks)
        at = {one: place for place, one in enumerate(digit.tolist())}
        between = [pair for pair in WALKS if set(pair) <= at.keys()]
        ends = np.array([[at[one] for one in pair] for pair in between], int).reshape(-1, 2)
        walked = walks(params, batch_stats, sound[ends[:, 0]], sound[ends[:, 1]])
        return {
            "draws.npz": {"digit": digit, "image": np.asarray(draws(params, batch_stats, sound))},
            "walk.npz": {"between": np.array(between), "image": np.asarray(walked)},
            "apart.npz": self._apart(params, batch_stats, rows, arrays),
        }

    def _described(self, params, batch_stats, sound: jax.Array) -> jax.Array:
        variables = {"params": self.cast(params), "batch_stats": batch_stats}
        read = self.inputs({self.sound: jnp.asarray(sound)})
        return self.model.apply(variables, read, method="describe")[0]

    def _draws(self, params, batch_stats, sound_M: jax.Array) -> jax.Array:
        """`[M, 8, 28, 28]`: R2's model by points of its Gaussian, the sharp one by styles."""
        told = jnp.repeat(self._described(params, batch_stats, sound_M), DRAWS, 0)
        styles = jax.random.normal(jax.random.key(0), (len(told), self.model.latent), self.dtype)
        drawn = self._draw(params, batch_stats, told, styles)
        return drawn.reshape(-1, DRAWS, *drawn.shape[1:])

    def _walks(self, params, batch_stats, from_W: jax.Array, to_W: jax.Array) -> jax.Array:
        """`[W, 9, 28, 28]`: what two sounds tell the decoder, mixed; one style all along."""
        ends = [self._described(params, batch_stats, x)[:, None] for x in (from_W, to_W)]
        share = jnp.linspace(0, 1, STEPS)[:, None]
        told = ((1 - share) * ends[0] + share * ends[1]).astype(self.dtype)
        styles = jnp.repeat(self._styles(jax.random.key(1), len(from_W)), STEPS, 0)
        drawn = self._draw(params, batch_stats, told.reshape(-1, told.shape[-1]), styles)
        return drawn.reshape(-1, STEPS, *drawn.shape[1:])

    def _apart(self, params, batch_stats, rows, arrays) -> dict[str, np.ndarray]:
        draw, judge = jax.jit(self.evaluate), jax.jit(self.judged)
        label, pictures = [], {"drawn": [], "true": []}
        for digit in np.unique(rows["label"]):
            own = np.flatnonzero(rows["label"] == digit)[:COMPARED]
            some = np.resize(own, COMPARED)  # one shape, compiled once
            batch = {name: arrays[name][rows[name][some]] for name in self.reads}
            batch["label"] = rows["label"][some]
            drawn = np.asarray(draw(params, batch_stats, batch)["picture"])
            for kind, image in (("drawn", drawn), ("true", batch["image"])):
                features = np.asarray(judge(params, image)[0])
                pictures[kind].append((image[: len(own)] / np.float32(255), features[: len(own)]))
            label.append(batch["label"][: len(own)])
        label, found = np.concatenate(label), {}
        for kind, some in pictures.items():
            image, features = (np.concatenate(x) for x in zip(*some, strict=True))
            found |= {kind: apart(image, label), f"{kind}_judged": apart(features, label)}
        return found


class TuneJudge(Classify):
    """R2's second judge: the last two dense layers learn from drawn pictures, labelled by what was
    said; the convolutions stay. Beside it the judge as it was."""

    PREDICTIONS = ("picture", "logits", "untouched")
    reads = ("picture",)

    @classmethod
    def of(cls, config: ConfigDict) -> "TuneJudge":
        return cls(vae.TunedJudge(), config)

    def pixels(self, module: str) -> tuple[float, float] | None:
        return self.config.data.pixels

    def inputs(self, batch: Batch, key: jax.Array | None = None) -> dict[str, jax.Array]:
        """Pictures `[B, 28, 28, 1]`, normalised as the judge's by `data.pixels`."""
        mean, std = self.config.data.pixels
        x = batch["picture"][..., None].astype(jnp.float32) / 255
        return {"picture": ((x - mean) / std).astype(self.dtype)}

    def loss(self, params, batch_stats, batch: Batch, key: jax.Array):
        """Cross-entropy; what lies before the two dense layers gets no gradient."""
        encoder = lax.stop_gradient(params["encoder"]) | {"Dense_0": params["encoder"]["Dense_0"]}
        return super().loss({**params, "encoder": encoder}, batch_stats, batch, key)

    def evaluate(self, params, batch_stats, batch: Batch) -> Outputs:
        """As a classifier; `untouched` `[B, 10]`, and the `picture` as it was drawn, uint8."""
        found = super().evaluate(params, batch_stats, batch)
        return found | {"embedding": found["picture"], "picture": batch["picture"]}

    def explained(self, outputs: Outputs) -> None:
        """Nothing: what it reads is no input of a person's."""

    def summary(self, outputs: Mapping[str, np.ndarray], label_N: np.ndarray) -> dict:
        """As a classifier, and that of the judge as it was, `untouched`."""
        right = float((outputs["untouched"].argmax(-1) == label_N).mean())
        return super().summary(outputs, label_N) | {"untouched": right}
