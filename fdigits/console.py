"""What a person sees while a run trains: Rich progress and lines, TensorBoard scalars."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from ml_collections import ConfigDict
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from fdigits.errors import writing

# A pipe has no width of its own; 80 would fold the tables.
# Paths and errors may hold brackets: no markup.
console = Console(
    highlight=False,
    markup=False,
    soft_wrap=True,
    width=None if sys.stdout and sys.stdout.isatty() else 120,
)


class Watch:
    """Progress of one training; a context manager. `tick` and `show` are the loop's callbacks.

    Of several at once each line begins with a `name`, and one has the `bar`.
    """

    def __init__(
        self,
        config: ConfigDict,
        steps_per_epoch: int,
        epochs_done: int,
        events: Path,
        name: str = "",
        bar: bool = True,
    ):
        self._epochs, self._name = config.epochs, name
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TextColumn("{task.fields[speed]}"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not bar,
        )
        self._task = self._bar.add_task(
            f"epoch {epochs_done + 1}/{config.epochs}",
            total=steps_per_epoch * config.epochs,
            completed=steps_per_epoch * epochs_done,
            speed="",
        )
        self._events, self._writer = events, None
        if importlib.util.find_spec("tensorboard"):
            with writing(events):
                self._writer = _event_writer(events)

    def __enter__(self):
        self._bar.start()
        return self

    def __exit__(self, *_) -> None:
        self._bar.stop()
        if self._writer:
            with writing(self._events):
                self._writer.close()

    def tick(self, steps: int, metrics: dict[str, float]) -> None:
        speed = self._bar.tasks[0].speed
        told = _told(metrics) + (f" {speed:.0f} steps/s" if speed else "")
        self._bar.update(self._task, advance=steps, speed=told)

    def show(self, row: dict) -> None:
        console.print(
            f"{self._name}epoch {row['epoch']:>3}/{self._epochs}  train {_told(row['train'])}  "
            f"validation {_told(row['validation'])}  lr {row['learning_rate']:.0e}"
        )
        self._bar.update(self._task, description=f"epoch {row['epoch'] + 1}/{self._epochs}")
        if self._writer:
            rates = {name: x for name, x in row.items() if name.endswith("learning_rate")}
            scalars = rates | {
                f"{part}/{name}": value
                for part in ("train", "validation")
                for name, value in row[part].items()
            }
            with writing(self._events):
                for name, value in scalars.items():
                    self._writer.add_scalar(name, value, row["step"])
                self._writer.flush()


def _event_writer(events: Path):
    """TensorBoard's, which would load TensorFlow (three seconds) to write into a local folder."""
    # Its own switch, a module to be found: it takes the stub of TensorFlow that comes with it.
    sys.modules.setdefault("tensorboard.compat.notf", ModuleType("notf"))
    from tensorboard.summary import Writer

    return Writer(str(events))


def _told(metrics: dict[str, float]) -> str:
    """Losses first."""
    names = sorted(metrics, key=lambda name: not name.endswith("loss"))
    return " ".join(f"{name.replace('_', ' ')} {metrics[name]:.4f}" for name in names)
