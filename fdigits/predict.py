"""The digit in a person's own picture, recording, or both; or a run tested on another data set.

python -m fdigits.predict --picture seven.jpg --recording seven.wav
python -m fdigits.predict --picture photos/ more/*.png --json
python -m fdigits.predict RUN --pairs pairs.csv
python -m fdigits.predict RUN --data gsc_digits --data-dir data [--part test]
python -m fdigits.predict --data folder:my_digits    # my_digits/7/any.jpg, my_digits/7/any.wav

Without RUN, the workdir of a finished run, the weights that come with fdigits are used.
"""

import argparse
import csv
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import jax
import numpy as np

from fdigits.arguments import Parser
from fdigits.config import DATA, XLA_CACHE
from fdigits.console import console
from fdigits.data import datasets
from fdigits.data.corpora import folder
from fdigits.data.corpus import CLASSES, PARTS, SIDE
from fdigits.errors import UserError, exit_cleanly
from fdigits.files import atomic, path_of
from fdigits.recogniser import ALONE, Recogniser, Recognition

Item = dict[str, Path]  # "picture" and "recording", as given
KINDS = ("picture", "recording")
IN_A_ROW = 10  # pictures that are shown, kinds of confusion that are told
UNREADABLE = 1  # exit status when a file could not be read, and others were answered


def items(picture: Sequence[Path], recording: Sequence[Path], pairs: Path | None) -> list[Item]:
    """What is to be recognised, in order; a folder stands for the files of that kind in it.

    Raises:
      UserError: a folder without such files, a CSV without pairs, or pictures and recordings of
        which nobody says what belongs together.
    """
    if pairs:
        return _pairs(pairs)
    files = {"picture": _files(picture, "picture"), "recording": _files(recording, "recording")}
    files = {kind: found for kind, found in files.items() if found}
    counts = {kind: len(found) for kind, found in files.items()}
    if len(set(counts.values())) > 1:
        told = " and ".join(f"{count} {kind}s" for kind, count in counts.items())
        raise UserError(f"{told}: say which belong together in a CSV, --pairs FILE")
    together = [dict(zip(files, pair, strict=True)) for pair in zip(*files.values(), strict=True)]
    if any(path.is_dir() for path in (*picture, *recording)):
        _check_names(together)
    return together


def _check_names(together: Sequence[Item]) -> None:
    """Refuses pairs out of folders whose files are not called alike."""
    for one in together:
        if len({path.stem for path in one.values()}) > 1:
            told = " and ".join(str(path) for path in one.values())
            raise UserError(
                f"{told} are not called alike: say which belong together in a CSV, --pairs FILE"
            )


def _files(given: Sequence[Path], kind: str) -> list[Path]:
    found = []
    for path in given:
        try:
            inside = sorted(folder.inside(path, kind)) if path.is_dir() else [path]
        except OSError as error:
            raise UserError(f"--{kind} cannot be read ({error})") from None
        if not inside:
            raise UserError(f"{path} holds no {kind}s")
        found += inside
    return found


def _pairs(path: Path) -> list[Item]:
    """Rows of a CSV with the columns picture and recording, either of which may be empty.

    Raises:
      UserError: no CSV, none of these columns, no row, or one without a file; names its line.
    """
    rows = _rows(path)
    if not rows:
        raise UserError(f"{path}: no row below the line that names the columns")
    found = [
        {kind: path.parent / path_of(row[kind]) for kind in KINDS if row.get(kind)} for row in rows
    ]
    if not all(found):
        line = rows[found.index({})]["line"]
        raise UserError(f"{path}, line {line}: give a picture or a recording")
    return found


def _rows(path: Path) -> list[dict]:
    """The rows of a CSV by its columns, and the number of the line on which each ends.

    Between its columns stand commas, or semicolons where the first line has one.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            delimiter = ";" if ";" in file.readline() else ","
            file.seek(0)
            reader = csv.DictReader(file, skipinitialspace=True, delimiter=delimiter)
            columns = [str(name).strip().lower() for name in reader.fieldnames or ()]
            reader.fieldnames = columns
            rows = [row | {"line": reader.line_num} for row in reader]
    except UnicodeDecodeError:
        raise UserError(f"{path} is no text in UTF-8: save it as CSV UTF-8") from None
    except (OSError, csv.Error) as error:
        raise UserError(f"{path} cannot be read as a CSV ({error})") from None
    for row in rows:
        if any(row.get(None, ())):  # csv's name for what no column has
            raise UserError(
                f"{path}, line {row['line']}: it has more fields than columns; a name that holds "
                f"a {delimiter!r} stands in quotes"
            )
    if twice := [kind for kind in KINDS if columns.count(kind) > 1]:
        raise UserError(f"{path}: two columns are called {twice[0]}")
    if not set(KINDS) & set(columns):
        raise UserError(
            f"{path}: its first line must name the columns picture or recording, or both, "
            "with a comma between"
        )
    return rows


def recognised(recognise: Recogniser, given: Sequence[Item]) -> Iterator[tuple[Recognition, bool]]:
    """Each item's recognition, and whether its files could all be read; one alone must be readable.

    Raises:
      UserError: the only item's file cannot be read, or the run cannot do with what is given.
    """
    for item in given:
        try:
            found = recognise(**item)
            yield found, not any(f": {ALONE}" in warning for warning in found.warnings)
        except UserError as error:
            if len(given) == 1:
                raise
            names = [str(item[kind]) if kind in item else None for kind in KINDS]
            yield Recognition(None, (1 / CLASSES,) * CLASSES, *names, {}, (str(error),)), False


def told(found: Recognition, named: bool) -> Iterator[str]:
    """A recognition in lines for people: the likeliest digits, and what is doubtful.

    Args:
      named: the files' names stand first.
    """
    if named:
        yield " + ".join(name for name in (found.picture, found.recording) if name)
    if found.digit is None:
        yield "no digit"
    else:
        for digit in np.argsort(found.probabilities)[::-1][:3]:
            yield f"{digit}  {found.probabilities[digit]:.4f}"
    if len(found.modalities) > 1:
        for kind, one in found.modalities.items():
            digit = "no digit" if one.digit is None else one.digit
            yield f"the {kind} alone: {digit}  {max(one.probabilities):.4f}"
    yield from (f"! {warning}" for warning in found.warnings)


def show(found: Sequence[Path], file: Path) -> None:
    """Writes pictures as the model sees them, enlarged, ten in a row, to `file`.

    One that cannot be read is black: what is wrong with it is told where it is recognised.

    Raises:
      UserError: no pictures, or a file that cannot be written.
    """
    from PIL import Image

    if not file.suffix:
        raise UserError(f"--show={file} has no ending that says which kind of picture: {file}.png")
    if not found:
        raise UserError("--show shows pictures: give some with --picture or --pairs")
    rows = -(-len(found) // IN_A_ROW)
    seen = np.zeros((rows * IN_A_ROW, SIDE, SIDE), np.uint8)
    seen[: len(found)] = [_seen(path) for path in found]
    sheet = seen.reshape(rows, IN_A_ROW, SIDE, SIDE).swapaxes(1, 2).reshape(rows * SIDE, -1)
    sheet = sheet[:, : len(found) * SIDE]
    enlarged = Image.fromarray(sheet).resize((8 * sheet.shape[1], 8 * sheet.shape[0]), 0)
    try:
        with atomic(file) as temporary:
            enlarged.save(temporary)
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"--show {file}: cannot be written ({error})") from None


def _seen(path: Path) -> np.ndarray:
    from fdigits.data import pictures

    try:
        return pictures.read(path).image
    except UserError:
        return np.zeros((SIDE, SIDE), np.uint8)


def tested(run: Path | None, data: str, *where) -> Iterator[str]:
    """A run, or the shipped weights, on another data set: figures, confusions, one's own files.

    Args:
      where: the further arguments of `evaluate.outputs_on`.
    """
    from fdigits import evaluate, trained

    known = trained.load(run) if run else trained.shipped()
    split, outputs = evaluate.outputs_on(known, data, *where)
    label = split.examples()["label"]
    figures = known.task.summary(outputs, label)
    yield f"{known.config.name} on {' '.join([data, *where[2:]]).strip()}: {summed(figures)}"
    if "confusion" not in figures:
        return
    if confused := confusions(np.array(figures["confusion"])):
        yield f"taken for another: {', '.join(confused[:IN_A_ROW])}"
    if any(one.own for one in datasets.find(data)):
        p_NxV, ids = np.asarray(known.task.probabilities(outputs)), split.ids()
        for i in np.flatnonzero(p_NxV.argmax(-1) != label):
            taken = p_NxV[i].argmax()
            yield f"{ids[i]}: {label[i]}, taken for {taken} ({p_NxV[i, taken]:.4f})"


def confusions(confusion_VxV: np.ndarray) -> list[str]:
    """`4 for 9 (12)` for each pair of digits, the most frequent first."""
    wrong = confusion_VxV - np.diag(confusion_VxV.diagonal())
    pairs = sorted(np.argwhere(wrong).tolist(), key=lambda pair: -wrong[*pair])
    return [f"{true} for {taken} ({wrong[true, taken]})" for true, taken in pairs]


def summed(tested: Mapping) -> str:
    """A summary in one line."""
    words = [
        f"{name.replace('macro_f1', 'macro-F1').replace('_', ' ')} {value:.4f}"
        for name, value in tested.items()
        if isinstance(value, float) and name != "loss"
    ]
    words += [f"loss {tested['loss']:.4f}"] if "loss" in tested else []
    words.append(f"n {tested['n']}")
    if "per_class" in tested:
        held = zip(tested["per_class"], tested["confusion"], strict=True)
        recalls = [f"{recall:.2f}" if any(row) else "–" for recall, row in held]
        words.append(f"recall per class {' '.join(recalls)}")
    return ", ".join(words)


@exit_cleanly
def main() -> None:
    args = parsed()
    sys.stdout.reconfigure(errors="backslashreplace")  # names of files may be no text
    # Compiling takes a second, which the next start saves.
    jax.config.update("jax_compilation_cache_dir", str(path_of(XLA_CACHE)))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
    if args.data:
        for line in tested(args.run, args.data, args.data_dir, args.cache, args.part):
            console.print(line)
        return
    given = items(args.picture, args.recording, args.pairs)
    if args.show:
        show([item["picture"] for item in given if "picture" in item], args.show)
    unreadable = 0
    for found, readable in recognised(Recogniser(args.run), given):
        unreadable += not readable
        if args.json:
            print(json.dumps(found.json(), ensure_ascii=False), flush=True)
        else:
            console.print("\n".join(told(found, len(given) > 1)), highlight=False, markup=False)
    if unreadable:
        sys.exit(UNREADABLE)


def parsed() -> argparse.Namespace:
    """The command line; what cannot go together is refused."""
    parser = Parser("fdigits.predict", __doc__)
    parser.add_argument("run", type=path_of, nargs="?", help="workdir of a finished run")
    files = dict(type=path_of, nargs="+", action="extend", default=[], metavar="FILE")
    parser.add_argument("--picture", **files, help="pictures of one digit each, or folders")
    parser.add_argument("--recording", **files, help="recordings of one word each, or folders")
    parser.add_argument("--pairs", type=path_of, help="CSV with the columns picture and recording")
    parser.add_argument("--json", action="store_true", help="one JSON object a line and item")
    parser.add_argument("--show", type=path_of, help="picture file for what the model sees")
    parser.add_argument("--data", help="test on this data set instead; your own: folder:PATH")
    parser.add_argument("--part", default="", choices=PARTS, help="of it alone")
    parser.add_argument("--data-dir", type=path_of, default=Path(DATA["dir"]))
    parser.add_argument("--cache", type=path_of, default=Path(DATA["cache"]))
    args = parser.parse_args()
    if args.run and args.run.is_file():
        parser.error(f"{args.run} is a file: did you mean --picture or --recording before it?")
    if args.part and not args.data:
        parser.error("--part is a part of --data, which is not given")
    if args.data and (args.json or args.show):
        parser.error("--data tells figures of a whole set: --json and --show are of single files")
    if bool(args.picture or args.recording) + bool(args.pairs) + bool(args.data) != 1:
        parser.error("give --picture and --recording, or --pairs, or --data")
    return args


if __name__ == "__main__":
    main()
