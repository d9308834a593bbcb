"""How long a training takes to its first steps, and what `import fdigits.predict` loads.

python -m benchmarks.startup [--config=configs/hybrid.py] [--times=5] [--json=FILE]

Each time is a fresh process, as a person starts it. Cold: a home folder that holds no compiled
functions and no prepared data. Warm: the same folder again. A phase's seconds are those of the
clock; its processor seconds tell what it would take where nothing else runs. The first chunk
holds many steps, of which the first alone counts into "to the first step".
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console

from benchmarks import sitting
from benchmarks.first_step import HEAVY
from benchmarks.sitting import positive, spread
from fdigits.errors import UserError, exit_cleanly
from fdigits.files import path_of

ROOT = Path(__file__).parents[1]
GOALS = {"cold": 6.0, "warm": 3.0}  # seconds to the first step


def fresh(command: list[str], home: Path) -> str:
    """The last line that a fresh Python prints, whose home folder is `home`.

    Raises:
      UserError: it failed; its last line says why.
    """
    environment = os.environ | {"HOME": str(home), "PYTHONPATH": str(ROOT)}
    environment.pop("JAX_COMPILATION_CACHE_DIR", None)
    done = subprocess.run(
        [sys.executable, *command], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    if done.returncode:
        raise UserError(f"{' '.join(command)}: {(done.stderr.strip() or '?').splitlines()[-1]}")
    return done.stdout.strip().splitlines()[-1]


def first_step(config: str, home: Path) -> dict:
    """Phases of one start: `{"phases": {name: {"seconds", "cpu"}}, "steps", "loaded"}`."""
    with tempfile.TemporaryDirectory() as workdir:
        flags = [f"--config={config}", f"--workdir={workdir}/run"]
        return json.loads(fresh(["-m", "benchmarks.first_step", str(time.time()), *flags], home))


def starts(config: str, times: int) -> dict[str, dict]:
    """Cold and warm starts by turns: a list over times of each phase's seconds."""
    found = {name: [] for name in GOALS}
    with sitting.watched() as told:
        for _ in range(times):
            with tempfile.TemporaryDirectory() as home:
                for name in GOALS:
                    found[name].append(first_step(config, Path(home)))
    return {name: summed(each) | told for name, each in found.items()}


def summed(each: list[dict]) -> dict:
    """Several starts as one figure."""
    first = each[0]
    lists = {
        kind: {phase: [start["phases"][phase][kind] for start in each] for phase in first["phases"]}
        for kind in ("seconds", "cpu")
    }
    return lists | {
        "to_first_step": _to_first_step(lists["seconds"], first["steps"]),
        "cpu_to_first_step": _to_first_step(lists["cpu"], first["steps"]),
        "steps_of_first_chunk": first["steps"],
        "loaded": first["loaded"],
    }


def _to_first_step(phases: dict[str, list[float]], steps: int) -> list[float]:
    """The sum of the phases of each start; of the first chunk's steps one counts."""
    totals = map(sum, zip(*phases.values(), strict=True))
    late = (chunk * (steps - 1) / steps for chunk in phases["first chunk"])
    return [round(total - more, 3) for total, more in zip(totals, late, strict=True)]


def importing(module: str, times: int) -> dict:
    """Seconds of `import module` in a fresh process, and the heavy modules that it loads."""
    code = (
        f"import json, sys, time; began = time.perf_counter(); import {module}; "
        "took = time.perf_counter() - began, time.process_time(); "
        f"print(json.dumps([*took, sorted(set(sys.modules) & {set(HEAVY)!r})]))"
    )
    with sitting.watched() as told:
        each = [json.loads(fresh(["-c", code], Path.home())) for _ in range(times)]
    seconds, cpu, held = zip(*each, strict=True)
    return {"seconds": list(seconds), "cpu": list(cpu), "loaded": held[0]} | told


def rows(found: dict[str, dict]) -> list[tuple]:
    """Those of the table: each phase of each start, and the imports."""
    lines = []
    for name, figure in found.items():
        busy = figure[sitting.BUSY]
        if "to_first_step" not in figure:
            lines.append((name, spread(figure["seconds"], 2), spread(figure["cpu"], 2), "", busy))
            continue
        for phase, seconds in figure["seconds"].items():
            cpu = figure["cpu"][phase]
            lines.append((f"{name}: {phase}", spread(seconds, 2), spread(cpu, 2), "", busy))
        totals = (spread(figure[kind], 2) for kind in ("to_first_step", "cpu_to_first_step"))
        lines.append((f"{name}: to the first step", *totals, f"{GOALS[name]:g}", busy))
    return lines


@exit_cleanly
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--config", default="configs/hybrid.py", help="what is started")
    parser.add_argument("--times", type=positive(int), default=5)
    parser.add_argument("--json", type=path_of, help="file that the figures join")
    args = parser.parse_args()
    with Console(stderr=True).status(f"{args.times} starts, cold and warm ..."):
        found = starts(args.config, args.times)
        found["import fdigits.predict"] = importing("fdigits.predict", args.times)
    columns = ("start", "seconds: median (min–max)", "processor seconds", "goal", "cores busy")
    Console().print(sitting.table("start-up", columns, rows(found)))
    for name, figure in found.items():
        Console().print(f"{name} loads {', '.join(figure['loaded']) or 'nothing heavy'}")
    if args.json:
        sitting.join(args.json, found, sitting.here(config=args.config))


if __name__ == "__main__":
    main()
