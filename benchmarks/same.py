"""Whether two trees of fdigits train to the same parameters, bit for bit.

python -m benchmarks.same TREE [OTHER_TREE] [--systems=image_cnn,...]

One short run of every system on the embedded data in each tree, by that tree's own code; prints a
digest of the parameters and statistics after it. With two trees, exits with 1 where they differ.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

FIELDS = {"epochs": 2, "batch_size": 20, "chunk": 3, "data.limit": 120, "data.feeder": "device"}


def digest(tree: dict) -> str:
    """Of the parameters and statistics of a checkpoint."""
    import jax
    import numpy as np

    total = hashlib.sha256()
    kept = {kind: tree[kind] or {} for kind in ("params", "batch_stats")}
    for path, leaf in jax.tree_util.tree_leaves_with_path(kept):
        total.update(jax.tree_util.keystr(path).encode())
        total.update(np.asarray(leaf).tobytes())
    return total.hexdigest()[:16]


def digests(systems: dict) -> None:
    """Run inside a tree: prints a JSON line for each of `systems`."""
    import importlib.util

    import orbax.checkpoint as ocp

    from fdigits import report
    from fdigits.run import run

    report.write = lambda runs, out: out  # figures take longer than the training
    for system, (name, arg, *stage) in systems.items():
        spec = importlib.util.spec_from_file_location(name, f"configs/{name}.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        config = module.get_config(arg)
        config.update_from_flattened_dict(FIELDS)
        with tempfile.TemporaryDirectory() as folder:
            workdir = Path(folder)
            run(config, workdir)
            workdir = workdir.joinpath(*stage)
            result = json.loads((workdir / "result.json").read_text())
            checkpoint = workdir.absolute() / "checkpoints" / str(result["epochs"]) / "state"
            tree = ocp.StandardCheckpointer().restore(checkpoint)
        loss = result["metrics"]["test"]["loss"]
        print("DIGEST " + json.dumps([system, digest(tree), loss]), flush=True)


def of_tree(tree: Path, systems: dict) -> dict[str, tuple[str, float]]:
    """System -> the digest, and the test loss, that the code of `tree` comes to."""
    found = {}
    command = [sys.executable, "-P", __file__, "--inside", json.dumps(systems)]
    own = os.environ | {"PYTHONPATH": str(tree.absolute())}
    process = subprocess.Popen(command, cwd=tree, env=own, stdout=subprocess.PIPE, text=True)
    for line in process.stdout:
        if line.startswith("DIGEST "):
            system, digest, loss = json.loads(line.removeprefix("DIGEST "))
            found[system] = digest, loss
            print(f"{tree} {system:24} {digest} {loss:.6f}", file=sys.stderr)
    if process.wait():
        sys.exit(f"the run in {tree} failed")
    return found


def main() -> int:
    from benchmarks.systems import SYSTEMS

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("trees", nargs="+", type=Path, metavar="TREE")
    parser.add_argument("--systems", default=",".join(SYSTEMS))
    args = parser.parse_args()
    systems = {name: SYSTEMS[name] for name in args.systems.split(",")}
    found = [of_tree(tree, systems) for tree in args.trees]
    print("| system | " + " | ".join(map(str, args.trees)) + " | same |")
    print("|---|" + "---|" * len(found) + "---|")
    for system in systems:
        each = [one[system] for one in found]
        same = len(set(each)) == 1
        print(f"| {system} | {' | '.join(digest for digest, _ in each)} | {same} |")
    return int(any(one != found[0] for one in found))


if __name__ == "__main__":
    inside = sys.argv[1:2] == ["--inside"]  # started by `of_tree`, whose tree may lack this file
    sys.exit(digests(json.loads(sys.argv[2])) if inside else main())
