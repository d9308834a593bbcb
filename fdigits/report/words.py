"""What a caption says of a run's data and protocol, derived from its config."""

import re

from fdigits.data import datasets
from fdigits.data.corpus import RECORDED
from fdigits.errors import UserError
from fdigits.report import terminal
from fdigits.report.artifacts import Run

PAPER_DATA = {  # what the figures of each paper, or of one of its tables, were measured on
    "R0": "written_spoken",
    "R1": "written_spoken",
    "R2 Methods": "mnist",
    "R2": "audio_mnist",
    "R3": "written_spoken",
    "R4 Problem 1": "fsdd",
    "R4 Table 3": "reduced_mnist",
    "R4 Table 5": "reduced_mnist",
    "R4 Table 6": "reduced_mnist",
    "R4 Table 10": "reduced_mnist",
    "R4 Table 13": "fsdd",
}
PAPER_RATIO = {  # of the parts that each paper, or one of its problems, drew
    **{"R0": "14:3:3", "R1": "8:2", "R2": "14:3:3", "R4": "8:1:1", "R4 Problem 1": "14:3:3"},
}


def p_value(p: float | None) -> str:
    if p is None:
        return "–"
    return "<0.0001" if p < 1e-4 else f"{p:.4f}"


def members(name: str) -> tuple[datasets.Dataset, ...]:
    """What a data set is made of: "mnist_fsdd" -> the records of mnist and fsdd; () if unknown."""
    try:
        return datasets.find(name)
    except UserError:
        return ()  # of a run whose code knew others


def data(run: Run) -> str:
    """The run's data set in words: "MNIST × FSDD"."""
    return datasets.title(run.config["data"]["name"])


def synthetic(run: Run) -> bool:
    """Whether a program spoke the run's recordings."""
    return any(member.name == "espeak" for member in members(run.config["data"]["name"]))


def policy(run: Run) -> str:
    """Of the split: the config's, or the data set's own where it names none."""
    name = run.config["data"]["name"]
    return run.config["data"]["split"] or (datasets.default_split(name) if members(name) else "")


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
    chosen, parts = policy(run), members(run.config["data"]["name"])
    speech = {part.name: part for part in parts if set(part.modalities) & set(RECORDED)}
    if chosen == "speaker":
        held_out = run.config["data"].get("speaker")
        return "no speaker stands in two splits" + (f" (held out: {held_out})" if held_out else "")
    if chosen == "official":
        if not speech:
            return "official split"
        if all(part.disjoint for part in speech.values()):
            voices = "voices" if "espeak" in speech else "speakers"
            return f"official split, {voices} of train and test are disjoint"
        if "fsdd" in speech:
            return "official split (takes 0–4 test), which shares speakers"
        return "official split"
    source = paper(run).get("source", "")
    theirs = PAPER_RATIO.get(source) or PAPER_RATIO.get(source.split(" ")[0])
    split = f"a random {ratio(run)} split"
    if chosen == "random":
        split += " that keeps identical items together"
    elif ratio(run) == theirs:
        split += " (the paper's)"
    if not speech:
        return split
    if chosen == "paper" and "written_spoken" in speech:
        return f"{split} shares speakers and repeated recordings between train and test"
    return f"{split} shares speakers between train and test"


def setting(run: Run) -> str:
    """Data, protocol and seed in one line, with all that a reader must know."""
    return f"{without_seed(run)}; seed {run.result['seed']}."


def without_seed(run: Run) -> str:
    """Data and protocol at length."""
    pairs = "pairs of " if len(members(run.config["data"]["name"])) > 1 else ""
    name = data(run)
    original = stands_in_for(run)
    name += ", smooth spectrograms drawn from its MFCC" if smooth(run) else ""
    name += f", standing in for {datasets.title(original)}" if original else ""
    line = f"Data: {pairs}{name}; {protocol(run)}"
    if test_validates(run):
        line += "; as in the paper, the test part also validates and the last weights are tested"
    limit = run.config["data"].get("limit")
    line += f"; at most {limit:,} examples a split" if limit else ""
    return f"{line}{training(run)}"


def training(run: Run) -> str:
    """How many pictures of each class were trained on, where a config says, else ""."""
    real = run.config["data"].get("per_class")
    chosen = run.config.get("augment") or {}
    augmented = chosen.get("generated") if chosen.get("strength") else 0
    drawn = run.config["data"].get("generated") or {}
    more = [f"{augmented:,} augmented ones"] if augmented else []
    more += [f"{count:,} that the stage {stage} drew" for stage, count in drawn.items() if count]
    if not real and not more:
        return ""
    held = f"at most {real:,}" if real else "all"
    *parts, last = [f"{held} training pictures of each class", *more]
    return f"; {' and '.join(filter(None, (', '.join(parts), last)))}"


def smooth(run: Run) -> bool:
    """Whether the run's spectrograms were drawn from MFCC, for want of recordings."""
    return "spectrogram" in run.modalities and synthetic(run)


def paper_figures(run: Run) -> dict[str, float]:
    """The figures that the run's paper gives: "accuracy", "macro_f1", or others."""
    return terminal.paper_figures(run.result.get("paper") or {})


def paper(run: Run) -> dict:
    """The figures of the run's paper and their "source"; {} where it gives none."""
    source = (run.result.get("paper") or {}).get("source") or ""
    return paper_figures(run) | {"source": source} if paper_figures(run) else {}


def stands_in_for(run: Run) -> str:
    """The data set of the paper's figure where the run's is another, else ""."""
    source = paper(run).get("source", "")
    original = PAPER_DATA.get(source) or PAPER_DATA.get(source.split(" ")[0], "")
    return "" if original == run.config["data"]["name"] else original


def notes(run: Run) -> list[str]:
    """What a reader must know before believing the run's figures."""
    found = []
    if synthetic(run):
        found.append(
            "The speech is synthetic (eSpeak NG): figures on it prove the program, not the science."
        )
    if smooth(run):
        found.append(
            "eSpeak NG's spectrograms are smooth ones, drawn from its MFCC, which hold neither "
            "harmonics nor short bursts: a map over them shows formants at best."
        )
    if test_validates(run):
        found.append(
            "†: as in the paper, the test part also serves as validation part. The last weights "
            "are tested, but whoever chose epochs or rates by the curves saw the test."
        )
    found += [
        f"{run.system}: {name} of {count:,} of {len(run.id_N):,} test items hold NaN or infinity, "
        "so figures made of them mean nothing."
        for name, count in run.unsound.items()
    ]
    original = stands_in_for(run)
    if original:
        found.append(
            f"The paper's figures ({paper(run)['source']}) are of {datasets.title(original)}: "
            "another test than this one."
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


def brief(*runs: Run) -> str:
    """Data, protocol and seed of some runs for a caption, runs that differ in seed in one line."""
    seeds: dict[str, list[str]] = {}
    for run in runs:
        alike = seeds.setdefault(f"{data(run)}, split {short_protocol(run)}", [])
        alike.append(str(run.result["seed"]))
    return " ".join(f"{alike}, {seed(found)}." for alike, found in seeds.items())


def seed(found: list[str]) -> str:
    """`seed 0`, or `seeds 0, 1, 2`, each once."""
    once = list(dict.fromkeys(found))
    return f"seed{'s' * (len(once) > 1)} {', '.join(once)}"
