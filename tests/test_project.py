"""What a fresh machine relies on: the two commands of README, constraints, style."""

import ast
import importlib.metadata
import itertools
import re
import subprocess
import sys
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

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
    {"config", "console", "errors", "files", "noise", "provenance"},
    {"data"},
    {"models", "optim", "metrics", "quality", "augment", "voices"},
    {"train", "checkpoint"},
    {"tasks", "report"},
    {"trained", "examples", "evaluate", "explain", "embed", "recogniser", "predict", "pretrained"},
    {"run", "export", "demo"},
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
