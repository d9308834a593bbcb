"""Config -> optax."""

from collections.abc import Iterable

import jax
import optax
from ml_collections import ConfigDict
from optax.contrib import reduce_on_plateau

from fdigits.config import choose, optimizer_of


def schedule(optimizer: ConfigDict, steps_per_epoch: int) -> optax.Schedule:
    """Constant, or x `decay_factor` every `decay_epochs` epochs."""
    if not optimizer.decay_epochs:
        return optax.constant_schedule(optimizer.learning_rate)
    return optax.exponential_decay(
        optimizer.learning_rate,
        optimizer.decay_epochs * steps_per_epoch,
        optimizer.decay_factor,
        staircase=True,
    )


def make(optimizer: ConfigDict, steps_per_epoch: int) -> optax.GradientTransformation:
    """Clipping, L2 as torch's `weight_decay` (added to the gradient), and the config's rule."""
    learning_rate = schedule(optimizer, steps_per_epoch)
    rule = choose(
        optimizer.name,
        {
            "adam": lambda: optax.scale_by_adam(b1=optimizer.beta1),
            "adadelta": lambda: optax.scale_by_adadelta(rho=0.9, eps=1e-6),  # torch's defaults
            "sgd": lambda: optax.trace(optimizer.momentum),
        },
        "optimizer.name",
    )()
    clip = clip_norms(optimizer.clip_norm) if optimizer.clip_norm else None
    decay = optax.add_decayed_weights(optimizer.weight_decay) if optimizer.weight_decay else None
    steps = [clip, decay, rule, optax.scale_by_learning_rate(learning_rate)]
    return optax.chain(*(step for step in steps if step))


def of_players(
    config: ConfigDict, players: Iterable[str], steps_per_epoch: int
) -> dict[str, optax.GradientTransformation]:
    """The optimizer of each player: the config's, with the fields that `config.players` changes.

    Raises:
      UserError: a player that the task does not have.
    """
    names = list(players)
    for name in config.players:
        choose(name, dict.fromkeys(names), "players: player")
    return {name: make(optimizer_of(config, name), steps_per_epoch) for name in names}


def clip_norms(limit: float) -> optax.GradientTransformation:
    """Each array's gradient to a norm of at most `limit`, as Keras' `clipnorm` (R4)."""
    clip = optax.clip_by_global_norm(limit)
    return optax.stateless(
        lambda grads, _: jax.tree.map(lambda g: clip.update(g, clip.init(g))[0], grads)
    )


def make_plateau(plateau: ConfigDict) -> optax.GradientTransformationExtraArgs:
    """Scales the learning rate by `factor` when the validation error stops falling.

    Updated once an epoch with 1 - the monitored score: the error, or 1 + the loss. As torch's
    `ReduceLROnPlateau`, it acts on the epoch after `patience` bad ones; a gain under 1e-4
    (absolute, torch's is relative) is none.
    """
    return reduce_on_plateau(
        factor=plateau.factor,
        patience=plateau.patience + 1 if plateau.patience else 1 << 30,
        rtol=0.0,
        atol=1e-4,
    )
