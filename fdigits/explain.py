"""What a trained classifier looks at: attention maps, Grad-CAM, and the weights of its fusion.

python -m fdigits.explain RUN

Every run does this once with the weights that are tested; the command does it anew from the
checkpoint. `python -m fdigits.report RUN` draws what it leaves in RUN.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from fdigits import augment, predict
from fdigits.console import console
from fdigits.errors import UserError, exit_cleanly
from fdigits.files import write_arrays
from fdigits.models import classifiers
from fdigits.stages.classify import Classify
from fdigits.train import TrainState

Arrays = dict[str, np.ndarray]
PER_DIGIT = 3  # test items drawn of each digit
LEVELS = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0)  # of noise, in standard deviations of a modality's inputs
CORRUPTED = 500  # test items, at most, on which weights are followed
SHOWN_DIGIT = 5  # whose augmentations are drawn, as in R4 Figure 5


def _inputs(stage: Classify, batch: Mapping) -> dict[str, jax.Array]:
    """What the model reads, float32 as its parameters are, whatever dtype it was trained in."""
    return {name: x.astype(jnp.float32) for name, x in stage.inputs(batch).items()}


def grad_cam(stage: Classify, state: TrainState, batch: Mapping) -> Arrays:
    """Grad-CAM of the predicted class by each encoder's last convolution (Selvaraju et al., 2017).

    Returns:
      modality -> `[B, h, w]`, each item's map scaled to a maximum of 1 (0 where nothing speaks for
      the class); encoders without convolutions have none.
    """
    inputs = _inputs(stage, batch)
    variables = {"params": state.params, "batch_stats": state.batch_stats}
    shapes = jax.eval_shape(lambda: stage.model.init(jax.random.key(0), inputs, train=False))
    zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes.get("perturbations", {}))
    if not zeros:
        return {}

    def score(perturbations, variables, inputs):
        outputs, seen = stage.model.apply(
            variables | {"perturbations": perturbations},
            inputs,
            train=False,
            mutable=["activations"],
        )
        return outputs["logits"].max(-1).sum(), seen["activations"]

    explain = jax.jit(jax.grad(score, has_aux=True))
    gradients, activations = explain(zeros, variables, inputs)
    found = {}
    for encoder, of_encoder in gradients.items():
        gradient_BxHxWxC = jax.tree.leaves(of_encoder)[-1]
        activation_BxHxWxC = jax.tree.leaves(activations[encoder])[-1]
        weights_BxC = gradient_BxHxWxC.mean((1, 2))
        cam_BxHxW = np.maximum(
            np.einsum("bhwc,bc->bhw", activation_BxHxWxC, weights_BxC, dtype=np.float32), 0
        )
        highest = cam_BxHxW.max((1, 2), keepdims=True)
        modality = encoder.removesuffix("_encoder")
        modality = stage.model.modality if modality == "encoder" else modality
        found[modality] = cam_BxHxW / np.where(highest > 0, highest, 1)
    return found


def attention(stage: Classify, state: TrainState, batch: Mapping) -> Arrays:
    """The maps that the model's attention modules sow, by the modules' paths (none: {})."""
    variables = {"params": state.params, "batch_stats": state.batch_stats}
    inputs = _inputs(stage, batch)
    _, seen = jax.jit(
        lambda variables, inputs: stage.model.apply(
            variables, inputs, train=False, mutable=["attention"]
        )
    )(variables, inputs)
    leaves = jax.tree_util.tree_flatten_with_path(seen.get("attention", {}))[0]
    return {
        "/".join(key.key for key in path[1:-2]): np.asarray(leaf, np.float32)
        for path, leaf in leaves
    }


def corruption(stage: Classify, state: TrainState, batch: Mapping, label_B: np.ndarray) -> Arrays:
    """How the weights of a fusion follow growing noise on one modality.

    Returns:
      `level` `[L]`, and per corrupted modality (the first axis, in the model's order): `weights`
      `[M, L, M]`, means over the items, and `accuracy` `[M, L]`.
    """
    variables = {"params": state.params, "batch_stats": state.batch_stats}
    clean = _inputs(stage, batch)
    apply = jax.jit(lambda variables, inputs: stage.model.apply(variables, inputs, train=False))
    weights, accuracy = [], []
    for modality, x in clean.items():
        noise = x.std() * jax.random.normal(jax.random.key(0), x.shape)
        noisy = [apply(variables, clean | {modality: x + level * noise}) for level in LEVELS]
        weights.append([np.asarray(outputs["weights"].mean(0)) for outputs in noisy])
        accuracy.append([np.mean(outputs["logits"].argmax(-1) == label_B) for outputs in noisy])
    return {
        "level": np.array(LEVELS),
        "weights": np.array(weights, np.float32),
        "accuracy": np.array(accuracy, np.float32),
    }


def augmentations(stage: Classify, image_HxW: np.ndarray) -> Arrays:
    """One picture and what each augmentation makes of it: `name` [K] and `image` [K, H, W] uint8.

    The seven at full strength, *combined* at the run's.
    """
    names = ["original", *augment.AUGMENTATIONS]
    x = jnp.asarray(image_HxW, jnp.float32)[None, ..., None] / 255
    made = [x]
    for number, name in enumerate(augment.AUGMENTATIONS):
        strength = stage.config.augment.strength if name == "combined" else 1.0
        made.append(augment.apply(name, x, jax.random.key(number), strength))
    pictures = np.rint(255 * np.concatenate(made)[..., 0]).astype(np.uint8)
    return {"name": np.array(names), "image": pictures}


def write(
    workdir: Path, stage: Classify, state: TrainState, test: Arrays, label_N: np.ndarray
) -> None:
    """Leaves `maps.npz`, `corruption.npz` and `augmentations.npz`, as far as they apply.

    Args:
      test: what the model reads of each test item.
    """
    rows = [np.flatnonzero(label_N == digit)[:PER_DIGIT] for digit in range(10)]
    rows = np.concatenate(rows)
    batch = {name: x[rows] for name, x in test.items()}
    maps = {f"gradcam:{k}": v for k, v in grad_cam(stage, state, batch).items()}
    maps |= {f"attention:{k}": v for k, v in attention(stage, state, batch).items()}
    if maps:
        maps = {name: x.astype(np.float16) for name, x in maps.items()}
        write_arrays(workdir / "maps.npz", row=rows, **maps)
    some = {name: x[:CORRUPTED] for name, x in test.items()}
    outputs = jax.eval_shape(stage.evaluate, state.params, state.batch_stats, batch)
    if "weights" in outputs:
        found = corruption(stage, state, some, label_N[:CORRUPTED])
        write_arrays(workdir / "corruption.npz", **found)
    shown = np.flatnonzero(label_N == SHOWN_DIGIT)
    if stage.config.augment.strength and "image" in test and len(shown):
        write_arrays(workdir / "augmentations.npz", **augmentations(stage, test["image"][shown[0]]))


@exit_cleanly
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="workdir of a finished run")
    args = parser.parse_args()
    trained = predict.load(args.run)

    class Given(NamedTuple):
        x: np.ndarray

    if missing := [n for n in ("inputs.npz", "predictions.npz") if not (args.run / n).is_file()]:
        raise UserError(f"{args.run} lacks {', '.join(missing)}: run the experiment again")
    with np.load(args.run / "inputs.npz") as held:
        inputs = {name: held[name] for name in held.files}
    if "audio" in inputs:
        inputs["audio"] = inputs["audio"][inputs.pop("audio_row")].astype(np.float32)
    wanted = classifiers.modalities(trained.config.model)
    test = trained.arrays({name: Given(inputs[name]) for name in wanted})
    with np.load(args.run / "predictions.npz") as held:
        label_N = held["label"]
    write(args.run, trained.stage, trained.state, test, label_N)
    console.print(f"maps written; draw them with python -m fdigits.report {args.run}")


if __name__ == "__main__":
    main()
