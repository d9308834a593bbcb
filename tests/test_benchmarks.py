import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks import (
    epochs,
    keras_peers,
    kernels,
    latency,
    memory,
    picture,
    scale,
    sitting,
    startup,
    steps,
)
from benchmarks import input as feeding
from benchmarks.systems import SYSTEMS, config_of, load_config
from fdigits import tasks
from fdigits.data.corpus import MODALITIES
from fdigits.errors import UserError
from fdigits.models import layers
from fdigits.models.kernels import channel_mean_max, lstm
from fdigits.tasks import classify

ROOT = Path(__file__).parents[1]


def small(system):
    """The config of a system, with batches of 2, and one such batch."""
    config = load_config(system)
    with config.unlocked():
        config.chunk, config.batch_size = 1, 2
    return config, steps.batch_at(steps.random_chunk(config), 0)


def shapes_of(task, batch):
    return jax.eval_shape(task.init, jax.random.key(0), batch)


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--systems=image_cn", "image_cnn"),
        ("--peers=torhc", "torch"),
        ("--rounds=0", "rounds"),
        ("--seconds=-1", "seconds"),
    ],
)
def test_wrong_flags_are_one_line(flag, message, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["steps", flag])
    with pytest.raises(SystemExit) as left:
        steps.main()
    assert left.value.code == 2
    assert message in capsys.readouterr().err


def test_an_unknown_system_is_told_the_nearest():
    with pytest.raises(UserError, match="did you mean 'image_cnn'"):
        load_config("image_cn")


@pytest.mark.slow
def test_rates_of_every_round_are_written(tmp_path):
    file = tmp_path / "steps.json"
    flags = ["--systems=audio_mlp", "--peers=", "--rounds=2", "--seconds=0.01", f"--json={file}"]
    command = [sys.executable, "-m", "benchmarks.steps", *flags]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    system = sitting.read(file)["audio_mlp"]
    assert all(len(rates) == 2 and min(rates) > 0 for rates in system["steps_per_second"].values())
    assert system["parameters"] == {"fdigits": 47_146}
    assert system["sitting"]["hardware"] and system["sitting"]["versions"]["jax"]


@pytest.mark.parametrize("system", SYSTEMS)
def test_random_batches_are_what_a_task_reads(system):
    config, batch = small(system)
    task = tasks.make(config)
    assert batch.keys() == {*task.reads, "label"}
    for name in task.reads:
        assert batch[name].shape == (2, *(size or 39 for size in MODALITIES[name].read))
        assert batch[name].dtype == MODALITIES[name].dtype


@pytest.mark.parametrize("system", ["fusion_weighted", "spectrogram_lenet"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_peers_are_given_the_tasks_inputs_and_the_labels(system, dtype):
    config = load_config(system)
    with config.unlocked():
        config.chunk, config.batch_size = 2, 3
        config.dtype = dtype
    chunk = steps.random_chunk(config)
    second = steps.batch_at(chunk, 1)
    given = steps.read_batches(config, chunk)[1]
    inputs = tasks.make(config).inputs(second)
    assert given.keys() == inputs.keys() | {"label"}
    np.testing.assert_array_equal(given["label"], second["label"])
    for name, array in inputs.items():
        assert given[name].dtype == np.float32
        atol = 1e-6 if dtype == "float32" else 0.02  # of values around 1
        np.testing.assert_allclose(given[name], array.astype(np.float32), atol=atol)


@pytest.mark.parametrize("system", SYSTEMS)
def test_peers_have_the_same_parameters_and_take_a_step(system):
    pytest.importorskip("torch")
    from benchmarks import peers

    config, batch = small(system)
    task = tasks.make(config)
    params = shapes_of(task, batch)["params"]
    if config.task == "gan":  # the judge takes no part in a step
        params = {name: x for name, x in params.items() if not name.startswith("judge")}
    own = sum(x.size for x in jax.tree.leaves(params))
    second_bias = 2 * 256 if "lstm" in system else 0
    assert peers.parameters(config) == own + second_bias
    chunk = {name: array[None] for name, array in batch.items()}
    assert peers.runner(config, steps.read_batches(config, chunk))() == 1


@pytest.mark.parametrize("system", ["image_cnn", "conv1d_image", "spectrogram_hybrid"])
def test_a_peers_loss_is_the_tasks(system):
    torch = pytest.importorskip("torch")
    from benchmarks import twins

    config, rng = load_config(system), np.random.default_rng(0)
    logits, label = rng.normal(size=(5, 10)).astype(np.float32), np.array([3, 1, 4, 1, 5])
    net = twins.make(config.model)
    loss = twins.LOSSES[config.task](config, net)
    theirs = loss(torch.tensor(logits), {"label": torch.tensor(label)}).item()
    kernels = [p.detach().numpy() for p in twins.penalised(net)]
    assert len(kernels) == (2 if system == "spectrogram_hybrid" else 0)
    ours = float(classify.LOSSES[config.loss](jnp.asarray(logits), jnp.asarray(label)))
    ours += 1e-3 * sum(float(np.square(kernel).sum()) for kernel in kernels)
    np.testing.assert_allclose(theirs, ours, rtol=1e-5)


@pytest.fixture
def dynamo(monkeypatch):
    """Dynamo with a limit of two, and `graphs`, which it hands to its backend; that runs them."""
    torch, dynamo = pytest.importorskip("torch"), pytest.importorskip("torch._dynamo")
    plain, graphs = torch.compile, []

    def backend(graph, _):
        graphs.append(graph)
        return graph.forward

    monkeypatch.setattr(torch, "compile", lambda net, **_: plain(net, backend=backend))
    with dynamo.config.patch(recompile_limit=2, fail_on_recompile_limit_hit=False):
        yield SimpleNamespace(config=dynamo.config, exc=dynamo.exc, graphs=graphs)
    dynamo.reset()


def compiled(width, *sizes):
    """A runner of a small compiled twin over a batch of each size."""
    from benchmarks import peers

    config, batches = load_config("audio_mlp"), []
    with config.unlocked():
        config.model.hidden, config.chunk = (width,), 1
        for config.batch_size in sizes:
            batches += steps.read_batches(config, steps.random_chunk(config))
    return peers.runner(config, batches, peers.SETTINGS["torch_compile"])


def test_each_of_many_compiled_peers_is_compiled(dynamo):
    for number in range(4):
        before = len(dynamo.graphs)
        assert compiled(4 + number, 2)() == 1
        assert len(dynamo.graphs) > before


def test_a_compiled_peer_that_falls_back_fails(dynamo):
    dynamo.config.recompile_limit = 1
    with pytest.raises(dynamo.exc.FailOnRecompileLimitHit):
        compiled(4, 2, 3)


def test_a_peer_that_is_not_compiled_at_all_is_told(dynamo, monkeypatch):
    monkeypatch.setattr("torch.compile", lambda net, **_: net)
    with pytest.raises(UserError, match=r"torch\.compile compiled nothing"):
        compiled(4, 2)


def test_a_missing_compiler_is_told(dynamo, monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UserError, match=r"torch_compile needs a C\+\+ compiler"):
        compiled(4, 2)


def rates(chunk, torch):
    return {"steps_per_second": {"step": [1.0], "chunk": chunk, "torch": torch}}


def test_times_are_relative_to_the_model_without_attention():
    results = {
        "attention_base": rates([100.0, 60.0, 80.0], [40.0, 40.0, 41.0]),
        "attention_se": rates([50.0, 40.0, 10.0], [20.0, 32.0, 40.0]),
        "spectrogram_cbam": rates([1.0], [1.0]),
    }
    relative = steps.relative_times(results)
    assert relative == {"attention_se": {"chunk": 2.0, "torch": 1.25, "reported": 1.08}}
    assert steps.relative_table(relative).row_count == 1


def test_times_of_different_sittings_are_not_compared():
    results = {"attention_base": rates([1.0], [1.0]), "attention_se": rates([2.0], [2.0])}
    for name, date in zip(results, ("2026-11-26", "2026-11-27"), strict=True):
        results[name]["sitting"] = {"date": date}
    assert steps.relative_times(results) == {}


def test_a_figure_joins_those_of_other_names_and_takes_its_own_place(tmp_path):
    file, first, second = tmp_path / "a.json", {"date": "2026-11-26"}, {"date": "2026-11-27"}
    sitting.join(file, {"image_cnn": {"x": 1}, "gan": {"x": 2}}, first)
    held = sitting.join(file, {"gan": {"x": 3}}, second)
    assert held == sitting.read(file)
    assert held["image_cnn"] == {"x": 1, "sitting": first}
    assert held["gan"] == {"x": 3, "sitting": second}


@pytest.mark.parametrize("file", sorted((ROOT / "results").glob("steps_*.json")), ids=str)
def test_published_steps_are_read(file):
    found = sitting.read(file)
    assert found and found.keys() <= SYSTEMS.keys()
    for figure in found.values():
        assert figure["sitting"]["hardware"] and figure["sitting"]["commit"]
        assert figure["steps_per_second"]["chunk"]


def test_no_file_of_figures_is_told(tmp_path):
    (tmp_path / "a.json").write_text("[]")
    with pytest.raises(UserError, match="no figures"):
        sitting.read(tmp_path / "a.json")


@pytest.mark.slow
def test_a_start_is_measured_by_phases():
    found = startup.starts("configs/hybrid.py", times=1)
    for name in ("cold", "warm"):
        figure = found[name]
        assert figure["to_first_step"][0] > 0 and figure["steps_of_first_chunk"] == 50
        assert set(figure["loaded"]) <= {"tensorboard", "orbax.checkpoint"}
        assert next(iter(figure["seconds"])) == "imports"


def test_of_the_first_chunk_one_step_counts():
    phases = {"imports": {"seconds": 2.0, "cpu": 1.0}, "first chunk": {"seconds": 5.0, "cpu": 10.0}}
    figure = startup.summed([{"phases": phases, "steps": 5, "loaded": []}] * 2)
    assert figure["to_first_step"] == [3.0, 3.0] and figure["cpu_to_first_step"] == [3.0, 3.0]
    assert figure["seconds"]["imports"] == [2.0, 2.0]


@pytest.mark.parametrize("module", ["predict", "demo"])
def test_predicting_loads_nothing_heavy(module):
    assert startup.importing(f"fdigits.{module}", 1)["loaded"] == []


def test_launching_loads_neither_matplotlib_nor_scipys_statistics():
    assert startup.importing("launch, fdigits.run", 1)["loaded"] == ["orbax.checkpoint"]


@pytest.mark.slow
def test_feeders_are_measured_beside_training(monkeypatch):
    monkeypatch.setattr(feeding, "ITEMS", 256)
    monkeypatch.setattr(feeding, "DISTINCT", 64)
    figure = feeding.compared("audio_mlp", 1, 0.01)
    rates = figure["batches_per_second"]
    assert rates.keys() == {"training", "host", "device"}
    for kind in ("host", "device"):
        ratio = rates[kind][0] / rates["training"][0]
        assert figure["times_training"][kind][0] == pytest.approx(ratio, abs=0.01)
    assert len(feeding.rows({"audio_mlp": figure})) == 2


def traced(system):
    """The gradients of a system's losses, as JAX writes them down."""
    config, batch = small(system)
    task = tasks.make(config)
    variables = shapes_of(task, batch)
    given = variables["params"], variables.get("batch_stats", {}), batch, jax.random.key(0)
    losses = [player.loss for player in task.players.values()]
    return str([jax.make_jaxpr(jax.grad(loss, has_aux=True))(*given) for loss in losses])


@pytest.mark.parametrize("name", kernels.TRIALS)
def test_a_trial_measures_another_gradient(name, monkeypatch):
    trial = kernels.TRIALS[name]
    monkeypatch.setattr(jax, "default_backend", lambda: "cpu")
    own = traced(trial.systems[0])
    with kernels.replaced(trial):
        plain = traced(trial.systems[0])
    assert plain != own and traced(trial.systems[0]) == own


def normal(seed, *shape):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


@pytest.mark.parametrize(
    ("plain", "kernel", "args"),
    [
        (kernels.mean_max, channel_mean_max, (normal(0, 2, 3, 5),)),
        (kernels.lstm, lstm, (normal(0, 6, 2, 12), normal(1, 3, 12))),
    ],
)
def test_plain_functions_are_the_kernels(plain, kernel, args):
    np.testing.assert_allclose(jax.jit(plain)(*args), jax.jit(kernel)(*args), atol=1e-5)


@pytest.mark.parametrize(
    ("plain", "module", "channels"),
    [
        (kernels.conv(1, (7, 7), block=4), layers.Conv(1, (7, 7), block=4), 2),
        (kernels.SquaresConv(4, (5, 5)), layers.SquaresConv(4, (5, 5)), 3),
    ],
)
def test_plain_layouts_are_the_modules(plain, module, channels):
    x = normal(0, 2, 8, 8, channels)
    variables = jax.eval_shape(module.init, jax.random.key(0), x)
    variables = jax.tree.map(lambda p: normal(1, *p.shape), variables)
    ours, theirs = (jax.jit(layer.apply)(variables, x) for layer in (module, plain))
    for a, b in zip(*map(jax.tree.leaves, (ours, theirs)), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-4)


def test_a_prediction_is_timed_beside_the_twins():
    pytest.importorskip("torch")
    from benchmarks import peers

    figure = latency.compared("audio_lstm", peers, ["torch"], rounds=2, count=1)
    own, theirs = (figure["milliseconds"][name] for name in ("fdigits", "torch"))
    ratios = [round(b / a, 3) for a, b in zip(own, theirs, strict=True)]
    assert figure["best_peer_takes"] == ratios and min(own) > 0
    assert len(latency.rows({"audio_lstm": figure})) == 1


def test_calls_give_probabilities():
    pytest.importorskip("torch")
    from benchmarks import peers

    for call in latency.calls("picture", peers, ["torch"]).values():
        p_BxV = call()
        assert p_BxV.shape == (1, 10)
        np.testing.assert_allclose(p_BxV.sum(), 1, rtol=1e-5)


def test_the_twin_of_the_ear_hears_what_the_ear_hears():
    torch = pytest.importorskip("torch")
    from benchmarks import twins
    from fdigits import trained
    from fdigits.models import ears

    shipped = trained.shipped()
    twin = twins.expert(shipped.config.model, "word").eval()
    own = [shipped.params["word_encoder"], shipped.params["word_head"]]
    assert sum(p.numel() for p in twin.parameters()) == sum(x.size for x in jax.tree.leaves(own))
    word = np.random.default_rng(0).normal(0, 0.1, (2, 10_000)).astype(np.float32)
    ear, given = twin.encoder, torch.tensor(word)
    again = (given[:, ear.places] * ear.weights).sum(2).numpy()
    heard = np.asarray(jax.jit(ears.heard_again)(word)).reshape(5, 2, -1)[1:]
    np.testing.assert_allclose(again.swapaxes(0, 1), heard, atol=1e-3)
    cepstra = jax.jit(ears.cepstra)(word)
    np.testing.assert_allclose(ear.cepstra(given).numpy(), cepstra, atol=1e-3)


@pytest.mark.slow
def test_seconds_to_the_goal_are_told_apart_from_compiling(monkeypatch):
    config = load_config("image_cnn")
    with config.unlocked():
        config.update(epochs=2, batch_size=20, chunk=2)
        config.data.limit = 40
    monkeypatch.setattr(epochs, "GOAL", 0.0)
    figure = epochs.several(config, seeds=1)
    assert figure["reached"] == 1 and figure["steps"] == [4]
    assert len(figure["validation"][0]) == 2
    assert figure["compiling"][0] > 0 and figure["seconds"][0] > 0
    assert epochs.row(figure)[0] == "1 of 1"


def test_the_quick_recipe_is_trained_on_mnist():
    config = config_of(ROOT / "configs" / "quick.py")
    assert config.data.name == "mnist" and config.protocol == "held_out"
    with pytest.raises(UserError, match="no config file"):
        config_of(ROOT / "configs" / "quik.py")


@pytest.mark.slow
def test_a_point_of_scale_is_measured_in_a_process_of_its_own():
    point = {"devices": 2, "batch": 4, "chunk": 2, "width": 0.5}
    figure = scale.in_fresh_process("audio_mlp", point, 1, 0.01)
    flops, ceiling = figure["operations_of_a_step"], 1e9 * figure["ceiling_gflops"][0]
    share = figure["steps_per_second"][0] * flops / ceiling
    assert figure["batch_size"] == 4 and figure["peak_bytes"] > 2**26
    assert figure["share_of_ceiling"][0] == pytest.approx(share, rel=0.01, abs=0.001)
    assert scale.row("audio_mlp", figure)[0] == "audio_mlp"


def test_keras_knows_the_first_systems_alone():
    known = [name for name in SYSTEMS if keras_peers.knows(load_config(name))]
    assert known == ["image_cnn", "audio_cnn", "audio_lstm", "hybrid_cnn", "hybrid_lstm"]


@pytest.mark.slow
@pytest.mark.parametrize("system", ["hybrid_lstm", "audio_cnn"])
def test_keras_trains_in_a_process_of_its_own(system):
    config, batch = small(system)
    peer = keras_peers.Peer(
        "keras_jax", config, steps.read_batches(config, {k: v[None] for k, v in batch.items()})
    )
    assert [peer(), peer()] == [1, 1]
    assert peer.cpu_seconds() > 1
    peer.close()
    with pytest.raises(UserError, match="keras_jax ended"):
        peer()


def test_memory_is_that_of_a_process_of_its_own(tmp_path):
    memory.write_batches("audio_mlp", tmp_path)
    figure = memory.in_fresh_process("audio_mlp", "fdigits", tmp_path)
    assert figure["peak_bytes"] > figure["imported_bytes"] > 2**26
    assert figure["steps"] == 2 * load_config("audio_mlp").chunk


def test_widths_are_of_all_layers():
    config = scale.config_at("hybrid_cnn", {"width": 2, "batch": 8})
    own = load_config("hybrid_cnn").model
    assert config.model.width == 2 * own.width and config.batch_size == 8
    assert config.model.filters == tuple(2 * n for n in own.filters)


def test_operations_are_those_of_the_matrix_products():
    config = load_config("audio_mlp")
    chunk = steps.random_chunk(config)
    shapes = shapes_of(tasks.make(config), steps.batch_at(chunk, 0))["params"]
    kernels = sum(x.size for x in jax.tree.leaves(shapes) if x.ndim == 2)
    # forward, and in the gradient of kernels; of what a layer reads, too, but for the first's
    low, high = (times * config.batch_size * kernels for times in (4, 8))
    assert low < scale.operations(config, chunk) < high


def test_the_picture_has_a_panel_for_each_kind_of_figure(tmp_path):
    few = {"milliseconds": {"fdigits": [1.0]}, "best_peer_takes": [1.5, 1.2], sitting.BUSY: 0.0}
    start = {"seconds": {"imports": [1.0], "data": [2.0]}, "to_first_step": [3.0], "loaded": []}
    here = {"hardware": "CPU; AMD EPYC, 2 cores"}
    sitting.join(tmp_path / "a.json", {"image_cnn": few, "cold": start | {sitting.BUSY: 1.5}}, here)
    steps_file = ROOT / "results" / "steps_cpu.json"
    drawn = picture.picture([steps_file, tmp_path / "a.json"])
    rows = [[tick.get_text() for tick in axes.get_yticklabels()] for axes in drawn.axes]
    assert rows[0][::-1] == [*sitting.read(steps_file)]
    assert rows[1:] == [["image_cnn"], ["cold (busy)"]]
    sitting.join(tmp_path / "b.json", {"quick": {"accuracy": [1.0]}}, here)
    with pytest.raises(UserError, match="no figure"):
        picture.picture([tmp_path / "b.json"])


def test_the_best_peer_is_that_of_each_round():
    figure = {"ratio_of_chunk": {"torch": [2.0, 1.0], "torch_fused": [1.5, 3.0]}}
    assert picture.over_best(figure) == [1.5, 1.0]
    assert [picture.steps_goal(name) for name in ("hybrid_lstm", "gan")] == [1.2, None]
