"""What a caption says of a run's data and protocol, derived from its config."""

import re

from fdigits.report.artifacts import Run

IMAGES = {
    "reduced_mnist": "reduced MNIST",
    "mnist": "MNIST",
    "digits": "scikit-learn digits",
}
AUDIO = {
    "audio_mnist": "AudioMNIST",
    "gsc_digits": "Speech Commands digits",
    "fsdd": "FSDD",
    "espeak": "eSpeak NG (synthetic speech)",
}
WHOLE = {"written_spoken": "Written and Spoken Digits"}
DISJOINT_OFFICIAL = ("gsc_digits", "audio_mnist", "espeak", "written_spoken")
REPORT_DATA = {"R0": "written_spoken"}  # what the figures of each report were measured on


def corpora(name: str) -> list[str]:
    """The corpora of a data set: "mnist_fsdd" -> ["mnist", "fsdd"], "bundled" -> digits, espeak."""
    if name == "bundled":
        return ["digits", "espeak"]
    for image in IMAGES:
        if name.startswith(f"{image}_") and name.removeprefix(f"{image}_") in AUDIO:
            return [image, name.removeprefix(f"{image}_")]
    return [name]


def data(name: str) -> str:
    """A data set in words: "mnist_fsdd" -> "MNIST × FSDD"."""
    known = IMAGES | AUDIO | WHOLE
    return " × ".join(known.get(corpus, corpus) for corpus in corpora(name))


def short_protocol(run: Run) -> str:
    """The split policy, with the held-out speaker where there is one."""
    return run.result["protocol"]


def protocol(run: Run) -> str:
    """The split in words, and what it shares between train and test."""
    policy = run.config["data"]["split"]
    parts = corpora(run.config["data"]["name"])
    speech = [part for part in parts if part in AUDIO or part in WHOLE]
    if policy == "speaker":
        held_out = run.config["data"].get("speaker")
        return "no speaker stands in two splits" + (f" (held out: {held_out})" if held_out else "")
    if policy == "official":
        if not speech:
            return "official split"
        if all(part in DISJOINT_OFFICIAL for part in speech):
            voices = "voices" if "espeak" in speech else "speakers"
            return f"official split, {voices} of train and test are disjoint"
        if "fsdd" in speech:
            return "official split (takes 0–4 test), which shares speakers"
        return "official split"
    ratio = "a random 14:3:3 split (the report's)" if policy == "report" else f"a {policy} split"
    if not speech:
        return ratio
    if policy == "report" and "written_spoken" in speech:
        return f"{ratio} shares speakers and repeated recordings between train and test"
    return f"{ratio} shares speakers between train and test"


def setting(run: Run) -> str:
    """Data, protocol and seed in one line for a caption."""
    pairs = "pairs are " if len(corpora(run.config["data"]["name"])) > 1 else ""
    name = data(run.config["data"]["name"])
    original = stands_in_for(run)
    name += f", standing in for {data(original)}" if original else ""
    line = f"Data: {pairs}{name}; {protocol(run)}; seed {run.result['seed']}"
    limit = run.config["data"].get("limit")
    return line + (f"; at most {limit:,} examples a split." if limit else ".")


def reported(run: Run) -> dict:
    """The reported figure ({"accuracy", "macro_f1", "source"}), {} where a config names none."""
    found = run.result.get("reported") or {}
    return found if found.get("accuracy") else {}


def stands_in_for(run: Run) -> str:
    """The data set of the reported figure where the run's is another, else ""."""
    report = reported(run).get("source", "").split(" ")[0]
    original = REPORT_DATA.get(report, "")
    return "" if original == run.config["data"]["name"] else original


def notes(run: Run) -> list[str]:
    """What a reader must know before believing the run's figures."""
    name = run.config["data"]["name"]
    found = []
    if "espeak" in corpora(name):
        found.append(
            "The speech is synthetic, spoken by eSpeak NG: figures on it prove the program, not "
            "the science."
        )
    original = stands_in_for(run)
    if original:
        found.append(
            f"{data(name)} stands in for {data(original)}, the data of the reported figures "
            f"({reported(run)['source']}): reported and measured are not the same test."
        )
    return found


def labels(runs: list[Run]) -> list[str]:
    """A name for each run, as short as tells them apart."""
    parts = [[run.system] for run in runs]
    for describe in (
        lambda run: run.config["data"]["name"],
        short_protocol,
        lambda run: f"seed {run.result['seed']}",
    ):
        values = [describe(run) for run in runs]
        for part, run, value in zip(parts, runs, values, strict=True):
            twins = {
                other for other, twin in zip(values, runs, strict=True) if twin.system == run.system
            }
            if len(twins) > 1:
                part.append(value)
    named = [part[0] + (f" ({', '.join(part[1:])})" if len(part) > 1 else "") for part in parts]
    return [
        f"{name} #{named[: at + 1].count(name)}" if named.count(name) > 1 else name
        for at, name in enumerate(named)
    ]


def slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")


def settings(runs: dict[str, Run]) -> str:
    """The settings of several runs for one caption, each different one once."""
    return " ".join(dict.fromkeys(setting(run) for run in runs.values()))
