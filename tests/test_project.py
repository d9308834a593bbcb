"""What a fresh machine and its reader rely on: commands of README and docs, constraints, style."""

import argparse
import ast
import dataclasses
import functools
import importlib.metadata
import itertools
import operator
import re
import shlex
import subprocess
import sys
import tomllib
import types
from pathlib import Path
from unittest import mock

import jax
import numpy as np
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import fdigits
from fdigits.data import datasets
from fdigits.models import classifiers, encoders

ROOT = Path(__file__).parents[1]
PINS = {
    canonicalize_name(name): version
    for name, version in re.findall(
        r"^([\w.-]+)==(\S+)$", (ROOT / "constraints.txt").read_text(), re.M
    )
}


def test_ci_runs_the_test_command_of_the_readme():
    commands = re.findall(r"```bash\n(.+?)\n```", (ROOT / "README.md").read_text())
    assert "launch.py --config=configs/hybrid.py" in commands[0]
    assert commands[1].endswith("pytest")
    assert commands[1] in (ROOT / ".ci" / "run").read_text()


def test_every_dependency_is_constrained_within_its_range():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    for line in itertools.chain(project["dependencies"], *extras.values()):
        requirement = Requirement(line)
        if requirement.name != "fdigits":
            assert PINS[canonicalize_name(requirement.name)] in requirement.specifier, line


def test_what_is_installed_is_what_the_constraints_say():
    wrong = {}
    for distribution in importlib.metadata.distributions():
        name = canonicalize_name(distribution.name)
        version = distribution.version.partition("+")[0]  # without "+cpu"
        if name in PINS and version != PINS[name]:
            wrong[name] = version
    assert not wrong, f"not as constrained: {wrong}; install with -c constraints.txt"


def test_the_code_is_clean():
    for command in (["check"], ["format", "--check"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *command, "."], cwd=ROOT, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout


# What each room may import: rooms of its own floor and of those below (docs/architecture.md).
FLOORS = [
    {
        "arguments",
        "cells",
        "config",
        "console",
        "devices",
        "errors",
        "files",
        "noise",
        "provenance",
    },
    {"data"},
    {"models", "optim", "metrics", "quality", "augment", "voices", "corruptions"},
    {"train", "checkpoint", "together"},
    {"tasks", "report"},
    {"trained", "examples", "evaluate", "explain", "embed", "recogniser", "predict", "pretrained"},
    {"workdir"},
    {"run", "search", "export", "demo", "robustness", "measured"},
    {"study"},
]


def imports(file: Path) -> set[str]:
    """The rooms of fdigits that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        found |= {name.split(".")[1] for name in names if name.startswith("fdigits.")}
    return found


def test_rooms_import_only_downward():
    floor = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
    wrong = []
    for file in (ROOT / "fdigits").rglob("*.py"):
        place = file.relative_to(ROOT / "fdigits").with_suffix("").parts
        if place[-1] == "__main__" or place == ("__init__",):  # doors
            continue
        wrong += [f"{file} <- {room}" for room in imports(file) if floor[room] > floor[place[0]]]
    assert not wrong


PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "fdigits/pretrained/README.md")),
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "results").glob("*/README.md")),
]
NEW = {"configs/dense.py", "fdigits/data/corpora/my_pictures.py"}  # which the tutorial makes


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.+?)\n```", page.read_text(), re.M | re.S)


def commands(page: Path) -> list[str]:
    """Those in blocks, a line each, and those within sentences, without comments and "[...]", but
    with each "[,OPTION]" in turn."""
    prose = re.sub(r"^```.+?^```", "", page.read_text(), flags=re.M | re.S)
    found = re.findall(r"`((?:python|pip) [^`]+)`", prose)
    found += [line for block in blocks(page, "bash") for line in block.splitlines()]
    single = [part.strip() for line in found for part in line.split("&&")]
    bare = [re.sub(r"\[(?:RUN|--)[^]]*\]|#.*", "", " ".join(line.split())) for line in single]
    each = [variant for line in bare for variant in with_options(line)]
    return [line.strip() for line in each if line.strip() and "…" not in line]


def with_options(line: str) -> list[str]:
    """Without its "[,OPTION]", and with each alone."""
    options = re.findall(r"\[(,[^]]*)\]", line)
    shown = ["", *options]
    return [re.sub(r"\[(,[^]]*)\]", lambda m, one=one: one * (m[1] == one), line) for one in shown]


COMMANDS = sorted({line for page in PAGES for line in commands(page)})
TUTORIAL = blocks(ROOT / "docs" / "tutorial.md", "python")


class Parsed(BaseException):
    """A command's arguments were accepted."""


def field(config, name: str):
    """That of "data.split", say."""
    return functools.reduce(operator.getitem, name.split("."), config)


def has(config, name: str) -> bool:
    try:
        return field(config, name) is not None
    except (KeyError, AttributeError):
        return False


def config_of(place: str):
    """What `--config=PLACE` gives."""
    file, _, arg = place.partition(":")
    text = TUTORIAL[2] if file == "configs/dense.py" else (ROOT / file).read_text()
    space = {"__name__": "config"}
    exec(compile(text, file, "exec"), space)
    return space["get_config"](arg)


@pytest.fixture
def tutorial(tmp_path, monkeypatch) -> types.SimpleNamespace:
    """The tutorial's steps done, and a home with a folder of digits."""
    for name in ("7.jpg", "7.wav"):
        (tmp_path / "my_digits/7").mkdir(parents=True, exist_ok=True)
        (tmp_path / "my_digits/7" / name).touch()
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    module, named, _, reader, record = TUTORIAL
    monkeypatch.setitem(classifiers.ENCODERS["image"], "dense", None)
    space = vars(encoders) | {"ENCODERS": classifiers.ENCODERS}
    exec(module, space)
    exec(named, space)
    made = types.ModuleType("my_pictures")
    exec(reader, vars(made))
    found = eval(record, vars(datasets))
    monkeypatch.setitem(datasets.DATASETS, found.name, dataclasses.replace(found, source=made))
    return types.SimpleNamespace(reader=made)


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_of_readme_and_docs_are_accepted(command, tutorial, monkeypatch):
    """Each is read as far as its arguments; what they do is tested elsewhere."""
    words = [word for word in shlex.split(command) if not word.startswith(("<", "["))]
    while re.match(
        r"srun$|mpirun$|-\w$|\d+$|--ntasks|[A-Z_]+=", words[0]
    ):  # who starts it, and how
        words.pop(0)
    first, *rest = words
    if first == "pip":
        project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
        for word in (word for word in rest if not word.startswith("-")):
            extra = re.fullmatch(r"\.\[(\w+)\]", word)
            known = {"install", ".", "constraints.txt"} | PINS.keys()
            assert word in known or (extra and extra[1] in project["optional-dependencies"]), word
    elif rest[:1] == ["launch.py"]:
        (place, *overrides) = rest[1:]
        config = config_of(place.removeprefix("--config="))
        flags = re.findall(r'DEFINE_\w+\(\s*"(\w+)"', (ROOT / "launch.py").read_text())
        for name, _ in (word.removeprefix("--").split("=") for word in overrides):
            assert name in flags or field(config, name.removeprefix("config.")) is not None
    elif rest[:2] == ["-m", "tests.models.torch_twins"]:  # needs PyTorch
        assert (ROOT / "tests/models/torch_twins.py").is_file()
    elif rest[:2] != ["-m", "venv"] and first.startswith("python"):
        named = rest[1] if rest[0] == "-m" else rest[0].removesuffix(".py").replace("/", ".")
        parse(named, rest[2 if rest[0] == "-m" else 1 :], monkeypatch)
    else:
        assert first in ("python3", "pytest", ".")


def parse(named: str, arguments: list[str], monkeypatch) -> None:
    """Lets a command read its arguments, and no more."""
    real = argparse.ArgumentParser.parse_args

    def stop(parser, given=None, namespace=None):
        real(parser, given, namespace)
        raise Parsed

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", stop)
    monkeypatch.setattr(sys, "argv", [named, *arguments])
    module = importlib.import_module(named)
    if not hasattr(module, "main"):
        module = importlib.import_module(f"{named}.__main__")
    with pytest.raises(Parsed):
        module.main()


def test_the_table_of_systems_names_configs_that_load():
    places = re.findall(r"`(configs/\w+\.py[^`]*)`", (ROOT / "README.md").read_text())
    assert len(places) > 15
    for place in places:
        options = re.findall(r"\[,([\w=]+)\]", place.replace("FUSION", "gated"))
        bare = re.sub(r"\[.*?\]", "", place).replace("DATA", "").rstrip(",")
        for option in ("", *options):
            if option and bare.endswith(".py:"):
                config_of(bare + option)
            else:
                config_of(bare.rstrip(":") + (f",{option}" if option else ""))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_flags_that_a_page_names_are_fields(page):
    """Those in sentences too; of a run's, a study's or a search's config."""
    files = ("strangers", "studies/r0_table7", "searches/tune")
    known = [config_of(f"configs/{file}.py") for file in files]
    for name in re.findall(r"--config\.([\w.]*\w)", page.read_text()):
        assert any(has(config, name) for config in known), name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_files_that_a_page_names_are_there(page):
    text = page.read_text()
    named = re.findall(r"\b(?:docs|configs|fdigits|tests|benchmarks|results)/[\w./-]*\w", text)
    links = [link for link in re.findall(r"\]\(([^)]+)\)", text) if "://" not in link]
    wrong = [name for name in {*named} - NEW if not (ROOT / name).exists()]
    wrong += [link for link in links if not (page.parent / link).exists()]
    assert not wrong


def test_the_readme_stays_short_and_its_python_runs(monkeypatch):
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150
    recogniser = mock.create_autospec(fdigits.Recogniser)
    monkeypatch.setattr(fdigits, "Recogniser", recogniser)
    (block,) = blocks(ROOT / "README.md", "python")
    exec(block, {})
    recogniser.return_value.assert_called_once_with(picture="7.jpg", recording="7.wav")


def test_the_tutorials_model_reads_pictures(tutorial):
    config = config_of("configs/dense.py")
    model = classifiers.make(config.model)
    batch = {"image": np.zeros((2, 28, 28), np.float32)}
    outputs = jax.eval_shape(lambda: model.init_with_output(jax.random.key(0), batch, False))[0]
    assert outputs["logits"].shape == (2, 10)


def test_the_tutorials_data_set_is_read_and_paired(tutorial, tmp_path):
    (tmp_path / "my_pictures").mkdir()
    arrays = dict(image=np.zeros((3, 28, 28), np.uint8), label=np.array([0, 1, 9]))
    np.savez(tmp_path / "my_pictures/digits.npz", **arrays)
    corpus = tutorial.reader.read(tutorial.reader.find(tmp_path))
    assert corpus.label.tolist() == [0, 1, 9] and set(corpus.part) == {"train"}
    names = [one.name for one in datasets.find("my_pictures_fsdd")]
    assert names == ["my_pictures", "fsdd"]


def test_the_citation_names_the_five_papers():
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert {"cff-version", "message", "title", "authors"} <= cited.keys()
    papers = cited["references"]
    assert [paper["notes"][:2] for paper in papers] == ["R0", "R1", "R2", "R3", "R4"]
    assert all({"type", "title", "authors"} <= paper.keys() for paper in papers)
