"""Trainings that differ in their seed alone, at once: on an accelerator one of a small model leaves
most of the device idle.

States, orders and what differs among arrays are stacked, `[S, ...]`, and lie over the devices by S;
`vmap` makes of the loop's functions those of all.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, PartitionSpec

from fdigits import devices, noise, train
from fdigits.data import pipeline
from fdigits.errors import Diverged
from fdigits.train import Training, TrainState

Arrays = dict[str, np.ndarray]


def alike(trainings: Sequence[Training]) -> bool:
    """Whether their steps and arrays have the same sizes, so that they can be trained at once."""

    def sizes(one: Training) -> tuple:
        return one.steps_per_epoch, {name: (x.shape, x.dtype) for name, x in one.arrays.items()}

    return all(sizes(one) == sizes(trainings[0]) for one in trainings)


def fit(trainings: Sequence[Training], mesh: Mesh) -> None:
    """`train.fit` of each: the same numbers, but for the order in which float32 adds up.

    Each has its own parts, order, weights, randomness, checkpoints and end. One that has ended is
    computed on with the others, and nothing of it is kept. What ends one before its time is its
    `error`. Each is told its share of the time.

    Args:
      trainings: of configs that differ in the seed alone, and `alike`.
      mesh: devices that share them evenly.
    """
    config, task = trainings[0].config, trainings[0].task
    step = train.make_train_step(task, config, trainings[0].steps_per_epoch)
    train_chunk = train.compile_step(_of_each(_own_randomness(train.train_chunk_of(step)), mesh))
    evaluate = train.evaluate_chunk_of(task.evaluate)
    evaluate_chunk = jax.jit(_of_each(evaluate, mesh), compiler_options=train.compiler_options())
    own, shared = _residents([one.arrays for one in trainings], mesh)
    states = _stacked([one.state for one in trainings], mesh)
    held_out = _padded([one.held_out for one in trainings])
    compiled: set[int] = set()

    while active := [number for number, one in enumerate(trainings) if not one.ended]:
        began, collected = time.monotonic(), [[] for _ in trainings]
        rows = [one.rows() for one in trainings]
        for chunk in _chunks(rows, own | shared, config.batch_size, config.chunk, mesh):
            chunk_began = time.monotonic()
            states, metrics = train_chunk(states, chunk, own, shared)
            metrics, steps = jax.device_get((metrics, states.step))
            seconds = (time.monotonic() - chunk_began) / len(active)
            each = [_at(metrics, number) for number in range(len(trainings))]
            counted = train.steps_of(each[0]) in compiled
            compiled.add(train.steps_of(each[0]))
            for number in active:
                collected[number].append(each[number])
                told = each[number], int(steps[number]), seconds if counted else None
                _unless_ended(train.note, trainings[number], *told)
        outputs = _evaluated(evaluate_chunk, states, held_out, own, shared, mesh)
        seconds = (time.monotonic() - began) / len(active)
        for number in active:
            found = _at(states, number), collected[number], outputs[number]
            _unless_ended(train.close, trainings[number], *found, seconds)
        plateau = _stacked([one.state.plateau for one in trainings], mesh)
        states = states.replace(plateau=plateau)


def _unless_ended(action: Callable, training: Training, *arguments) -> None:
    """`action(training, *arguments)`, whose error ends the training, and the others go on."""
    if training.error:
        return
    try:
        action(training, *arguments)
    except Diverged as error:
        training.error = error


def _of_each(function: Callable, mesh: Mesh) -> Callable:
    """`(*[S, ...], own [S, ...], shared) -> [S, ...]` of `(*..., resident) -> ...`."""

    def of_all(*arguments):
        *stacked, shared = arguments
        return jax.vmap(lambda *one: function(*one[:-1], one[-1] | shared))(*stacked)

    def placed(*arguments):
        own, whole = PartitionSpec(devices.AXIS), PartitionSpec()
        specs = (*[own] * (len(arguments) - 1), whole)
        return jax.shard_map(of_all, mesh=mesh, in_specs=specs, out_specs=own, check_vma=False)(
            *arguments
        )

    return placed


def _own_randomness(train_chunk: Callable) -> Callable:
    def alone(state: TrainState, chunk: Mapping, resident: Mapping):
        moved, metrics = train_chunk(state.replace(key=noise.of_each(state.key)), chunk, resident)
        return moved.replace(key=state.key), metrics

    return alone


def _residents(all_arrays: Sequence[Mapping], mesh: Mesh) -> tuple[dict, dict]:
    """Arrays that differ, `[S, N, ...]`, and those that are the same of all, `[N, ...]`."""
    first, *others = all_arrays
    same = [name for name, x in first.items() if all(_equal(x, one[name]) for one in others)]
    own = {
        name: np.stack([arrays[name] for arrays in all_arrays]) for name in first.keys() - set(same)
    }
    shared = devices.replicate({name: first[name] for name in same}, mesh)
    return jax.device_put(own, devices.by_first(mesh)), shared


def _equal(x: np.ndarray, y: np.ndarray) -> bool:
    return x is y or np.array_equal(x, y)


def _stacked(trees: Sequence, mesh: Mesh):
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)
    return jax.device_put(stacked, devices.by_first(mesh))


def _at(tree, number: int):
    return jax.tree.map(lambda x: x[number], tree)


def _chunks(
    rows: Sequence[Arrays], arrays: Mapping, batch_size: int, chunk: int, mesh: Mesh
) -> Iterator[dict]:
    """As `DeviceFeeder`: `[S, K, B]`."""
    each = [pipeline.chunk_rows(pipeline.known(one, arrays), batch_size, chunk) for one in rows]
    for groups in zip(*each, strict=True):
        stacked = {name: np.stack([group[name] for group in groups]) for name in groups[0]}
        yield jax.device_put(stacked, devices.by_first(mesh))


def _padded(rows: Sequence[Arrays]) -> list[Arrays]:
    """To whole evaluation batches, as many of each."""
    longest = max(len(one["label"]) for one in rows)
    return [pipeline.padded(one, longest + -longest % train.EVALUATION_BATCH) for one in rows]


def _evaluated(
    evaluate_chunk: Callable, states: TrainState, rows: Sequence[Arrays], own, shared, mesh: Mesh
) -> list[Arrays]:
    """The outputs of each for each of its items, `[N, ...]`."""
    collected = []
    for chunk in _chunks(rows, own | shared, train.EVALUATION_BATCH, 8, mesh):
        found = evaluate_chunk(states.params, states.batch_stats, chunk, own, shared)
        found = jax.device_get(found)
        collected.append({k: x.reshape(len(x), -1, *x.shape[3:]) for k, x in found.items()})
    whole = {k: np.concatenate([one[k] for one in collected], 1) for k in collected[0]}
    real = [one["mask"] > 0 for one in rows]
    return [{k: x[number][keep] for k, x in whole.items()} for number, keep in enumerate(real)]
