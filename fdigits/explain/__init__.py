"""What a trained model looks at: attention maps, Grad-CAM, and the weights of its fusion."""

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict

from fdigits import augment, corruptions
from fdigits.data.corpus import CLASSES
from fdigits.models.layers import last_watched
from fdigits.tasks import Task

Arrays = dict[str, np.ndarray]
FILES = ("maps.npz", "corruption.npz", "augmentations.npz")
PER_DIGIT = 3  # test items drawn of each digit
LEVELS = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0)  # of noise, in standard deviations of a modality's inputs
CORRUPTED = 500  # test items, at most, on which weights are followed
SHOWN_DIGIT = 5  # whose augmentations are drawn, as in R4 Figure 5


# Below, `state` is what has `params` and `batch_stats`.


def _inputs(task: Task, batch: Mapping) -> dict[str, jax.Array]:
    """What the model reads, float32 as its parameters are, whatever dtype it was trained in."""
    return {name: x.astype(jnp.float32) for name, x in task.inputs(batch).items()}


def grad_cam(task: Task, state, batch: Mapping) -> Arrays:
    """Grad-CAM of a task's score by each encoder's last convolution (Selvaraju et al., 2017).

    Returns:
      modality -> `[B, h, w]`, each item's map scaled to a maximum of 1 (0 where nothing speaks for
      the score); encoders without convolutions have none, nor has a task without a score.
    """
    return camera(task, state, batch)(batch)


def camera(task: Task, state, batch: Mapping) -> Callable[[Mapping], Arrays]:
    """`grad_cam` of batches like this one, compiled once."""
    inputs = _inputs(task, batch)
    variables = {"params": state.params, "batch_stats": state.batch_stats}
    if jax.eval_shape(lambda: task.explained(task.evaluate(*variables.values(), batch))) is None:
        return lambda batch: {}
    shapes = jax.eval_shape(lambda: task.model.init(jax.random.key(0), inputs, train=False))
    zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes.get("perturbations", {}))
    if not zeros:
        return lambda batch: {}

    def score(perturbations, variables, inputs):
        outputs, seen = task.model.apply(
            variables | {"perturbations": perturbations},
            inputs,
            train=False,
            mutable=["activations", "calls"],
        )
        return task.explained(outputs).sum(), seen

    explain = jax.jit(jax.grad(score, has_aux=True))

    def look(batch: Mapping) -> Arrays:
        inputs = _inputs(task, batch)
        return _maps(task, *explain(zeros, variables, inputs), len(next(iter(inputs.values()))))

    return look


def _maps(task: Task, gradients: Mapping, seen: Mapping, items: int) -> Arrays:
    """modality -> `[B, h, w]` of what `score` left."""
    gradients, activations, found = flatten_dict(gradients), flatten_dict(seen["activations"]), {}
    for encoder, path in last_watched(seen["calls"]).items():
        gradient_BxHxWxC, activation_BxHxWxC = gradients[path], activations[path][0]
        weights_BxC = gradient_BxHxWxC.mean((1, 2))
        cam_BxHxW = np.maximum(
            np.einsum("bhwc,bc->bhw", activation_BxHxWxC, weights_BxC, dtype=np.float32), 0
        )
        highest = cam_BxHxW.max((1, 2), keepdims=True)
        modality = encoder.removesuffix("_encoder")
        modality = task.model.modality if modality == "encoder" else modality
        # An ear hears changed copies too, behind the words themselves.
        found[modality] = (cam_BxHxW / np.where(highest > 0, highest, 1))[:items]
    return found


def attention(task: Task, state, batch: Mapping) -> Arrays:
    """The maps that the model's attention modules sow, by the modules' paths (none: {})."""
    variables = {"params": state.params, "batch_stats": state.batch_stats}
    inputs = _inputs(task, batch)
    _, seen = jax.jit(
        lambda variables, inputs: task.model.apply(
            variables, inputs, train=False, mutable=["attention"]
        )
    )(variables, inputs)
    leaves = jax.tree_util.tree_flatten_with_path(seen.get("attention", {}))[0]
    return {
        "/".join(key.key for key in path[1:-2]): np.asarray(leaf, np.float32)
        for path, leaf in leaves
    }


def corruption(task: Task, state, batch: Mapping, label_B: np.ndarray) -> Arrays:
    """How the weights of a fusion follow growing noise on one modality.

    Returns:
      `level` `[L]`, and per corrupted modality (the first axis, in the model's order): `weights`
      `[M, L, M]`, means over the items, and `accuracy` `[M, L]`.
    """
    variables = {"params": state.params, "batch_stats": state.batch_stats}
    clean = _inputs(task, batch)
    apply = jax.jit(lambda variables, inputs: task.model.apply(variables, inputs, train=False))
    weights, accuracy = [], []
    for modality, x in clean.items():
        noise = x.std() * corruptions.gaussian(x.shape).astype(np.float32)
        noisy = [apply(variables, clean | {modality: x + level * noise}) for level in LEVELS]
        weights.append([np.asarray(outputs["weights"].mean(0)) for outputs in noisy])
        accuracy.append([np.mean(outputs["logits"].argmax(-1) == label_B) for outputs in noisy])
    return {
        "level": np.array(LEVELS),
        "weights": np.array(weights, np.float32),
        "accuracy": np.array(accuracy, np.float32),
    }


def augmentations(task: Task, image_HxW: np.ndarray) -> Arrays:
    """One picture and what each augmentation makes of it: `name` [K] and `image` [K, H, W] uint8.

    Each at full strength, the run's own at the run's.
    """
    names = ["original", *augment.AUGMENTATIONS]
    x = jnp.asarray(image_HxW, jnp.float32)[None, ..., None] / 255
    made = [x]
    own = task.config.augment
    for number, name in enumerate(augment.AUGMENTATIONS):
        strength = own.strength if name == own.name else 1.0
        made.append(augment.apply(name, x, jax.random.key(number), strength))
    pictures = np.rint(255 * np.concatenate(made)[..., 0]).astype(np.uint8)
    return {"name": np.array(names), "image": pictures}


def make(task: Task, state, test: Arrays, label_N: np.ndarray) -> dict[str, Arrays]:
    """The arrays of each of `FILES` that applies.

    Args:
      test: what the model reads of each test item.
    """
    rows = [np.flatnonzero(label_N == digit)[:PER_DIGIT] for digit in range(CLASSES)]
    rows = np.concatenate(rows)
    batch = {name: x[rows] for name, x in test.items()}
    maps = {f"gradcam:{k}": v for k, v in grad_cam(task, state, batch).items()}
    maps |= {f"attention:{k}": v for k, v in attention(task, state, batch).items()}
    made = {}
    if maps:
        made["maps.npz"] = {"row": rows} | {k: x.astype(np.float16) for k, x in maps.items()}
    some = {name: x[:CORRUPTED] for name, x in test.items()}
    if "weights" in jax.eval_shape(task.evaluate, state.params, state.batch_stats, batch):
        made["corruption.npz"] = corruption(task, state, some, label_N[:CORRUPTED])
    shown = np.flatnonzero(label_N == SHOWN_DIGIT)
    if task.config.augment.strength and "image" in test and len(shown):
        made["augmentations.npz"] = augmentations(task, test["image"][shown[0]])
    return made
