import subprocess
import sys
from pathlib import Path

from benchmarks.systems import load_config
from fdigits.console import Watch

ROW = {
    "epoch": 1,
    "step": 7,
    "learning_rate": 0.5,
    "train": {"loss": 0.25},
    "validation": {"loss": 0.125, "accuracy": 1.0},
}


def watched(events: Path) -> None:
    with Watch(load_config("image_cnn"), 7, 0, events) as watch:
        watch.show(ROW)


def test_tensorboard_reads_an_epochs_figures(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    watched(tmp_path)
    held = EventAccumulator(str(tmp_path)).Reload()
    tags = {"learning_rate": 0.5, "train/loss": 0.25, "validation/loss": 0.125}
    assert set(held.Tags()["tensors"]) == {*tags, "validation/accuracy"}
    for tag, value in tags.items():
        (event,) = held.Tensors(tag)
        assert event.step == 7 and event.tensor_proto.float_val[0] == value


def test_watching_loads_no_tensorflow(tmp_path):
    code = (
        "import sys; from pathlib import Path; from tests.test_console import watched; "
        f"watched(Path({str(tmp_path)!r})); sys.exit('tensorflow' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[1])
    assert done.returncode == 0 and list(tmp_path.iterdir())
