"""Task of any generator that draws a digit for a label: how its drawings are judged and shown."""

from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from fdigits import noise, quality
from fdigits.data.corpus import CLASSES, SIDE
from fdigits.errors import UserError
from fdigits.models.classifiers import Head
from fdigits.models.encoders import ExampleEncoder
from fdigits.tasks.task import Batch, Outputs, Task

SHOWN = 10  # pictures of each digit on a sheet
JUDGE = ("judge_encoder", "judge_head")  # they start from the stage `judge`, and no one moves them
JUDGE_PIXELS = (0.1307, 0.3081)  # mean and sd by which it normalises (R2)


class Generate(Task):
    """Draws pictures of labels. Subclasses say who learns, and draw."""

    SCORES: ClassVar = {"fid": -1, "judged": 1}
    PREDICTIONS = ("drawn", "scores")
    SEEDED = True
    reads = ("image",)

    def draw(self, params, batch_stats, noise_BxZ: jax.Array, label_B: jax.Array) -> jax.Array:
        """Pictures `[B, 28, 28, 1]` within 0..1 from noise of the normal distribution."""
        raise NotImplementedError

    @property
    def noise_size(self) -> int:
        """Numbers of noise that a picture is drawn from."""
        return self.config.model.noise

    def pixels(self, module: str) -> tuple[float, float] | None:
        return JUDGE_PIXELS if module in JUDGE else super().pixels(module)

    def within_1(self, image: jax.Array) -> jax.Array:
        """Pictures as the model learns them -> within 0..1."""
        mean, sd = self.config.data.pixels
        return image * sd + mean

    def judged(self, params, image_BxHxWx1: jax.Array) -> tuple[jax.Array, jax.Array]:
        """The judge's features `[B, D]` and scores `[B, 10]` of pictures 0..1."""
        (encoder, head), (mean, sd) = JUDGE, JUDGE_PIXELS
        x = (image_BxHxWx1 - mean) / sd
        features = ExampleEncoder().apply({"params": params[encoder]}, x, train=False)
        return features, Head().apply({"params": params[head]}, features)

    def evaluate(self, params, batch_stats, batch: Batch) -> Outputs:
        """For each item a picture of its label, `drawn`; the judge's `scores` of it, and its
        features of both, `real_features` and `drawn_features`. Nothing without labels."""
        if "label" not in batch:
            return {}
        image, label = batch["image"], batch["label"]
        drawn = self.draw(params, batch_stats, self._noise_of(image), label)
        features, scores = self.judged(params, drawn)
        real, _ = self.judged(params, image[..., None].astype(jnp.float32) / 255)
        return {
            "drawn": to_bytes(drawn),
            "scores": scores,
            "real_features": real,
            "drawn_features": features,
        }

    def _noise_of(self, image_BxHxW: jax.Array) -> jax.Array:
        """Noise `[B, Z]` that follows from the seed and each test picture, and nothing else."""
        held_BxN = image_BxHxW.reshape(len(image_BxHxW), -1).astype(jnp.uint32)
        key = jax.random.key(self.config.seed, impl="threefry2x32")
        return noise.of_items(key, held_BxN, self.noise_size)

    def summary(self, outputs, label_N: np.ndarray) -> dict:
        """`judged`: the share that the judge takes for its label; `fid`, `precision` and `recall`
        on its features; `spread` within a label over that of real pictures; lists by digit."""
        right_N = outputs["scores"].argmax(-1) == label_N
        real, drawn = outputs["real_features"], outputs["drawn_features"]
        precision, recall = quality.precision_recall(real, drawn)
        spread = quality.spread(real, drawn, label_N)
        return {
            "judged": float(right_N.mean()),
            "fid": quality.frechet_distance(real, drawn),
            "precision": precision,
            "recall": recall,
            "spread": float(np.mean(spread)),
            "judged_by_digit": [_mean(right_N[label_N == digit]) for digit in range(CLASSES)],
            "spread_by_digit": spread,
            "n": len(label_N),
        }

    def samples(self, params, batch_stats) -> jax.Array:
        """`[10, SHOWN, 28, 28]` uint8: row d is digit d, a column one noise for all digits."""
        key = jax.random.key(self.config.seed, impl="threefry2x32")
        noise = jnp.tile(jax.random.normal(key, (SHOWN, self.noise_size)), (CLASSES, 1))
        label = jnp.repeat(jnp.arange(CLASSES), SHOWN)
        drawn = to_bytes(self.draw(params, batch_stats, noise, label))
        return drawn.reshape(CLASSES, SHOWN, SIDE, SIDE)

    def leave(self, params, batch_stats, splits, arrays) -> dict[str, dict[str, np.ndarray]]:
        """The sheet, and the training picture that is nearest to each of its pictures."""
        sheet = np.asarray(jax.jit(self.samples)(params, batch_stats))
        train = arrays["image"][np.unique(splits["train"].examples()["image"])]
        flat = [x.reshape(-1, SIDE * SIDE).astype(np.float32) for x in (sheet, train)]
        beside = train[quality.nearest(*flat)].reshape(sheet.shape)
        return {"sheet.npz": {"image": sheet, "nearest": beside}}

    def generate(self, params, batch_stats, key: jax.Array, label_B: jax.Array) -> jax.Array:
        noise = jax.random.normal(key, (len(label_B), self.noise_size))
        return to_bytes(self.draw(params, batch_stats, noise, label_B))


def refuse_half_precision(config: ConfigDict) -> None:
    """Raises `UserError` where a generator is asked to train in less than float32."""
    if config.dtype != "float32":
        raise UserError(f"dtype is {config.dtype}: {config.name} trains in float32 only")


def to_bytes(image_BxHxWx1: jax.Array) -> jax.Array:
    """Pictures within 0..1 -> `[B, H, W]` uint8."""
    return jnp.round(jnp.clip(image_BxHxWx1[..., 0], 0, 1) * 255).astype(jnp.uint8)


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else 0.0
