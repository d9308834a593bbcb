"""Made-up finished runs, written as `fdigits.run` leaves them."""

import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

SYSTEMS = {
    "image": ("ImageNet_CNN", 421_642, 0.9913),
    "audio": ("AudioNet_CNN", 241_418, 0.9775),
    "hybrid": ("HybridNet_CNN", 700_554, 0.9974),
    "fusion": ("R1 weighted", 1_060_236, 0.0),
    "spectrogram": ("R4 P4B cbam", 1_629_069, 0.9922),
}


def _write_run(
    workdir: Path,
    modality: str,
    wrong: set[int],
    *,
    n: int = 60,
    utterances: int = 30,
    data: str = "mnist_fsdd",
    split: str = "paper",
    seed: int = 0,
    paired_ids: bool = True,
    result_says: dict | None = None,
    data_says: dict | None = None,
    **more: dict[str, np.ndarray],
) -> Path:
    """A finished run of `n` pairs whose `wrong` rows are predicted one class too high.

    Args:
      result_says: fields of `result.json` that differ.
      data_says: fields of the config's `data` that differ.
      **more: further files, as `maps={"row": ...}`.
    """
    generator = np.random.default_rng(7)
    label_N = (np.arange(n) % 10).astype(np.int32)
    row_N = (np.arange(n) % utterances).astype(np.int32)
    small, digit = load_digits(return_X_y=True)
    chosen = [np.flatnonzero(digit == label)[item] for item, label in enumerate(label_N)]
    image = np.zeros((n, 28, 28), np.uint8)
    image[:, 2:26, 2:26] = np.kron(small[chosen].reshape(-1, 8, 8) * 15, np.ones((3, 3)))
    image[np.arange(n), 0, 0] = np.arange(n)
    centre = generator.normal(size=(10, 16))
    predicted_N = np.where(np.isin(np.arange(n), list(wrong)), (label_N + 1) % 10, label_N)
    logits = generator.normal(size=(n, 10)).astype(np.float32)
    logits[np.arange(n), predicted_N] += 20
    system, parameters, paper = SYSTEMS[modality]
    config = {
        "name": f"{modality}_cnn-{data}",
        "seed": seed,
        "data": {"name": data, "split": split, "speaker": "", "limit": 0} | (data_says or {}),
        "model": {"name": modality, "audio": "cnn"},
    }
    accuracy = float((predicted_N == label_N).mean())
    result = {
        "name": config["name"],
        "system": system,
        "dataset": data,
        "protocol": split,
        "seed": seed,
        "parameters": parameters,
        "metrics": {"test": {"accuracy": accuracy, "macro_f1": accuracy, "n": n}},
        "paper": {"accuracy": paper, "macro_f1": paper, "source": "R0 Table 7"},
    } | (result_says or {})
    history = [
        {
            "epoch": epoch,
            "train": {"loss": 1 / epoch, "accuracy": 1 - 0.5 / epoch},
            "validation": {"loss": 0.9 / epoch, "accuracy": 1.0 if epoch == 4 else 1 - 0.4 / epoch},
        }
        for epoch in range(1, 5)
    ]
    workdir.mkdir(parents=True)
    (workdir / "config.json").write_text(json.dumps(config))
    (workdir / "result.json").write_text(json.dumps(result))
    (workdir / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in history))
    joint = "|" if paired_ids else "/"
    ids = np.array([f"train/{seed}{i:05d}{joint}{row}_theo" for i, row in enumerate(row_N)])
    np.savez(workdir / "predictions.npz", id=ids, label=label_N, logits=logits)
    audio = generator.normal(size=(utterances, 39, 13)).astype(np.float16)
    inputs = {"image": image, "audio": audio, "audio_row": row_N}
    if modality == "spectrogram":
        coarse = generator.integers(256, size=(n, 8, 8)).astype(np.uint8)
        inputs = {"spectrogram": np.kron(coarse, np.ones((16, 16), np.uint8))}
    np.savez(workdir / "inputs.npz", **inputs)
    for name, arrays in more.items():
        np.savez(workdir / f"{name}.npz", **arrays)
    encoders = ("image", "audio") if modality in ("hybrid", "fusion") else (modality,)
    embeddings = {
        name: (centre[label_N] * 3 + generator.normal(size=(n, 16))).astype(np.float16)
        for name in encoders
    }
    np.savez(workdir / "embeddings.npz", **embeddings)
    return workdir


def _write_other(
    workdir: Path,
    task: str,
    test: dict,
    *,
    rows: list[dict] | None = None,
    artifacts: tuple[str, ...] | None = (),
    paper: dict | None = None,
    **files: dict[str, np.ndarray],
) -> Path:
    """A finished run of a task that is no classifier's.

    Args:
      test: its figures of the test part.
      rows: its epochs, three of a falling "loss" and "error" by default.
      artifacts: what `result.json` says of the files, None = nothing.
      **files: `predictions={"id": ...}` and others.
    """
    say = {"name": f"{task}-mnist", "seed": 0, "task": task}
    config = say | {"data": {"name": "mnist", "split": ""}, "model": {"latent": 32}}
    result = say | {
        "system": "",
        "dataset": "mnist",
        "protocol": "paper",
        "modalities": ["image"],
        "parameters": 1234,
        "metrics": {"test": test},
        "paper": paper or {"accuracy": 0.0, "source": ""},
    }
    if artifacts is not None:
        result["artifacts"] = [*artifacts, *(f"{name}.npz" for name in files)]
    if rows is None:
        figures = [{"loss": 1 / epoch, "error": 0.1 / epoch} for epoch in (1, 2, 3)]
        rows = [{"train": part, "validation": part} for part in figures]
    workdir.mkdir(parents=True)
    (workdir / "config.json").write_text(json.dumps(config))
    (workdir / "result.json").write_text(json.dumps(result))
    lines = [json.dumps({"epoch": epoch} | row) + "\n" for epoch, row in enumerate(rows, 1)]
    (workdir / "metrics.jsonl").write_text("".join(lines))
    for name, arrays in files.items():
        np.savez(workdir / f"{name}.npz", **arrays)
    return workdir


@pytest.fixture(scope="session")
def write_run():
    return _write_run


@pytest.fixture(scope="session")
def write_other():
    return _write_other


@pytest.fixture(scope="session")
def trio(tmp_path_factory) -> list[Path]:
    """Image, audio and hybrid run over the same items; all three get row 3 wrong."""
    root = tmp_path_factory.mktemp("runs")
    wrong = {"image": {1, 2, 3, 4, 5}, "audio": {3, 5, 6}, "hybrid": {3, 4}}
    return [_write_run(root / modality, modality, rows) for modality, rows in wrong.items()]


@pytest.fixture(scope="session")
def written(trio, tmp_path_factory) -> Path:
    """The folder of the trio's report."""
    from fdigits import report

    html = report.write(trio, tmp_path_factory.mktemp("out") / "report")
    return html.parent
