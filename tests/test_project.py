"""What a fresh machine relies on: the two commands of README, constraints, style."""

import importlib.metadata
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
    for line in project["dependencies"] + extras["synth"] + extras["test"]:
        requirement = Requirement(line)
        if requirement.name != "fdigits":
            assert PINS[canonicalize_name(requirement.name)] in requirement.specifier, line


def test_what_is_installed_is_what_the_constraints_say():
    wrong = {}
    for distribution in importlib.metadata.distributions():
        name = canonicalize_name(distribution.name)
        if name in PINS and distribution.version != PINS[name]:
            wrong[name] = distribution.version
    assert not wrong, f"not as constrained: {wrong}; install with -c constraints.txt"


def test_the_code_is_clean():
    for command in (["check"], ["format", "--check"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *command, "."], cwd=ROOT, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout
