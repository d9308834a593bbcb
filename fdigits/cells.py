"""What a study trains: the cells of a paper's table, their configs, folders and commands.

A study's config, `configs/studies/NAME.py`, has these fields:

- `name` (of its default workdir), `title`, `paper` ("R0 Table 7"), `notes` (what to know of it)
- `seeds`: each cell is trained once with each
- `metrics`: the figures that its table shows, of the test part
- `test_items`: how many test items the paper's figures stand on, 0 where it does not say
- `overrides`: of every cell's config, "epochs=1,data.limit=400"
- `only`: what to train of it, "" = all: cells, or a cell's seed, "hybrid_cnn,image_cnn/seed_0"
- `changed`: what to do with finished runs of other data, or of code that computes otherwise: "stop"
  (leave them, and say so), "keep" (take their figures), "again" (rename them and train again)
- `cells`: name -> fields of `cell`
- `claims`: name -> fields of `claim`
"""

import ast
import importlib.util
import itertools
import json
import shlex
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from ml_collections import ConfigDict

from fdigits.config import choose, stage_config
from fdigits.errors import UserError
from fdigits.files import default_workdir

ROOT = Path(__file__).parents[1]
SEEDS = (0, 1, 2, 3, 4)
STUDY = "study.json"  # in its workdir
NOWHERE = -1.0  # the place of a cell that is no point of a curve
SPLIT, SPEAKERS = "paper's split", "unseen speakers"  # groups of cells
KINDS = ("beats", "equals", "rises", "falls", "above")
CHANGED = ("stop", "keep", "again")
METRICS = ("accuracy", "macro_f1")  # that a config's `paper` may hold


def study(name: str, data: str, cells: Mapping[str, dict], **fields) -> ConfigDict:
    """The config of a study of one data set; `fields` are those named above."""
    config = ConfigDict(
        dict(
            name=f"{name}-{data}",
            title="",
            paper="",
            notes="",
            seeds=SEEDS,
            metrics=("accuracy",),
            test_items=0,
            overrides="",
            only="",
            changed="stop",
            cells={},
            claims={},
        )
    )
    placed = {name: one | {"place": place} for place, (name, one) in enumerate(cells.items())}
    config.update(fields | {"cells": placed})
    return config.lock()


def cell(
    title: str,
    config: str,
    overrides: str = "",
    *,
    of: str = "",
    group: str = SPLIT,
    x: float = NOWHERE,
    test_items: int = 0,
) -> dict:
    """One cell of a table.

    Args:
      config: file and argument, "configs/hybrid.py:mnist_fsdd"; its `paper` holds what is reported.
      overrides: of the config's fields, "data.split=speaker,epochs=8".
      of: "CELL/STAGE": trained as a stage of another cell's run, and not by itself; config and
        overrides are then that cell's.
      x: where it stands on its curve, from 0 up, if it is a point of one.
      test_items: as the study's, where they differ.
    """
    fields = dict(title=title, config=config, overrides=overrides, of=of, group=group)
    return fields | dict(x=float(x), test_items=test_items, place=0)


def stage_of(cells: Mapping[str, dict], title: str, of: str, **fields) -> dict:
    """A cell that is a stage of another's run, in that one's group."""
    whole = cells[of.partition("/")[0]]
    fields = dict(group=whole["group"]) | fields
    return cell(title, whole["config"], whole["overrides"], of=of, **fields)


def claim(
    text: str,
    kind: str,
    a: str | Collection[str],
    b: str | Collection[str] = (),
    value: float = 0.0,
) -> dict:
    """What a paper says of its cells, in `text`; `kind` is how it is tested:

    - "beats": each of `a` is better than each of `b`.
    - "equals": each of `a` is within `value` of each of `b`.
    - "rises", "falls": over the cells of `a`, in the order of their `x`.
    - "above": each of `a` is at least `value`.
    """
    a, b = ((one,) if isinstance(one, str) else tuple(one) for one in (a, b))
    return dict(text=text, kind=kind, a=a, b=b, value=float(value))


def with_speakers(
    cells: Mapping[str, dict], claims: Collection[dict], overrides: str = "data.split=speaker"
) -> dict[str, dict]:
    """Fields `cells` and `claims` of a study: all once more, with speakers never heard."""
    twins = {name: f"{name}-speaker" for name in cells}
    doubled, further = dict(cells), []
    for name, one in cells.items():
        of, _, stage = one["of"].partition("/")
        doubled[twins[name]] = one | dict(
            overrides=",".join(filter(None, (one["overrides"], overrides))),
            of=f"{twins[of]}/{stage}" if of else "",
            group=SPEAKERS,
        )
    for one in claims:
        names = {side: tuple(twins[name] for name in one[side]) for side in "ab"}
        further.append(one | names | dict(text=f"{one['text']} ({SPEAKERS})"))
    return dict(cells=doubled, claims=numbered([*claims, *further]))


def numbered(claims: Collection[dict]) -> dict[str, dict]:
    """Claims by the names that a config's fields need, which it sorts."""
    return {f"claim_{number:02}": one for number, one in enumerate(claims, 1)}


class Training(NamedTuple):
    """One run of a study."""

    cell: str
    seed: int
    config: ConfigDict
    folder: str  # within the study's workdir
    command: str  # that repeats it by itself


def in_order(config: ConfigDict) -> list[str]:
    """The cells as the study names them; a config's own order is the alphabet's."""
    return sorted(config.cells, key=lambda name: config.cells[name].place)


def check(config: ConfigDict) -> None:
    """Refuses a study whose cells, claims or fields are none.

    Raises:
      UserError: names the field.
    """
    choose(config.changed, dict.fromkeys(CHANGED), "changed")
    seeds = config.seeds
    if not seeds or len({*seeds}) < len(seeds) or not all(type(s) is int and s >= 0 for s in seeds):
        raise UserError(f"seeds is {seeds}: it must be different whole numbers of at least 0")
    for name, one in config.cells.items():
        if one.of:
            choose(one.of.partition("/")[0], config.cells, f"cells.{name}.of: cell")
    for name, one in config.claims.items():
        choose(one.kind, dict.fromkeys(KINDS), f"claims.{name}.kind")
        for other in (*one.a, *one.b):
            choose(other, config.cells, f"claims.{name}: cell")
        _check_sides(config, name)
    if not config.metrics:
        raise UserError("metrics is (): name what the table shows, accuracy say")
    _only(config)


def _check_sides(config: ConfigDict, name: str) -> None:
    """Refuses a claim that compares nothing, which would else hold, or that has no curve."""
    one = config.claims[name]
    if not one.a or (one.kind in ("beats", "equals") and not one.b):
        raise UserError(f"claims.{name}: {one.kind} needs cells in a, and b too if it compares")
    places = [config.cells[other].x for other in one.a]
    curve = len({*places}) == len(places) > 1 and NOWHERE not in places
    if one.kind in ("rises", "falls") and not curve:
        raise UserError(f"claims.{name}: {one.kind} needs two cells or more, each at its own x")


def cells(config: ConfigDict) -> list[Training]:
    """The runs of a study, all cells with the first seed first; of `only`, those that it names.

    Raises:
      UserError: a config that is none, or a field or stage that it does not have.
    """
    check(config)
    for name, one in config.cells.items():
        if one.of:
            shown(config, name, config.seeds[0])  # refuses a stage that is none
    only = _only(config)
    return [one for one in _all(config) if not only or only & {one.cell, one.folder}]


def _only(config: ConfigDict) -> set[str]:
    """The runs, "image_cnn" or "image_cnn/seed_0", whose cells `config.only` names."""
    found, seeds = set(), {f"seed_{seed}": f"/seed_{seed}" for seed in config.seeds}
    for wanted in filter(None, config.only.split(",")):
        name, _, seed = wanted.partition("/")
        one = choose(name, dict(config.cells.items()), "only: cell")
        whole = one.of.partition("/")[0] or name
        found.add(whole + (choose(seed, seeds, "only: seed") if seed else ""))
    return found


def _all(config: ConfigDict) -> Iterator[Training]:
    trained = [name for name in in_order(config) if not config.cells[name].of]
    for seed, name in itertools.product(config.seeds, trained):
        yield training(config, name, seed)


def training(config: ConfigDict, name: str, seed: int) -> Training:
    """The run whose figures a cell shows, or holds the stage that does."""
    name = config.cells[name].of.partition("/")[0] or name
    one, folder = config.cells[name], f"{name}/seed_{seed}"
    overrides = [*_split(config.overrides), *_split(one.overrides), f"seed={seed}"]
    flags = [f"--config={one.config}", *(f"--config.{field}" for field in overrides)]
    workdir = (default_workdir(config.name) / folder).as_posix()
    command = shlex.join(["python", "launch.py", *flags, f"--workdir={workdir}"])
    made = load(one.config)
    for field in overrides:
        override(made, field, f"cells.{name}")
    return Training(name, seed, made, folder, command)


def shown(config: ConfigDict, name: str, seed: int) -> ConfigDict:
    """The config of what a cell shows: of its run, or of the stage that it is."""
    stage = config.cells[name].of.partition("/")[2]
    found = training(config, name, seed).config
    if not stage:
        return found
    choose(stage, found.stages, f"cells.{name}.of: stage")
    return stage_config(found, stage)


def load(place: str) -> ConfigDict:
    """What `--config=PLACE` gives, PLACE a file and its argument; a file is looked for here, then
    beside fdigits.

    Raises:
      UserError: there is no such file.
    """
    file, _, argument = place.partition(":")
    found = next((path for path in (Path(file), ROOT / file) if path.is_file()), None)
    if not found:
        raise UserError(f"the config file {file} is not there: see configs/")
    spec = importlib.util.spec_from_file_location(found.stem, found)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.get_config(argument).copy_and_resolve_references()


def _split(overrides: str) -> list[str]:
    """`"a=1,b=(2,3)"` -> a=1, b=(2,3)."""
    parts: list[str] = []
    for part in filter(None, overrides.split(",")):
        if parts and parts[-1].count("(") > parts[-1].count(")"):
            parts[-1] += f",{part}"
        else:
            parts.append(part)
    return parts


def override(config: ConfigDict, field: str, where: str) -> None:
    """Sets a field as the flag `--config.FIELD` does, "data.split=speaker", say.

    Raises:
      UserError: there is no such field, or the value is not of its type.
    """
    name, _, text = field.partition("=")
    *groups, last = name.split(".")
    section = config
    for group in groups:
        section = choose(group, dict(section.items()), f"{where}: {field}: field")
        if not isinstance(section, ConfigDict):
            raise UserError(f"{where}: {field}: {group} is no group of fields")
    held = choose(last, dict(section.items()), f"{where}: {field}: field")
    try:
        value = text if isinstance(held, str) else ast.literal_eval(text)
        section[last] = value
    except (ValueError, SyntaxError, TypeError):
        kind = type(held).__name__
        raise UserError(f"{where}: {field}: it must be a value of type {kind}") from None


def reported(config: ConfigDict) -> dict[str, float]:
    """The figures that a run's config says that its paper reports."""
    return {name: float(config.paper[name]) for name in METRICS if config.paper[name]}


def plain(config: ConfigDict) -> dict:
    """A config as JSON holds it."""
    return json.loads(config.to_json())
