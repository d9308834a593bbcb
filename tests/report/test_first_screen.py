"""What a reader of the page sees first, and what is folded below it."""

from fdigits import report
from fdigits.report import artifacts, reported, results
from fdigits.report.page import Beside, Heading, Items, Note, sections

F1_ALONE = {"paper": {"macro_f1": 0.992, "source": "R1 Table 1"}, "modalities": ["image", "audio"]}


def test_measured_and_reported_come_before_all_that_folds(written):
    text = (written / "report.html").read_text()
    first, folded = text.split("<details>", 1)
    assert first.count("<table>") == 1 and first.count("<figure>") == 2
    assert "Measured and reported." in first and "Venn diagram" in first
    header = first[first.index("<thead>") : first.index("</thead>")]
    places = [header.index(name) for name in ("system", "accuracy %", "95%", "paper %", "n<")]
    assert places == sorted(places)
    assert "seed<" not in header and "protocol" not in header  # all runs have the same
    assert "Venn diagram" not in folded and "Confusion matrices" in folded


def test_a_section_without_blocks_is_left_out():
    kept = sections([Note("first"), Heading("empty"), Heading("full"), Note("last")])
    assert kept == [[Note("first")], [Heading("full"), Note("last")]]


def test_runs_that_differ_in_seed_alone_share_a_row(tmp_path, write_run):
    runs = {
        str(seed): artifacts.load(
            write_run(tmp_path / str(seed), "image", set(range(seed + 1)), seed=seed)
        )
        for seed in range(3)
    }
    spans = results.intervals(runs)
    assert list(reported.alike(runs)) == ["ImageNet_CNN"]
    measured, paper, *_ = reported.panel(runs, "accuracy", spans)["ImageNet_CNN"]
    assert [round(60 * value) for value, _ in measured] == [59, 58, 57] and paper == 0.9913
    assert all(span.low < value < span.high for value, span in measured)
    assert "seeds 0, 1, 2" in results.facts(runs)[0]
    (picture,) = reported.reported(runs, {"accuracy": spans}, "")
    assert "a dot for each seed" in picture.caption


def test_a_figure_that_a_paper_gives_alone_has_a_panel_of_its_own(tmp_path, trio, write_run):
    fusion = artifacts.load(write_run(tmp_path / "r", "fusion", {3}, result_says=F1_ALONE))
    assert reported.plotted({"fusion": fusion}) == ["accuracy", "macro_f1"]
    assert reported.plotted({"image": artifacts.load(trio[0])}) == ["accuracy"]
    figure = reported.dots({name: reported.panel({"fusion": fusion}, name, {})
                            for name in ("accuracy", "macro_f1")})  # fmt: skip
    labels = [axes.get_xlabel() for axes in figure.axes]
    assert labels == ["accuracy %", "macro-F1"]


def test_a_figure_alone_is_no_plot(tmp_path, write_other):
    run = artifacts.load(write_other(tmp_path / "r", "gan", {"fid": 2.5}))
    assert not list(reported.reported({"gan": run}, {}, ""))
    assert not [b for b in results.results({"gan": run}, {}) if isinstance(b, Beside)]


def test_many_settings_are_told_in_short_first_and_at_length_below(tmp_path, write_run):
    paths = [
        write_run(tmp_path / str(limit), "image", set(), data_says={"limit": limit})
        for limit in (100, 200, 300, 400)
    ]
    runs = {path.name: artifacts.load(path) for path in paths}
    assert len(results.settings(runs)) == 4 and "4 runs" in results.facts(runs)[0]
    html = report.write(paths, tmp_path / "out", apart=True).read_text()
    first, folded = html.split("<details>", 1)
    assert "at most 300" not in first and "at most 300" in folded
    assert isinstance(next(results.results(runs, {})), Items)
