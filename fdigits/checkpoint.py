"""Checkpoints by Orbax: written in the background, the latest two and the best two kept.

Beside the progress lies a digest of every array and of the progress itself, as a flipped bit would
be restored without a word. Checkpoints of earlier code have none.
"""

import dataclasses
import json
import shutil
import zlib
from collections.abc import Mapping
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
from orbax.checkpoint import checkpoint_managers as policies

from fdigits import devices
from fdigits.errors import UserError, writing
from fdigits.train import Progress, TrainState

PROGRESS = "progress"  # name of an item, and of its digest
DIGESTS = "digests"  # its field


class Checkpoints:
    """The checkpoints of one run, an epoch each. A context manager; leaving it waits for writes."""

    def __init__(self, folder: Path):
        self.folder = folder.absolute()
        self._open()

    def _open(self) -> None:
        # Two best, so that the one before the latest still finds the best of its own time.
        keep = [
            policies.LatestN(2),
            policies.BestN(get_metric_fn=lambda metrics: metrics["rank"], n=2),
        ]
        self._manager = ocp.CheckpointManager(
            self.folder,
            item_names=("state", PROGRESS),
            options=ocp.CheckpointManagerOptions(
                preservation_policy=policies.AnyPreservationPolicy(keep),
                cleanup_tmp_directories=True,  # of a run that was killed
            ),
        )

    def __enter__(self):
        return self

    def __exit__(self, *_) -> None:
        with writing(self.folder):
            self._manager.close()

    def save(self, state: TrainState, progress: Progress) -> None:
        """Copies the state, which the next step donates, and writes it in the background.

        Raises:
          OSError: there was no room for it, or for the one before; those before that are whole.
        """
        told = dataclasses.asdict(progress)
        with writing(self.folder):
            self._manager.save(
                progress.epoch,
                args=ocp.args.Composite(
                    state=ocp.args.StandardSave(jax.tree.map(jnp.copy, state)),
                    progress=ocp.args.JsonSave(told | {DIGESTS: digests(state, told)}),
                ),
                # Of all that were best in their time, the latest two.
                metrics={"rank": progress.epoch if progress.best_epoch == progress.epoch else -1},
            )

    def wait(self) -> None:
        """Until all is written.

        Raises:
          OSError: as `save`.
        """
        with writing(self.folder):
            self._manager.wait_until_finished()

    def latest(self, template: TrainState, say=print) -> tuple[TrainState, Progress] | None:
        """The latest checkpoint that can be read, and the best of its time; later ones are put
        aside, and it says so.

        Raises:
          UserError: there are checkpoints, and none can be read; they stay where they are.
        """
        damaged: dict[int, UserError] = {}
        epochs = sorted(self._manager.all_steps(), reverse=True)
        for epoch in epochs:
            try:
                found = self.restore(epoch, template)
                if (best := found[1].best_epoch) != epoch and best in epochs:
                    weights(self.folder, best)
            except UserError as error:
                damaged[epoch] = error
                continue
            for later, error in damaged.items():
                say(f"{error}; moved to {self._put_aside(later)}, going back to epoch {epoch}")
            return found
        if damaged:
            raise UserError(
                f"{next(iter(damaged.values()))}, nor can those before it: they are damaged, or "
                "of other code than this; start again in a new --workdir"
            )
        return None

    def _put_aside(self, epoch: int) -> Path:
        aside = self.folder.parent / "damaged" / str(epoch)

        def move() -> None:
            shutil.rmtree(aside, ignore_errors=True)
            aside.parent.mkdir(exist_ok=True)
            shutil.move(self.folder / str(epoch), aside)

        self._manager.close()
        devices.agree(move, first_only=True)
        self._open()
        return aside

    def restore(self, epoch: int, template: TrainState) -> tuple[TrainState, Progress]:
        """State and progress after `epoch`; `template` gives shapes and types.

        Raises:
          UserError: it is not there, damaged, or of another shape.
        """
        self.wait()
        try:
            return self._read(epoch, template)
        except Exception as error:  # Orbax and TensorStore raise many kinds for damaged files
            try:
                return self._read_of_one(epoch, template)
            except Exception:  # as above: the first says more
                raise _unreadable(epoch, self.folder, error) from error

    def _read(self, epoch: int, template: TrainState) -> tuple[TrainState, Progress]:
        restored = self._manager.restore(
            epoch,
            args=ocp.args.Composite(
                state=ocp.args.StandardRestore(template), progress=ocp.args.JsonRestore()
            ),
        )
        held = dict(restored.progress)
        wanted = held.pop(DIGESTS, None)
        if wanted is not None:
            _compare(wanted, digests(restored.state, held))
        return restored.state, Progress(**held)

    def _read_of_one(self, epoch: int, template: TrainState) -> tuple[TrainState, Progress]:
        """As earlier code saved, with the optimizer of the only player instead of each player's."""
        ((player, optimizer),) = template.opt_state.items()
        state, progress = self._read(epoch, template.replace(opt_state=optimizer))
        return state.replace(opt_state={player: state.opt_state}), progress


def kept(folder: Path) -> list[int]:
    """The epochs whose checkpoints are whole."""
    return sorted(ocp.utils.checkpoint_steps(folder)) if folder.is_dir() else []


def weights(folder: Path, epoch: int) -> tuple[dict, dict]:
    """Parameters and batch statistics after `epoch`, whatever optimizer trained them.

    Raises:
      UserError: there is no such checkpoint, or it is damaged.
    """
    try:
        reader, path = ocp.PyTreeCheckpointHandler(), (folder / str(epoch) / "state").absolute()
        held = reader.metadata(path).tree
        wanted = {name: held.get(name) or {} for name in ("params", "batch_stats")}
        here = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
        shapes = jax.tree.map(
            lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=here), wanted
        )
        found = reader.restore(
            path,
            args=ocp.args.PyTreeRestore(
                item=shapes,
                restore_args=ocp.checkpoint_utils.construct_restore_args(shapes),
                partial_restore=True,
            ),
        )
        told = json.loads((folder / str(epoch) / PROGRESS / "metadata").read_text())
        if DIGESTS in told:
            ours = digests(found)
            _compare({name: told[DIGESTS].get(name) for name in ours}, ours)
        return found["params"], found["batch_stats"]
    except Exception as error:  # as in `Checkpoints.restore`
        raise _unreadable(epoch, folder, error) from error


def digests(state: object, progress: dict | None = None) -> dict[str, str]:
    """A CRC-32 of each array's type, shape and bytes, by its path: "params/head/kernel".

    It finds any two flipped bits, at memory speed. A progress has one, too.
    """
    found = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(state):
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            leaf = jax.random.key_data(leaf)
        array = np.asarray(leaf)
        kind = zlib.crc32(f"{array.dtype} {array.shape}".encode())
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        found[name] = f"{zlib.crc32(array.tobytes(), kind):08x}"
    if progress is not None:
        found[PROGRESS] = f"{zlib.crc32(json.dumps(progress, sort_keys=True).encode()):08x}"
    return found


def _compare(wanted: Mapping[str, str | None], found: Mapping[str, str]) -> None:
    for name in sorted(wanted.keys() | found.keys()):
        if wanted.get(name) != found.get(name):
            raise ValueError(f"{name} is not as it was written")


def _unreadable(epoch: int, folder: Path, error: Exception) -> UserError:
    return UserError(
        f"the checkpoint of epoch {epoch} in {folder} cannot be read ({_first_line(error)})"
    )


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:120]}"
