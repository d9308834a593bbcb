"""The result table a terminal shows; needs rich only, so training imports no matplotlib."""

from rich.table import Table


def percent(value: float | None) -> str:
    """0.9974 -> "99.74"; nothing measured -> "–"."""
    return "–" if value is None else f"{100 * value:.2f}"


def table(results: list[dict]) -> Table:
    """The test figures of some `result.json` beside the reported ones; accuracies in percent.

    Args:
        results: contents of `result.json`; `metrics.test.interval` (low, high) is shown if there.
    """
    made = Table(title="test results", title_justify="left")
    for heading in ("system", "data", "protocol"):
        made.add_column(heading, overflow="fold")
    intervals = any("interval" in result["metrics"]["test"] for result in results)
    headings = ["seed", "parameters", "accuracy %", "macro-F1", "n", "reported %"]
    if intervals:
        headings.insert(3, "95% interval")
    for heading in headings:
        made.add_column(heading, justify="right")
    for result in results:
        test = result["metrics"]["test"]
        cells = [
            result["system"],
            result["dataset"],
            result["protocol"],
            str(result["seed"]),
            f"{result['parameters']:,}",
            percent(test["accuracy"]),
            f"{test['macro_f1']:.4f}",
            f"{test['n']:,}",
            percent((result.get("reported") or {}).get("accuracy") or None),
        ]
        if intervals:
            cells.insert(6, "–".join(map(percent, test.get("interval", ()))))
        made.add_row(*cells)
    return made
