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
h3 { font-size: 1rem; margin: 1.4rem 0 .5rem; }
p, li, h1, h2, h3, summary { overflow-wrap: anywhere; }
ul { margin: 0 0 .6rem; padding-left: 1.2rem; }
p, figcaption { max-width: 46rem; }
details { border-top: 1px solid #ddd; }
summary { cursor: pointer; padding: .7rem 0; }
.wide { overflow-x: auto; }
.beside { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 420px), 1fr));
  gap: 1rem 2rem; align-items: start; }
.beside figure { margin: .4rem 0; }
.beside img { max-width: 100%; max-height: 400px; width: auto; min-width: 0; margin: 0; }
.beside:has(.claims) img { max-height: none; }
table { border-collapse: collapse; font-size: .84rem; font-variant-numeric: tabular-nums;
  margin: .8rem 0; }
figcaption, .note { color: #555; font-size: .87rem; line-height: 1.45; }
th, td { padding: .35rem .6rem; text-align: left; border-bottom: 1px solid #e4e4e4;
  vertical-align: top; }
th { border-bottom: 2px solid #999; font-weight: 600; vertical-align: bottom; }
td.number, th.number { text-align: right; }
td.number { white-space: nowrap; }
th:first-child, td:first-child { position: sticky; left: 0; background: #fff; padding-left: 0; }
td:first-child { min-width: 6.5rem; }
th[tabindex] { cursor: pointer; }
th[aria-sort=ascending]::after { content: " ↑"; }
th[aria-sort=descending]::after { content: " ↓"; }
.claims { list-style: none; margin: 0 0 1rem; padding: 0; font-size: .93rem; line-height: 1.35; }
.claims li { display: grid; grid-template-columns: 6.6rem 1fr; gap: .4rem; padding: .3rem 0;
  border-bottom: 1px solid #e4e4e4; }
.claims small { color: #555; }
.claims .holds { color: #00694d; } .claims .fails { color: #b04a00; }
.claims .undecided { color: #555; }
pre { background: #f5f5f5; padding: .5rem .7rem; font-size: .8rem; white-space: pre-wrap;
  overflow-wrap: anywhere; margin: .3rem 0 1rem; }
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


# A click, or the enter key, on a heading sorts its table by that column; once more, the other way.
SORT = """
for (const table of document.querySelectorAll("table")) {
  const body = table.tBodies[0], heads = [...table.tHead.rows[0].cells];
  if (body.rows.length < 3) continue;
  heads.forEach((head, column) => {
    const number = head.classList.contains("number");
    const value = row => {
      const text = row.cells[column].textContent;
      if (!number) return text;
      const found = text.replace(/,/g, "").match(/^[^0-9]*?(-?[0-9.]+(e-?[0-9]+)?)/);
      return found ? parseFloat(found[1]) : null;
    };
    const compare = (a, b) => number ? a - b : a.localeCompare(b, "en", {numeric: true});
    const sort = () => {
      const up = (head.getAttribute("aria-sort") || (number ? "ascending" : "descending"))
        === "descending";
      heads.forEach(other => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const rows = [...body.rows].map(row => [value(row), row]);
      rows.sort(([a], [b]) => a === null || b === null ? (a === null) - (b === null)
        : up ? compare(a, b) : compare(b, a));
      rows.forEach(([, row]) => body.append(row));
    };
    head.tabIndex = 0;
    head.title = "sort by this column";
    head.onclick = sort;
    head.onkeydown = event => { if (event.key === "Enter") sort(); };
  });
}
""".strip()


@dataclasses.dataclass(frozen=True)
class Heading:
    text: str


@dataclasses.dataclass(frozen=True)
class Part:
    """A heading that folds nothing."""

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
class Claims:
    """What a paper says, each with a verdict of `VERDICTS` and the reason for it."""

    rows: list[tuple[str, str, str]]  # verdict, claim, reason


@dataclasses.dataclass(frozen=True)
class Code:
    """A text to be copied, a command say, under its title."""

    title: str
    text: str


@dataclasses.dataclass(frozen=True)
class Beside:
    """Blocks side by side, one below the other where a screen is narrow."""

    blocks: list["Block"]


Block = Heading | Part | Note | Items | Grid | Picture | Claims | Code | Beside
VERDICTS = {"holds": "✓", "fails": "✗", "undecided": "?"}


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


def markdown(block: Block) -> str:
    match block:
        case Heading(text):
            return f"## {text}"
        case Part(text):
            return f"**{text}**"
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
        case Claims(rows):
            return "\n".join(f"- **{verdict}**: {text} ({why})" for verdict, text, why in rows)
        case Code(title, text):
            return f"**{title}**\n\n```\n{text}\n```"
        case Beside(blocks):
            return "\n\n".join(map(markdown, blocks))


def _html(block: Block) -> str:
    match block:
        case Heading(text):
            return f"<summary><h2>{html.escape(text)}</h2></summary>"
        case Part(text):
            return f"<h3>{html.escape(text)}</h3>"
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
        case Claims(rows):
            return f'<ul class="claims">{"".join(_claim(*row) for row in rows)}</ul>'
        case Code(title, text):
            return f"<p><strong>{html.escape(title)}</strong></p><pre>{html.escape(text)}</pre>"
        case Beside(blocks):
            columns = "".join(f"<div>{_html(block)}</div>" for block in blocks)
            return f'<div class="beside">{columns}</div>'


def _claim(verdict: str, text: str, reason: str) -> str:
    return (
        f'<li><b class="{verdict}">{VERDICTS[verdict]} {verdict}</b> <span>{html.escape(text)}'
        f"<br><small>{html.escape(reason)}</small></span></li>"
    )


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
    each = [block.blocks if isinstance(block, Beside) else [block] for block in blocks]
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
        text = "\n\n".join([f"# {title}", *map(markdown, kept)])
        temporary.write_text(text + "\n", encoding="utf-8")
    with atomic(out / "report.html") as temporary:
        folded = [f"<details>{''.join(map(_html, section))}</details>" for section in rest]
        body = "\n".join([*map(_html, first), *folded])
        temporary.write_text(
            f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
            f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            f"<title>{html.escape(title)}</title>\n<style>{CSS}</style></head>\n"
            f"<body><h1>{html.escape(title)}</h1>\n{body}\n<script>{SORT}</script></body></html>\n",
            encoding="utf-8",
        )
    return out / "report.html"
