"""`python -m fdigits.report.studies RESULTS DOCUMENT [...]`: studies' tables into documents.

RESULTS holds a folder for each study with its `study.json`, or for a search with its `search.json`;
beside it `table.md` is written anew.
In a document the lines between `<!-- study NAME -->` and `<!-- end of study -->` become the tables
and verdicts of `RESULTS/NAME`. With `--check` nothing is written; what is out of date is an error.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path

from fdigits.arguments import Parser
from fdigits.config import nearest
from fdigits.errors import UserError, exit_cleanly
from fdigits.files import atomic, path_of
from fdigits.report import searched
from fdigits.report.study import STUDY, facts, read
from fdigits.report.study_tables import summary

PLACE = re.compile(r"(<!-- study (\S+) -->\n).*?(<!-- end of study -->)", re.DOTALL)


SEARCH = "search.json"


def names(results: Path) -> list[str]:
    return sorted(
        file.parent.name for kind in (STUDY, SEARCH) for file in results.glob(f"*/{kind}")
    )


def tables(folder: Path) -> str:
    """`table.md` of a study or a search."""
    if (folder / SEARCH).exists():
        return searched.markdown_of(json.loads((folder / SEARCH).read_text()))
    return summary(read(folder))


def part(results: Path, name: str) -> str:
    """A study's part of a document."""
    told = [f"Figures: `results/{name}/`."]
    if (results / name / STUDY).exists():
        study = read(results / name)
        told = [f"**{study['title'] or study['name']}.**", *facts(study), *told]
    return f"\n{' '.join(told)}\n\n{tables(results / name)}\n"


def written(text: str, results: Path, document: Path) -> str:
    """A document's text with its studies as they are now.

    Raises:
      UserError: it names a study that is not there, or does not end one.
    """
    known, begun = names(results), text.count("<!-- study ")
    if begun != len(PLACE.findall(text)):
        raise UserError(f"{document}: a study has no line <!-- end of study -->: add it")
    for _, name, _ in PLACE.findall(text):
        if name not in known:
            raise UserError(
                f"{document} names the study {name}{nearest(name, known)}, but "
                f"{results / name} holds none"
            )
    return PLACE.sub(lambda found: found[1] + part(results, found[2]) + found[3], text)


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise UserError(f"{file} cannot be read ({error}): name another document") from None


def files(results: Path, documents: list[Path]) -> Iterator[tuple[Path, str]]:
    """Each file that is written, with its text.

    Raises:
      UserError: no document has a place for a study, or one cannot be read.
    """
    texts = {document: _text(document) for document in documents}
    for name in names(results):
        if not any(f"<!-- study {name} -->" in text for text in texts.values()):
            raise UserError(
                f"no document shows {results / name}: add the lines <!-- study {name} --> and "
                f"<!-- end of study --> to {documents[0]}"
            )
        yield results / name / "table.md", tables(results / name)
    for document, text in texts.items():
        yield document, written(text, results, document)


def outdated(results: Path, documents: list[Path]) -> list[Path]:
    """The files that would be written otherwise."""
    return [
        file
        for file, text in files(results, documents)
        if not file.exists() or file.read_text(encoding="utf-8") != text
    ]


@exit_cleanly
def main(arguments: list[str] | None = None) -> None:
    parser = Parser("fdigits.report.studies", __doc__)
    parser.add_argument("results", type=path_of, metavar="RESULTS")
    parser.add_argument("documents", type=path_of, nargs="+", metavar="DOCUMENT")
    parser.add_argument("--check", action="store_true", help="only say what is out of date")
    given = parser.parse_args(arguments)
    if given.check and (old := outdated(given.results, given.documents)):
        told = ", ".join(map(str, old))
        raise UserError(f"not up to date: {told}; run the command without --check")
    for file, text in [] if given.check else [*files(given.results, given.documents)]:
        with atomic(file) as temporary:
            temporary.write_text(text, encoding="utf-8")
        print(file)


if __name__ == "__main__":
    main()
