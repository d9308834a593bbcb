"""`python -m fdigits.report RUN [RUN ...] --out DIR`: the report of finished runs.

What is missing of a run's arrays is made again from its checkpoint and data first.
"""

from rich.console import Console

from fdigits import evaluate
from fdigits.arguments import Parser
from fdigits.errors import exit_cleanly
from fdigits.files import path_of
from fdigits.report import write


@exit_cleanly
def main(arguments: list[str] | None = None) -> None:
    parser = Parser("fdigits.report", __doc__)
    parser.add_argument(
        "runs", nargs="+", type=path_of, metavar="RUN", help="a finished run's workdir"
    )
    parser.add_argument("--out", required=True, type=path_of, help="the folder to write into")
    parser.add_argument(
        "--apart",
        action="store_true",
        help="the runs may have different test items: compare only those that share them",
    )
    parser.add_argument(
        "--data-dir", type=path_of, help="the folder of source files, if not the run's own"
    )
    given = parser.parse_args(arguments)
    console = Console(stderr=True)
    for run in given.runs:
        if made := evaluate.remake(run, given.data_dir):
            console.print(f"{run}: made again from the checkpoint: {', '.join(made)}")
    with console.status("drawing figures (a t-SNE takes some seconds)"):
        html = write(given.runs, given.out, given.apart)
    print(html)


if __name__ == "__main__":
    main()
