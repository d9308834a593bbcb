"""A made-up task, as a contributor would add one: an autoencoder of MFCC with a second player.

python -m tests.tasks.made_up WORKDIR [encoded|frozen]
"""

import sys
from pathlib import Path
from typing import ClassVar

import jax.numpy as jnp
from flax import linen as nn
from jax import lax

from fdigits import tasks
from fdigits.config import base
from fdigits.models.classifiers import Classifier, Head
from fdigits.run import run
from fdigits.tasks.classify import Classify, cross_entropy
from fdigits.tasks.task import Task
from fdigits.train import Player


class Encoder(nn.Module):
    @nn.compact
    def __call__(self, x, train=False):
        x = nn.BatchNorm(use_running_average=not train)(x.reshape(len(x), -1))
        return nn.tanh(nn.Dense(8)(x))


class Autoencoder(nn.Module):
    """Beside it a probe, which guesses the digit from the code and cannot change it."""

    def setup(self):
        self.encoder, self.decoder, self.probe = Encoder(), nn.Dense(39 * 13), nn.Dense(10)

    def __call__(self, batch, train):
        code = self.encoder(batch["audio"], train)
        again = self.decoder(code).reshape(batch["audio"].shape)
        error = jnp.square(again - batch["audio"]).mean((1, 2))
        return {"code": code, "error": error, "guess": self.probe(lax.stop_gradient(code))}


class Autoencode(Task):
    SCORES: ClassVar = {"loss": -1, "right": 1}
    PREDICTIONS = ("error", "guess")
    reads = ("audio",)

    @classmethod
    def of(cls, config):
        return cls(Autoencoder(), config)

    @property
    def players(self):
        return {
            "coder": Player(self._code, ("encoder", "decoder")),
            "probe": Player(self._probe, ("probe",)),
        }

    def _apply(self, params, batch_stats, batch, key):
        variables = {"params": params, "batch_stats": batch_stats}
        return self.model.apply(
            variables, self.inputs(batch, key), train=True, mutable=["batch_stats"]
        )

    def _code(self, params, batch_stats, batch, key):
        outputs, new = self._apply(params, batch_stats, batch, key)
        loss = outputs["error"].mean()
        return loss, (new["batch_stats"], {"loss": loss})

    def _probe(self, params, batch_stats, batch, key):
        outputs, _ = self._apply(params, batch_stats, batch, key)
        loss = cross_entropy(outputs["guess"], batch["label"])
        return loss, (batch_stats, {"loss": loss})

    def leave(self, params, batch_stats, splits, arrays):
        rows = splits["test"].examples()["audio"][:3]
        return {"three.npz": {"audio": arrays["audio"][rows]}}

    def samples(self, params, batch_stats):
        bias = params["decoder"]["bias"][:1]
        return jnp.broadcast_to(255 * (bias > 0), (10, 2, 28, 28)).astype(jnp.uint8)

    def evaluate(self, params, batch_stats, batch):
        variables = {"params": params, "batch_stats": batch_stats}
        return self.model.apply(variables, self.inputs(batch), train=False)

    def summary(self, outputs, label_N):
        right = float((outputs["guess"].argmax(-1) == label_N).mean())
        return {"loss": float(outputs["error"].mean()), "right": right, "n": len(label_N)}


class ClassifyCodes(Classify):
    reads = ("code",)

    @classmethod
    def of(cls, config):
        return cls(Classifier("code", lambda x, train: x, Head()), config)


class ClassifyByEncoder(Classify):
    reads = ("audio",)

    @classmethod
    def of(cls, config):
        return cls(Classifier("audio", Encoder(), Head()), config)


KINDS = {
    "autoencode": f"{__name__}.Autoencode",
    "encoded": f"{__name__}.ClassifyCodes",
    "frozen": f"{__name__}.ClassifyByEncoder",
}


def config(kind: str = "encoded"):
    """A run of two stages: the autoencoder, then a classifier of its codes."""
    made = base(f"made_up_{kind}", "bundled", kind, model=dict(name="made_up"))
    made.update(epochs=6, batch_size=20, chunk=5)
    made.optimizer.learning_rate = 0.02
    made.data.update(limit=400, feeder="device")
    made.stages["coder"] = dict(
        task="autoencode",
        monitor="loss",
        model=dict(name="autoencoder"),
        players={"coder": {"learning_rate": 0.003}},
    )
    if kind == "encoded":
        made.data.encoded["code"] = "coder"
    else:
        made.start["encoder"] = "coder/encoder"
        made.frozen = ("encoder",)
    return made.lock()


if __name__ == "__main__":
    tasks.KINDS.update(KINDS)
    run(config(*sys.argv[2:]), Path(sys.argv[1]))
