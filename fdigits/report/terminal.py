"""The result table a terminal shows; needs rich only, so training imports no matplotlib."""

from rich.table import Table

TEST_VALIDATES = ", test part validates"  # how a run's protocol ends then
DAGGER = "† as in the report, the test part also validates; the last weights are tested"


def percent(value: float | None) -> str:
    """0.9974 -> "99.74"; nothing measured -> "–"."""
    return "–" if value is None else f"{100 * value:.2f}"


def short_protocol(protocol: str) -> str:
    """The protocol with a † that `DAGGER` explains in the place of `TEST_VALIDATES`."""
    return protocol.replace(TEST_VALIDATES, " †")


def reported_figure(reported: dict) -> str:
    """The reported accuracy in percent, or the macro-F1 where that alone is reported."""
    if not reported.get("accuracy") and reported.get("macro_f1"):
        return f"F1 {reported['macro_f1']:.3f}"
    return percent(reported.get("accuracy") or None)


def table(results: list[dict]) -> Table:
    """The test figures of some `result.json` beside the reported ones; accuracies in percent."""
    made = Table(title="test results", title_justify="left")
    for heading in ("system", "data", "protocol"):
        made.add_column(heading, overflow="fold")
    for heading in ("seed", "parameters", "accuracy %", "macro-F1", "n", "reported %"):
        made.add_column(heading, justify="right", no_wrap=True)
    if any(TEST_VALIDATES in result["protocol"] for result in results):
        made.caption, made.caption_justify = DAGGER, "left"
    for result in results:
        test = result["metrics"]["test"]
        made.add_row(
            result["system"],
            result["dataset"],
            short_protocol(result["protocol"]),
            str(result["seed"]),
            f"{result['parameters']:,}",
            percent(test["accuracy"]),
            f"{test['macro_f1']:.4f}",
            f"{test['n']:,}",
            reported_figure(result.get("reported") or {}),
        )
    return made
