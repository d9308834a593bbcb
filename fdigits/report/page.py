"""A report as blocks, written as Markdown with linked and HTML with embedded figures.

Whatever a run left, its report is written: what cannot be drawn is a line on the page (`sound`).
"""

import base64
import dataclasses
import html
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from pathlib import Path

from matplotlib.figure import Figure

from fdigits.errors import UserError
from fdigits.files import atomic
from fdigits.report.style import png

CSS = """
:root { color-scheme: light; }
body { font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; color: #222;
  background: #fff; max-width: 1080px; margin: 1.2rem auto 3rem; padding: 0 1.25rem; }
h1 { font-size: 1.6rem; margin: 0 0 .6rem; }
h2 { font-size: 1.1rem; margin: 0; display: inline; }
ul { margin: 0 0 .6rem; padding-left: 1.2rem; }
li, p, figcaption { max-width: 46rem; }
details { border-top: 1px solid #ddd; }
summary { cursor: pointer; padding: .7rem 0; }
.wide { overflow-x: auto; }
.beside { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 420px), 1fr));
  gap: 1rem 2rem; align-items: start; }
.beside figure { margin: .4rem 0; }
.beside img { max-width: 100%; max-height: 400px; width: auto; min-width: 0; margin: 0; }
table { border-collapse: collapse; font-size: .84rem; font-variant-numeric: tabular-nums;
  margin: .8rem 0; }
figcaption, .note { color: #555; font-size: .87rem; line-height: 1.45; }
th, td { padding: .35rem .6rem; text-align: left; border-bottom: 1px solid #e4e4e4;
  vertical-align: top; }
th { border-bottom: 2px solid #999; font-weight: 600; vertical-align: bottom; }
td.number, th.number { text-align: right; }
td.number { white-space: nowrap; }
th:first-child, td:first-child { position: sticky; left: 0; background: #fff; padding-left: 0; }
figure { margin: 1rem 0 1.8rem; }
figure img { max-width: 100%; height: auto; display: block; margin: 0 auto .4rem; }
@media (max-width: 600px) {
  body { padding: 0 1rem; }
  th, td { padding: .3rem .4rem; }
  figure img { min-width: 540px; }
}
@media print { body { margin: 0; max-width: none; } figure, table { break-inside: avoid; }
  details::details-content { content-visibility: visible; display: block; } }
""".strip()


@dataclasses.dataclass(frozen=True)
class Heading:
    text: str


@dataclasses.dataclass(frozen=True)
class Note:
    text: str


@dataclasses.dataclass(frozen=True)
class Items:
    texts: list[str]


@dataclasses.dataclass(frozen=True)
class Grid:
    """A table; the columns in `numbers` are right-aligned."""

    header: list[str]
    rows: list[list[str]]
    numbers: range


@dataclasses.dataclass(frozen=True)
class Picture:
    """A figure: its file's name without suffix, how it is drawn, what it shows, by which protocol.

    It is drawn when its `png` is first asked for, within `sound`.
    """

    name: str
    draw: Callable[[], Figure]
    title: str
    caption: str
    width: int  # CSS pixels

    @cached_property
    def png(self) -> bytes:
        return png(self.draw())


@dataclasses.dataclass(frozen=True)
class Beside:
    """Pictures side by side, one below the other where a screen is narrow."""

    pictures: list[Picture]


Block = Heading | Note | Items | Grid | Picture | Beside


class Undrawable(ValueError):
    """Why there is no such picture of what a run left, in words."""


def sound(blocks: Iterable[Block]) -> Iterator[Block]:
    """The blocks, drawn; a line in the place of each that cannot be.

    Raises:
      UserError: what was given cannot have a report.
    """
    left, part = iter(blocks), "the page"
    while True:
        block = None
        try:
            block = next(left)
            if isinstance(block, Picture):
                _ = block.png
        except StopIteration:
            return
        except UserError:
            raise
        except Undrawable as reason:
            block = Note(f"{block.title if block else part}: not drawn, {reason}.")
        except Exception as error:  # a fault of ours must not cost a person the other figures
            block = unable(block.title if block else f"the rest of {part}", error)
        part = block.text if isinstance(block, Heading) else part
        yield block


def unable(what: str, error: Exception) -> Note:
    """The line in the place of a figure whose drawing failed, on the page and on stderr."""
    told = f"{what}: not drawn, {type(error).__name__}: {' '.join(str(error).split())}"
    print(f"{told}: please report this", file=sys.stderr)
    return Note(f"{told}.")


def _markdown(block: Block) -> str:
    match block:
        case Heading(text):
            return f"## {text}"
        case Note(text):
            return text
        case Items(texts):
            return "\n".join(f"- {text}" for text in texts)
        case Grid(header, rows, numbers):
            rule = ["---:" if column in numbers else "---" for column in range(len(header))]
            cells = [[cell.replace("|", "\\|") for cell in row] for row in (header, *rows)]
            return "\n".join(f"| {' | '.join(row)} |" for row in (cells[0], rule, *cells[1:]))
        case Picture(name=name, title=title, caption=caption):
            return f"![{title}](figures/{name}.png)\n\n**{title}.** {caption}"
        case Beside(pictures):
            return "\n\n".join(map(_markdown, pictures))


def _html(block: Block) -> str:
    match block:
        case Heading(text):
            return f"<summary><h2>{html.escape(text)}</h2></summary>"
        case Note(text):
            return f'<p class="note">{html.escape(text)}</p>'
        case Items(texts):
            return "<ul>" + "".join(f"<li>{html.escape(text)}</li>" for text in texts) + "</ul>"
        case Grid(header, rows, numbers):

            def line(tag: str, cells: list[str]) -> str:
                made = ""
                for column, cell in enumerate(cells):
                    kind = ' class="number"' if column in numbers else ""
                    made += f"<{tag}{kind}>{html.escape(cell)}</{tag}>"
                return f"<tr>{made}</tr>"

            body = "\n".join(line("td", row) for row in rows)
            return (
                f'<div class="wide"><table><thead>{line("th", header)}</thead>\n'
                f"<tbody>{body}</tbody></table></div>"
            )
        case Picture(title=title, caption=caption, width=width):
            data = base64.b64encode(block.png).decode()
            return (
                f'<figure><div class="wide"><img width="{width}" alt="{html.escape(title)}" '
                f'src="data:image/png;base64,{data}"></div>\n<figcaption><strong>{html.escape(title)}.'
                f"</strong> {html.escape(caption)}</figcaption></figure>"
            )
        case Beside(pictures):
            return f'<div class="beside">{"".join(map(_html, pictures))}</div>'


def sections(blocks: list[Block]) -> list[list[Block]]:
    """The blocks up to the first heading; then each heading with its own, if it has any."""
    found: list[list[Block]] = [[]]
    for block in blocks:
        if isinstance(block, Heading):
            found.append([])
        found[-1].append(block)
    return [found[0], *(section for section in found[1:] if len(section) > 1)]


def pictures(blocks: list[Block]) -> list[Picture]:
    """All of them, those side by side too."""
    each = [block.pictures if isinstance(block, Beside) else [block] for block in blocks]
    return [block for some in each for block in some if isinstance(block, Picture)]


def publish(title: str, blocks: list[Block], out: Path) -> Path:
    """Writes `figures/*.png`, `report.md` and `report.html` into `out`; returns the last one.

    In the HTML a heading folds what stands below it.
    """
    for picture in pictures(blocks):
        with atomic(out / "figures" / f"{picture.name}.png") as temporary:
            temporary.write_bytes(picture.png)
    first, *rest = sections(blocks)
    with atomic(out / "report.md") as temporary:
        kept = [*first, *(block for section in rest for block in section)]
        text = "\n\n".join([f"# {title}", *map(_markdown, kept)])
        temporary.write_text(text + "\n", encoding="utf-8")
    with atomic(out / "report.html") as temporary:
        folded = [f"<details>{''.join(map(_html, section))}</details>" for section in rest]
        body = "\n".join([*map(_html, first), *folded])
        temporary.write_text(
            f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
            f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            f"<title>{html.escape(title)}</title>\n<style>{CSS}</style></head>\n"
            f"<body><h1>{html.escape(title)}</h1>\n{body}\n</body></html>\n",
            encoding="utf-8",
        )
    return out / "report.html"
