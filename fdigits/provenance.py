"""Where a figure comes from: hardware, versions, commit, what of the code touches it."""

import ast
import functools
import hashlib
import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path

import jax

PACKAGES = ("fdigits", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")

# Rooms whose code can change a training's numbers. What `config.py` and `run.py` make of them shows
# in a run's config.json. Of `data/`, what only fetches, audits or exports is left out.
TOUCHES = (
    *("augment", "data", "devices", "evaluate", "examples", "metrics", "models", "noise", "optim"),
    *("quality", "tasks", "together", "train", "trained", "voices"),
)
UNTOUCHED = ("data/audit", "data/download", "data/export", "data/tfds")


def hardware() -> str:
    """Device, and the processor with its usable cores."""
    device = jax.devices()[0]
    name = "CPU" if device.platform == "cpu" else f"{len(jax.devices())} x {device.device_kind}"
    processor = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = cpuinfo.read_text().splitlines()
        models = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
        processor = models[0] if models else processor
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{name}; {processor}, {cores} cores"


def versions() -> dict[str, str]:
    """Version of Python and of each package that computes a figure."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found


@functools.cache
def code() -> str:
    """sha256 of what of the code can change a training's numbers.

    Comments, docstrings, line breaks and the version of Python change nothing.
    """
    here, total = Path(__file__).parent, hashlib.sha256()
    for file in sorted(here.rglob("*.py")):
        place = file.relative_to(here).with_suffix("").as_posix()
        if place.split("/")[0] in TOUCHES and not place.startswith(UNTOUCHED):
            total.update(f"\n{place} {_meaning(ast.parse(file.read_text('utf-8')))}".encode())
    return total.hexdigest()


def _meaning(node: object) -> str:
    """A syntax tree as text, without docstrings and what it does not hold."""
    if isinstance(node, list):
        kept = [one for one in node if not _is_text(one)]
        return f"[{','.join(map(_meaning, kept))}]"
    if not isinstance(node, ast.AST):
        return repr(node)
    held = [(name, getattr(node, name, None)) for name in sorted(node._fields)]
    told = [f"{name}={_meaning(x)}" for name, x in held if x not in (None, []) and name != "ctx"]
    return f"{type(node).__name__}({','.join(told)})"


def _is_text(node: object) -> bool:
    """Whether a statement is a docstring."""
    value = getattr(node, "value", None) if isinstance(node, ast.Expr) else None
    return isinstance(value, ast.Constant) and isinstance(value.value, str)


@functools.cache
def commit() -> str:
    """Git commit of the code that runs, with `-dirty` if it was changed; `unknown` outside git.

    As it was when first asked: the tree may move on while this process runs.
    """

    def git(*words: str) -> str:
        here = Path(__file__).parent
        return subprocess.run(
            ["git", *words], cwd=here, capture_output=True, text=True, check=True
        ).stdout.strip()

    try:
        dirty = git("status", "--porcelain", "--untracked-files=no")
        return git("rev-parse", "HEAD") + ("-dirty" if dirty else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
