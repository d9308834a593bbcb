"""Task: a classifier that also knows when there is no digit."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import optax
from ml_collections import ConfigDict

from fdigits import augment, voices
from fdigits.data.corpus import CLASSES
from fdigits.errors import UserError
from fdigits.tasks.classify import Classify
from fdigits.tasks.task import Batch

SHARE = 8  # one item without a digit for every so many with one
WEIGHT = 0.5  # of their loss (Hendrycks et al. 2019)
NOTHING: dict[str, Callable[[jax.Array, jax.Array], jax.Array]] = {
    "image": lambda image, key: augment.nothing(image[..., None], key)[..., 0],
    "word": voices.nothing,
}


class Recognise(Classify):
    """Cross-entropy of digits, and of items that hold none to the uniform distribution.

    That is outlier exposure (Hendrycks et al. 2019): what holds no digit gets no confident one, so
    the largest probability tells both which digit and whether there is one.
    """

    @classmethod
    def of(cls, config: ConfigDict) -> "Recognise":
        """As `Classify`.

        Raises:
          UserError: the model reads something of which no item without a digit can be made.
        """
        task = super().of(config)
        if unknown := [name for name in task.reads if name not in NOTHING]:
            raise UserError(
                f"model.name={config.model.name} reads {', '.join(unknown)}: the task recognise "
                f"learns from {' and '.join(NOTHING)} alone"
            )
        return task

    def loss(self, params, batch_stats, batch: Batch, key: jax.Array):
        """As `Classify`; `B // SHARE` items without a digit are made of the batch's own."""
        label, own = batch["label"], jax.random.fold_in(key, 1 << 17)
        more = {name: _with_nothing(name, batch[name], own) for name in self.reads}
        outputs, mutated = self.trained(params, batch_stats, more, key)
        digits, nothing = jnp.split(outputs["logits"].astype(jnp.float32), [len(label)])
        loss, told = self.told(digits, label, mutated)
        uniform = jnp.full(nothing.shape, 1 / CLASSES)
        empty = optax.softmax_cross_entropy(nothing, uniform).mean()
        told["nothing"] = jax.nn.softmax(nothing).max(-1).mean()
        return loss + WEIGHT * empty, (mutated.get("batch_stats", {}), told)


def _with_nothing(name: str, x: jax.Array, key: jax.Array) -> jax.Array:
    """Integers `[B, ...]` -> `[B + B // SHARE, ...]`, the last of which hold no digit."""
    whole = np.iinfo(x.dtype).max
    nothing = NOTHING[name](x[: max(1, len(x) // SHARE)] / whole, key)
    return jnp.concatenate([x, jnp.round(nothing * whole).astype(x.dtype)])
