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
body { font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; color: #222;
  background: #fff; max-width: 920px; margin: 2.5rem auto; padding: 0 1.25rem; }
h1 { font-size: 1.7rem; margin: 0 0 1rem; }
h2 { font-size: 1.25rem; margin: 2.5rem 0 .6rem; padding-top: .8rem; border-top: 1px solid #ddd; }
.wide { overflow-x: auto; margin: 1rem 0; }
table { border-collapse: collapse; font-size: .84rem; font-variant-numeric: tabular-nums; }
caption, figcaption, .note { color: #555; font-size: .87rem; line-height: 1.45; }
th, td { padding: .35rem .65rem; text-align: left; border-bottom: 1px solid #e4e4e4;
  vertical-align: top; }
th { border-bottom: 2px solid #999; font-weight: 600; }
td.number, th.number { text-align: right; white-space: nowrap; }
figure { margin: 1.4rem 0 2rem; }
figure img { max-width: 100%; height: auto; display: block; margin: 0 auto .5rem; }
li { margin: .25rem 0; }
@media print { body { margin: 0; max-width: none; } figure, table { break-inside: avoid; } }
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


Block = Heading | Note | Items | Grid | Picture


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


def _html(block: Block) -> str:
    match block:
        case Heading(text):
            return f"<h2>{html.escape(text)}</h2>"
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
                f'<figure><img width="{width}" alt="{html.escape(title)}" '
                f'src="data:image/png;base64,{data}">\n<figcaption><strong>{html.escape(title)}.'
                f"</strong> {html.escape(caption)}</figcaption></figure>"
            )


def publish(title: str, blocks: list[Block], out: Path) -> Path:
    """Writes `figures/*.png`, `report.md` and `report.html` into `out`; returns the last one."""
    for block in blocks:
        if isinstance(block, Picture):
            with atomic(out / "figures" / f"{block.name}.png") as temporary:
                temporary.write_bytes(block.png)
    with atomic(out / "report.md") as temporary:
        text = "\n\n".join([f"# {title}", *map(_markdown, blocks)])
        temporary.write_text(text + "\n", encoding="utf-8")
    with atomic(out / "report.html") as temporary:
        body = "\n".join(map(_html, blocks))
        temporary.write_text(
            f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
            f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            f"<title>{html.escape(title)}</title>\n<style>{CSS}</style></head>\n"
            f"<body><h1>{html.escape(title)}</h1>\n{body}\n</body></html>\n",
            encoding="utf-8",
        )
    return out / "report.html"
