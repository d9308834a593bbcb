"""Devices and processes: a batch is one array that lies over all of them, all else lies on each.

Every process runs the same program and compiled function; XLA puts in the sums over devices. So a
mean over a batch, of a loss or of BatchNorm, is that of the whole batch, however many share it.
"""

import os
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from fdigits.errors import Diverged, UserError

AXIS = "data"
TOLD = 1000  # bytes of an error that processes tell each other


def join(coordinator: str = "", processes: int = 0, process: int = -1) -> None:
    """Makes this process one of several, if it was started as one; before JAX is used.

    Slurm's, Open MPI's and a TPU pod's processes are found by what their launcher sets; in others,
    Kubernetes' too, `coordinator="auto"` lets JAX look.

    Args:
      coordinator: host:port of the first process.
      processes: how many there are.
      process: which this is, from 0.

    Raises:
      UserError: only some of the three are given, or the others cannot be reached.
    """
    if coordinator not in ("", "auto") and not coordinator.rpartition(":")[2].isdecimal():
        raise UserError(f"--coordinator={coordinator}: it must be host:port, or auto")
    given, named = (bool(coordinator), processes > 0, process >= 0), ()
    if any(given) and (coordinator, processes, process) != ("auto", 0, -1):
        if not all(given) or coordinator == "auto":
            raise UserError(
                "--coordinator, --processes and --process belong together: the first process's "
                "host:port, how many there are, and which this is, from 0; or "
                "--coordinator=auto alone"
            )
        named = (coordinator, processes, process)
    elif not any(given) and not _launched_as_several():
        return
    try:
        jax.distributed.initialize(*named)
    except (RuntimeError, ValueError) as error:
        told = str(error).splitlines()[0]
        raise UserError(
            f"the other processes cannot be joined ({told}): docs/scaling.md says how to start them"
        ) from error


def _launched_as_several() -> bool:
    """Whether a launcher that JAX knows started more than this process."""
    env = os.environ
    counts = [env.get("SLURM_STEP_NUM_TASKS"), env.get("OMPI_COMM_WORLD_SIZE")]
    hosts = env.get("TPU_WORKER_HOSTNAMES", "").count(",")
    return hosts > 0 or any(count and int(count) > 1 for count in counts)


def is_first() -> bool:
    """Whether this process is the one that prints and writes."""
    return jax.process_index() == 0


def agree(action: Callable, *arguments: Any, first_only: bool = False) -> Any:
    """What `action(*arguments)` gives, once all processes, or the first alone, are through with it.

    Raises:
      Diverged: in all, if a loss is lost, as other trainings may go on; what is said, in the first.
      UserError: in the first process, what went wrong in any.
      SystemExit: in the others, then; the first has told. Other errors show where they were met.
    """
    if jax.process_count() == 1:
        return action(*arguments)
    result, met, told = None, None, b""
    try:
        result = action(*arguments) if is_first() or not first_only else None
    except Exception as error:  # the others would wait for ever
        met = error
        told = f"{isinstance(error, Diverged):d}{error}".encode()[:TOLD]
    sent = np.frombuffer(told.ljust(TOLD, b"\0"), np.uint8)
    for number, line in enumerate(multihost_utils.process_allgather(sent)):
        if not (said := bytes(line).rstrip(b"\0").decode(errors="ignore")):
            continue
        if met and not isinstance(met, UserError):
            raise met
        diverged, said = said[0] == "1", said[1:] or "?"
        if not is_first():
            raise Diverged if diverged else SystemExit(2)
        kind = Diverged if diverged else UserError
        raise kind(said if number == 0 else f"process {number}: {said}")
    return result


def one() -> Mesh:
    """This process's first device."""
    return Mesh(np.array(jax.local_devices()[:1]), (AXIS,))


def over(batch_size: int = 0) -> Mesh:
    """All devices, or, in one process, as many as share a batch evenly; 0 = of any size.

    Raises:
      UserError: several processes' devices do not.
    """
    devices, n = jax.devices(), len(jax.devices())
    if jax.process_count() > 1 and batch_size % n:
        raise UserError(
            f"batch_size {batch_size} cannot be shared evenly by {n} devices: choose a multiple"
        )
    used = max(k for k in range(1, n + 1) if batch_size % k == 0)
    return Mesh(np.array(devices[:used]), (AXIS,))


def everywhere(mesh: Mesh) -> NamedSharding:
    """The whole array on each device."""
    return NamedSharding(mesh, PartitionSpec())


def by_batch(mesh: Mesh) -> NamedSharding:
    """`[K, B, ...]`: each device has its share of B."""
    return NamedSharding(mesh, PartitionSpec(None, AXIS))


def by_first(mesh: Mesh) -> NamedSharding:
    """`[S, ...]`: each device has its share of S."""
    return NamedSharding(mesh, PartitionSpec(AXIS))


def own(mesh: Mesh, batch_size: int) -> slice:
    """The places in a batch that this process's devices hold."""
    mine = [number for number, device in enumerate(mesh.devices) if _is_here(device)]
    share = batch_size // mesh.size
    return slice(mine[0] * share, (mine[-1] + 1) * share)


def _is_here(device: jax.Device) -> bool:
    return device.process_index == jax.process_index()


def replicate(tree, mesh: Mesh):
    """Arrays that every process has alike, whole on each device."""
    if jax.process_count() == 1:
        return jax.device_put(tree, everywhere(mesh))
    return jax.tree.map(lambda x: _replicated(x, everywhere(mesh)), tree)


def _replicated(x, whole: NamedSharding) -> jax.Array:
    if isinstance(x, jax.Array) and jax.numpy.issubdtype(x.dtype, jax.dtypes.prng_key):
        data = _replicated(jax.random.key_data(x), whole)
        return jax.random.wrap_key_data(data, impl=jax.random.key_impl(x))
    if isinstance(x, jax.Array) and x.sharding == whole:
        return x
    x = np.asarray(x)
    return jax.make_array_from_process_local_data(whole, x, x.shape)


def place(chunk: dict[str, np.ndarray], mesh: Mesh) -> dict[str, jax.Array]:
    """This process's places of batches, `[K, b, ...]` -> the batches `[K, B, ...]` of all."""
    shared = by_batch(mesh)
    return {
        name: jax.make_array_from_process_local_data(shared, x) if jax.process_count() > 1
        else jax.device_put(x, shared)
        for name, x in chunk.items()
    }  # fmt: skip


def fetch(tree):
    """Arrays as NumPy's, whole, in every process."""

    def whole(x: jax.Array) -> np.ndarray:
        if x.is_fully_addressable or x.is_fully_replicated:
            return np.asarray(x)
        return multihost_utils.process_allgather(x, tiled=True)

    return jax.tree.map(whole, tree)
