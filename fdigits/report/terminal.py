"""The result table a terminal shows; needs rich only, so training imports no matplotlib."""

from rich.table import Table


def percent(value: float | None) -> str:
    """0.9974 -> "99.74"; nothing measured -> "–"."""
    return "–" if value is None else f"{100 * value:.2f}"


def table(results: list[dict]) -> Table:
    """The test figures of some `result.json` beside the reported ones; accuracies in percent."""
    made = Table(title="test results", title_justify="left")
    for heading in ("system", "data", "protocol"):
        made.add_column(heading, overflow="fold")
    for heading in ("seed", "parameters", "accuracy %", "macro-F1", "n", "reported %"):
        made.add_column(heading, justify="right")
    for result in results:
        test = result["metrics"]["test"]
        made.add_row(
            result["system"],
            result["dataset"],
            result["protocol"],
            str(result["seed"]),
            f"{result['parameters']:,}",
            percent(test["accuracy"]),
            f"{test['macro_f1']:.4f}",
            f"{test['n']:,}",
            percent((result.get("reported") or {}).get("accuracy") or None),
        )
    return made
