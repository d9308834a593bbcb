"""R0's systems in Keras 3, on its JAX and on its TensorFlow backend: further peers of `steps.py`.

Keras takes its backend when it is imported, so each peer is a process of its own, which trains when
it is told to. Layers, batch and Adam's learning rate are the config's, but there is no weight decay
and the initial weights are Keras' own, neither of which a step's time knows of. As a careful user
sets it: `fit` over arrays in memory, a chunk of steps in one execution, and on TensorFlow no XLA,
with which image_cnn and hybrid_cnn take 4.5 times as long (two cores of an EPYC, November 2026).
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from importlib import metadata
from pathlib import Path

import numpy as np
from ml_collections import ConfigDict

from fdigits.errors import UserError

BACKENDS = {"keras_jax": "jax", "keras_tensorflow": "tensorflow"}
ROOT = Path(__file__).parents[1]


def versions() -> dict[str, str]:
    found = {d.name: d.version for d in metadata.distributions()}
    return {
        name: found[name] for name in ("keras", "tensorflow-cpu", "tensorflow") if name in found
    }


def knows(config: ConfigDict) -> bool:
    """Whether it is one of R0's systems."""
    if config.task != "classify":
        return False
    model = config.model
    of_r0 = model.image == "cnn" and model.audio in ("cnn", "lstm") and not model.hidden
    return model.name in ("image", "audio", "hybrid") and of_r0


class Peer:
    """A process that trains a config's model in Keras; called, it takes one step per batch."""

    def __init__(self, name: str, config: ConfigDict, batches: list[dict[str, np.ndarray]]):
        self.name, self.spent, self.folder = name, 0.0, tempfile.TemporaryDirectory()
        file = Path(self.folder.name, "batches.npz")
        np.savez(file, **{key: np.concatenate([b[key] for b in batches]) for key in batches[0]})
        model = config.model.to_dict() | {"rate": config.optimizer.learning_rate}
        given = json.dumps([model, str(file), config.batch_size])
        environment = {"KERAS_BACKEND": BACKENDS[name], "TF_CPP_MIN_LOG_LEVEL": "3"}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.keras_peers", given],
            cwd=ROOT,
            env=os.environ | environment,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def __call__(self) -> int:
        """Raises:
        UserError: Keras failed.
        """
        try:
            self.process.stdin.write("\n")
            self.process.stdin.flush()
            told = json.loads(self.process.stdout.readline())
        except (OSError, ValueError):
            raise UserError(f"{self.name} ended: see above") from None
        self.spent = told["cpu"]
        return told["steps"]

    def cpu_seconds(self) -> float:
        """Of this process and Keras' until the last call."""
        return time.process_time() + self.spent

    def close(self) -> None:
        self.process.kill()
        self.folder.cleanup()


def model_of(model: dict):
    """R0's systems (its Tables 1 to 6) as a Keras model of named inputs."""
    import keras  # with the backend that the environment names
    from keras import layers

    def conv(name: str, shape: tuple[int, ...], dropout: float):
        given = keras.Input(shape, name=name)
        x = layers.Reshape((*shape[:2], 1))(given)
        for features in model["filters"]:
            x = layers.Conv2D(features, 3, padding="same")(x)
            x = layers.BatchNormalization(momentum=0.9, epsilon=1e-5)(x)
            x = layers.MaxPooling2D(2)(layers.ReLU()(x))
        x = layers.Flatten()(layers.Dropout(0.25)(x))
        return given, layers.Dropout(dropout)(layers.Dense(128, "relu")(x))

    def lstm(dropout: float):
        given = keras.Input((39, 13), name="audio")
        x = layers.LSTM(64)(layers.LSTM(64, return_sequences=True)(given))
        return given, layers.Dropout(dropout)(layers.Dense(64, "relu")(x))

    hybrid = model["name"] == "hybrid"
    parts = []
    if model["name"] != "audio":
        parts.append(conv("image", (28, 28), 0.5))
    if model["name"] != "image":
        heard = model["audio"] == "lstm"
        parts.append(lstm(0.25 * hybrid) if heard else conv("audio", (39, 13), 0.5))
    x = layers.Concatenate()([x for _, x in parts]) if hybrid else parts[0][1]
    if hybrid:
        x = layers.BatchNormalization(momentum=0.9, epsilon=1e-5)(layers.Dense(128)(x))
        x = layers.Dropout(0.25)(layers.ReLU()(x))
    return keras.Model({given.name: given for given, _ in parts}, layers.Dense(10)(x))


def train(model: dict, file: str, batch_size: int) -> None:
    """In Keras' process: trains over the file's batches whenever it reads a line."""
    import keras

    with np.load(file) as held:
        arrays = dict(held)
    label = arrays.pop("label")
    net = model_of(model)
    shapes = {given: net.input[given].shape[1:] for given in arrays}
    arrays = {given: array.reshape(-1, *shapes[given]) for given, array in arrays.items()}
    net.compile(
        keras.optimizers.Adam(model["rate"]),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=keras.backend.backend() == "jax",
        steps_per_execution=len(label) // batch_size,
    )
    for _ in sys.stdin:
        net.fit(arrays, label, batch_size, verbose=0, shuffle=False)
        told = {"steps": len(label) // batch_size, "cpu": time.process_time()}
        print(json.dumps(told), flush=True)


if __name__ == "__main__":
    train(*json.loads(sys.argv[1]))
