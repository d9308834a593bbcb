"""An export gives what its model gives, without fdigits and Flax, for a batch of any size."""

import os
import runpy
import subprocess
import sys

import jax
import numpy as np
import pytest

from fdigits import export, tasks, trained
from fdigits.data import prepare
from fdigits.data.corpora import bundled
from fdigits.errors import UserError
from fdigits.recogniser import Recogniser, hear, see
from fdigits.tasks.task import blank_batch
from tests.test_systems import short

SAMPLES = bundled.FOLDER / bundled.SAMPLES
ALONE = """
import sys

class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("fdigits", "flax", "tensorflow", "librosa", "optax"):
            raise ImportError(name)

sys.meta_path.insert(0, Hidden())
import runpy
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.fixture(scope="module")
def recognise():
    return Recogniser()


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    folder = tmp_path_factory.mktemp("export") / "out"
    export.main([str(folder)])
    return folder


@pytest.fixture(scope="module")
def load(out):
    return runpy.run_path(str(out / "load.py"))["load"]


@pytest.fixture(scope="module")
def items():
    """Ten real pictures and ten recordings, as the model reads them."""
    image = [see(SAMPLES / f"{digit}.png").inputs["image"] for digit in range(10)]
    word = [hear(SAMPLES / f"{digit}.wav", {"word"}).inputs["word"] for digit in range(10)]
    return {"image": np.stack(image), "word": np.stack(word)}


def of_the_model(model, arrays):
    outputs = jax.jit(model.task.evaluate)(model.params, model.batch_stats, arrays)
    return np.asarray(model.task.probabilities(outputs))


@pytest.mark.parametrize("reads", ["image", "word", "image+word"])
def test_what_ships_is_exported_for_each_modality_and_both(recognise, load, out, items, reads):
    given = {name: items[name] for name in reads.split("+")}
    function = load(out / f"{reads}.stablehlo")
    wanted = of_the_model(recognise.trained, given)
    np.testing.assert_allclose(function(**given), wanted, atol=1e-5)
    three = {name: x[:3] for name, x in given.items()}
    np.testing.assert_allclose(function(**three), wanted[:3], atol=1e-5)


def test_the_loader_runs_where_neither_fdigits_nor_flax_is(out, items, recognise, tmp_path):
    np.save(tmp_path / "image.npy", items["image"])
    command = ["load.py", "image.stablehlo", f"image={tmp_path / 'image.npy'}"]
    done = subprocess.run(
        [sys.executable, "-I", "-c", ALONE, *command],
        cwd=out,
        capture_output=True,
        text=True,
        env=os.environ | {"JAX_PLATFORMS": "cpu"},
    )
    assert done.returncode == 0, done.stderr
    told = np.array(done.stdout.replace("[", "").replace("]", "").split(), float).reshape(-1, 10)
    wanted = of_the_model(recognise.trained, {"image": items["image"]})
    np.testing.assert_allclose(told, wanted, atol=1e-5)


def test_both_platforms_and_any_batch_are_in_the_file(out):
    held = jax.export.deserialize(bytearray((out / "image.stablehlo").read_bytes()))
    assert held.platforms == ("cpu", "cuda")
    assert (
        str(held.in_avals[0].shape) == "(batch, 28, 28)" and str(held.in_avals[0].dtype) == "uint8"
    )


def random(system, statistics=None, **fields):
    """A small model with random weights."""
    config = short(system, **fields)
    task = tasks.make(config)
    made = jax.jit(task.init)(jax.random.key(0), blank_batch(task.reads))
    return trained.Trained(
        config, task, made["params"], made.get("batch_stats", {}), statistics, None
    )


def test_a_run_of_two_modalities_tells_how_its_cepstra_are_standardised(load, tmp_path):
    statistics = {"mean": [0.5] * 13, "std": [2.0] * 13}
    model = random("hybrid", statistics, model__filters=(2, 4), model__width=8)
    names = [file.name for file in export.write(model, tmp_path)]
    assert names == ["image+audio.stablehlo", "load.py", "README.md"]
    rng = np.random.default_rng(0)
    given = {
        "image": rng.integers(0, 256, (4, 28, 28), np.uint8),
        "audio": rng.normal(size=(4, 39, 13)).astype(np.float32),
    }
    found = load(tmp_path / names[0])(**given)
    np.testing.assert_allclose(found, of_the_model(model, given), atol=1e-5)
    readme = (tmp_path / "README.md").read_text()
    assert "`audio` [B, 39, 13] float32" in readme and str(statistics["mean"]) in readme


def test_what_reads_another_stages_codes_is_one_line():
    model = random("hybrid", model__filters=(2, 4), model__width=8)
    model = model._replace(task=type("Coded", (), {"reads": ("code",)}))
    with pytest.raises(UserError, match="reads code, which another stage makes"):
        export.combinations(model)


def test_no_run_and_a_file_in_the_way_are_one_line(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    for arguments, wanted in (
        ([tmp_path / "none", tmp_path / "out"], "no finished run"),
        ([tmp_path / "file"], "name a folder"),
    ):
        with pytest.raises(SystemExit):
            export.main(list(map(str, arguments)))
        err = capsys.readouterr().err
        assert wanted in err and len(err.splitlines()) == 1


def test_a_run_and_a_persons_own_files_stay(out, recognise, tmp_path):
    for name, told in (
        ("result.json", "is a run"),
        ("README.md", "is there"),
        ("load.py", "is the"),
    ):
        (tmp_path / name).write_text("mine")
        with pytest.raises(UserError, match=told):
            export.write(recognise.trained, tmp_path)
        assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [(name, "mine")]
        (tmp_path / name).unlink()
    export._refuse_others(out)  # an export may be made again


@pytest.mark.real
def test_a_hundred_real_pairs(recognise, load, out, real_data, tmp_path):
    corpora = prepare.load("mnist_fsdd", real_data, tmp_path, ("image", "word"))
    given = {name: corpora[name].x[:: len(corpora[name]) // 100][:100] for name in corpora}
    found = load(out / "image+word.stablehlo")(**given)
    assert found.shape == (100, 10)
    np.testing.assert_allclose(found, of_the_model(recognise.trained, given), atol=1e-5)
