"""What a caption says of a run's data and protocol, derived from its config."""

import re

from fdigits.report import terminal
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
REPORT_DATA = {  # what the figures of each report, or of one of its tables, were measured on
    "R0": "written_spoken",
    "R1": "written_spoken",
    "R3": "written_spoken",
    "R4 Table 3": "reduced_mnist",
    "R4 Table 10": "reduced_mnist",
    "R4 Table 13": "fsdd",
}
REPORT_RATIO = {"R0": "14:3:3", "R1": "8:2", "R4": "8:1:1"}  # of the parts each report drew


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
    """The split policy, with the held-out speaker if there is one; † where the test validates."""
    return terminal.short_protocol(run.result["protocol"])


def test_validates(run: Run) -> bool:
    """Whether the test part was also the validation part, and the last weights were tested."""
    return terminal.TEST_VALIDATES in run.result["protocol"]


def ratio(run: Run) -> str:
    """Of train, validation and test, "14:3:3", or of train and test where the test validates."""
    train, validation, test = run.config["data"].get("ratio") or (14, 3, 3)
    return f"{train + validation}:{test}" if test_validates(run) else f"{train}:{validation}:{test}"


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
    theirs = REPORT_RATIO.get(reported(run).get("source", "").split(" ")[0])
    split = f"a random {ratio(run)} split"
    if policy == "random":
        split += " that keeps identical items together"
    elif ratio(run) == theirs:
        split += " (the report's)"
    if not speech:
        return split
    if policy == "report" and "written_spoken" in speech:
        return f"{split} shares speakers and repeated recordings between train and test"
    return f"{split} shares speakers between train and test"


def setting(run: Run) -> str:
    """Data, protocol and seed in one line for a caption."""
    pairs = "pairs are " if len(corpora(run.config["data"]["name"])) > 1 else ""
    name = data(run.config["data"]["name"])
    original = stands_in_for(run)
    name += ", smooth spectrograms drawn from its MFCC" if smooth(run) else ""
    name += f", standing in for {data(original)}" if original else ""
    line = f"Data: {pairs}{name}; {protocol(run)}"
    if test_validates(run):
        line += "; as in the report, the test part also validates and the last weights are tested"
    limit = run.config["data"].get("limit")
    line += f"; at most {limit:,} examples a split" if limit else ""
    return f"{line}{training(run)}; seed {run.result['seed']}."


def training(run: Run) -> str:
    """How many pictures of each class were trained on, where a config says, else ""."""
    real = run.config["data"].get("per_class")
    chosen = run.config.get("augment") or {}
    generated = chosen.get("generated") if chosen.get("strength") else 0
    if not real and not generated:
        return ""
    held = f"at most {real:,}" if real else "all"
    made = f" and {generated:,} augmented ones" if generated else ""
    return f"; {held} training pictures of each class{made}"


def smooth(run: Run) -> bool:
    """Whether the run's spectrograms were drawn from MFCC, for want of recordings."""
    return "spectrogram" in run.modalities and "espeak" in corpora(run.config["data"]["name"])


def reported(run: Run) -> dict:
    """What is reported of "accuracy" and "macro_f1", and its "source"; {} where neither is."""
    found = {key: value for key, value in (run.result.get("reported") or {}).items() if value}
    return found if "accuracy" in found or "macro_f1" in found else {}


def stands_in_for(run: Run) -> str:
    """The data set of the reported figure where the run's is another, else ""."""
    source = reported(run).get("source", "")
    original = REPORT_DATA.get(source) or REPORT_DATA.get(source.split(" ")[0], "")
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
    if smooth(run):
        found.append(
            "eSpeak NG's spectrograms are smooth ones, drawn from its MFCC, which hold neither "
            "harmonics nor short bursts: a map over them shows formants at best."
        )
    if test_validates(run):
        found.append(
            "As in the report, the test part also serves as validation part (runs marked †); the "
            "last weights are tested, but whoever chose epochs or rates by the curves saw the test."
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
