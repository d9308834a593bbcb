"""`python -m fdigits.explain RUN`: what a finished run looks at, anew from its checkpoint.

Every run does this once with the weights that are tested; `python -m fdigits.report RUN --out DIR`
draws it.
"""

from fdigits import evaluate, explain, trained
from fdigits.arguments import Parser
from fdigits.console import console
from fdigits.errors import UserError, exit_cleanly
from fdigits.files import path_of, write_arrays


@exit_cleanly
def main(arguments: list[str] | None = None) -> None:
    parser = Parser("fdigits.explain", __doc__)
    parser.add_argument("run", type=path_of, help="workdir of a finished run")
    parser.add_argument("--data-dir", type=path_of, help="of the source files, if not as it was")
    given = parser.parse_args(arguments)
    found = trained.load(given.run)
    files = evaluate.make_again(found, given.data_dir)
    names = [name for name in files if name in explain.FILES]
    try:
        for name in names:
            write_arrays(given.run / name, **files[name])
    except OSError as error:
        raise UserError(f"cannot write into {given.run}: {error.strerror}") from error
    if not names:
        raise UserError(
            f"{given.run} has nothing to explain: no attention, no convolution before a digit's "
            "score, no weights of a fusion, no augmentation"
        )
    draw = f"python -m fdigits.report {given.run} --out DIR"
    console.print(f"{', '.join(names)} written; draw with {draw}")


if __name__ == "__main__":
    main()
