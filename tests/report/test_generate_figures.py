import json

import numpy as np

from fdigits.report import artifacts
from fdigits.report.build import PAGES
from fdigits.report.page import Grid, Picture


def finished(path, epochs=(1, 2, 3)):
    """What a run of the task `gan` leaves, of 20 test items."""
    path.mkdir()
    rng = np.random.default_rng(0)
    config = dict(
        name="gan-digits", task="gan", seed=0, model={}, data=dict(name="digits", split="official")
    )
    test = dict(judged=0.5, fid=3.0, n=20, judged_by_digit=[0.1 * d for d in range(10)],
                spread_by_digit=[1.0] * 10)  # fmt: skip
    result = dict(
        system="GAN", dataset="digits", protocol="official", seed=0, parameters=5, task="gan",
        modalities=["image"], metrics=dict(test=test), artifacts=["sheet.npz"],
    )  # fmt: skip
    row = dict(epoch=1, train={"loss": 1.0}, validation={"fid": 3.0})
    (path / "config.json").write_text(json.dumps(config))
    (path / "result.json").write_text(json.dumps(result))
    (path / "metrics.jsonl").write_text(json.dumps(row) + "\n")
    sheet = rng.integers(0, 256, (10, 10, 28, 28), dtype=np.uint8)
    np.savez(path / "sheet.npz", image=sheet, nearest=sheet)
    (path / "samples").mkdir()
    for epoch in epochs:
        np.savez(
            path / "samples" / f"{epoch:04}.npz", image=np.full((10, 10, 28, 28), epoch, np.uint8)
        )
    return path


def test_the_page_has_sheets_epochs_and_figures_by_digit(tmp_path):
    run = artifacts.load(finished(tmp_path / "r"))
    blocks = list(PAGES["gan"]({"GAN": run}, False))
    names = [block.name for block in blocks if isinstance(block, Picture)]
    assert names == ["drawn_gan", "nearest_gan", "epochs_gan"]
    (grid,) = [block for block in blocks if isinstance(block, Grid)]
    assert grid.rows[0] == ["GAN", "read as its digit", *(f"{0.1 * d:.2f}" for d in range(10))]
    assert grid.rows[1][1] == "spread"


def test_epochs_are_thinned_to_what_fits(tmp_path, monkeypatch):
    from fdigits.report import generate

    seen = []
    monkeypatch.setattr(generate, "sheet", lambda image, top, left: seen.append((image, top)) or 0)
    run = artifacts.load(finished(tmp_path / "r", range(1, 76)))
    blocks = PAGES["gan"]({"GAN": run}, False)
    next(block for block in blocks if getattr(block, "name", "") == "epochs_gan").draw()
    image, top = seen[-1]
    assert len(top) == generate.EPOCHS and top[0] == "1" and top[-1] == "75"
    np.testing.assert_array_equal(image[0, :, 0, 0], [int(epoch) for epoch in top])
