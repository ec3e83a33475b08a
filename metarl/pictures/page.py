"""Pieces of a web page that stands alone: no network, no script, light and dark.

Every function escapes the plain strings that it is given; what is already markup is
`Html`.
"""

import base64
import html
from collections.abc import Iterable, Sequence
from pathlib import Path

STYLE = """
:root { color-scheme: light dark; --page: #f5f6f8; --card: #fff; --text: #1b2028;
  --muted: #667080; --line: #e3e6eb; --accent: #2f6db5; --code: #eef1f5;
  --good: #1d7f3c; --bad: #b93a3a; }
@media (prefers-color-scheme: dark) { :root { --page: #101318; --card: #181c23;
  --text: #e6e9ee; --muted: #9aa4b2; --line: #2a303a; --accent: #7db3f0;
  --code: #232932; --good: #5cc27e; --bad: #f08a84; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--text); line-height: 1.55;
  font-family: system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif;
  -webkit-text-size-adjust: 100%; }
main { max-width: 62rem; margin: 0 auto; padding: 2.2rem 1.2rem 3rem; }
h1 { font-size: clamp(1.5rem, 1.1rem + 2vw, 2.2rem); line-height: 1.2;
  margin: .2rem 0 .4rem; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 0 0 .7rem; }
h3 { font-size: .98rem; margin: 1.3rem 0 .5rem; }
p { margin: .5rem 0; max-width: 46rem; }
.over { color: var(--accent); font-weight: 600; font-size: .85rem;
  letter-spacing: .04em; }
.sub, .fine, figcaption { color: var(--muted); font-size: .87rem; }
.lead { font-size: 1.12rem; margin: 1.1rem 0; max-width: 54rem; }
main > ul { padding-left: 1.2rem; max-width: 54rem; }
li { margin: .35rem 0; }
section { background: var(--card); border: 1px solid var(--line); margin-top: 1.1rem;
  border-radius: 12px; padding: 1.2rem 1.3rem; }
.tiles { display: grid; gap: .8rem; margin-top: 1.2rem;
  grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr)); }
.tile { background: var(--card); border: 1px solid var(--line); border-radius: 12px;
  padding: .8rem 1rem; }
.tile b { display: block; font-size: 1.4rem; font-weight: 650; line-height: 1.3;
  font-variant-numeric: tabular-nums; }
.tile span { color: var(--muted); font-size: .83rem; }
.good { color: var(--good); } .bad { color: var(--bad); }
figure { margin: .4rem 0 1rem; }
figure svg { display: block; width: 100%; height: auto; color: var(--text);
  font-family: inherit; }
figure.narrow svg { max-width: 40rem; margin: 0 auto; }
figure.wide { overflow-x: auto; }
figure.wide svg { min-width: 38rem; }
video { display: block; width: 100%; border-radius: 8px; background: #13161c; }
.scroll { overflow-x: auto; -webkit-overflow-scrolling: touch; margin: .3rem 0; }
table { border-collapse: separate; border-spacing: 0; width: 100%; font-size: .88rem;
  font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: .38rem .6rem; white-space: nowrap;
  border-bottom: 1px solid var(--line); vertical-align: baseline; }
thead th { color: var(--muted); font-weight: 600; white-space: normal; line-height: 1.3;
  vertical-align: bottom; }
tbody th { font-weight: 600; }
table.numbers th:first-child { position: sticky; left: 0; background: var(--card); }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
tbody tr:last-child > * { border-bottom: 0; }
tr.group th { padding-top: 1rem; color: var(--accent); }
small { color: var(--muted); font-size: .82em; }
table.text td { text-align: left; white-space: normal; overflow-wrap: anywhere; }
table.text th { text-align: left; font-weight: 500; color: var(--muted); }
details { border-top: 1px solid var(--line); padding: .55rem 0; }
section > details:only-of-type { border-top: 0; padding: 0; }
summary { cursor: pointer; font-weight: 600; }
summary span { color: var(--muted); font-weight: 400; font-size: .87rem; }
code { background: var(--code); border-radius: 5px; padding: .12em .4em;
  font-size: .88em; overflow-wrap: anywhere;
  font-family: ui-monospace, "SF Mono", Menlo, Consolas, monospace; }
.missing { border-left: 3px solid var(--line); padding-left: .8rem;
  color: var(--muted); }
footer { color: var(--muted); font-size: .83rem; margin-top: 1.6rem; }
@media (max-width: 34rem) { main { padding: 1.2rem .7rem 2rem; }
  section { padding: 1rem .85rem; }
  .tiles { grid-template-columns: repeat(2, 1fr); gap: .6rem; }
  .tile:last-child:nth-child(odd) { grid-column: 1 / -1; }
  .tile b { font-size: 1.15rem; } }
@media print { body { background: #fff; } section, .tile { break-inside: avoid; } }
"""


class Html(str):
    """Text that is markup already."""


def join(parts: Iterable[object], between: str = "") -> Html:
    """Parts one after the other, escaped where they are no markup."""
    return Html(html.escape(between).join(_safe(part) for part in parts))


def tag(kind: str, *parts: object, **attributes: str) -> Html:
    """An element; a trailing underscore in an attribute's name is dropped."""
    inside = "".join(
        f' {key.rstrip("_")}="{html.escape(value)}"'
        for key, value in attributes.items()
    )
    return Html(f"<{kind}{inside}>{join(parts)}</{kind}>")


def section(title: str, *parts: object) -> Html:
    """A card with a title."""
    return tag("section", tag("h2", title), *parts)


def figure(picture: Html, caption: object = "", wide: bool = False) -> Html:
    """A plot or a video with a caption."""
    under = tag("figcaption", caption) if caption else ""
    return tag("figure", picture, under, class_="wide" if wide else "narrow")


def table(
    header: Sequence[object], rows: Iterable[Sequence[object]], style: str = "numbers"
) -> Html:
    """A table that scrolls sideways where it is too wide.

    Args:
        header: names of the columns; empty for none.
        rows: cells; the first of each row names it. A row of one cell is a heading for
            those below.
        style: "numbers", or "text" for wrapped text.
    """
    body = []
    for row in rows:
        if len(row) == 1 and len(header) > 1:
            cell = tag("th", row[0], colspan=str(len(header)))
            body.append(tag("tr", cell, class_="group"))
        else:
            cells = (tag("td", cell) for cell in row[1:])
            body.append(tag("tr", tag("th", row[0], scope="row"), *cells))
    head = tag("thead", tag("tr", *(tag("th", cell, scope="col") for cell in header)))
    whole = tag("table", head if header else "", tag("tbody", *body), class_=style)
    return tag("div", whole, class_="scroll")


def details(summary: object, *parts: object, opened: bool = False) -> Html:
    """A part that opens with a click."""
    inside = join((tag("summary", summary), *parts))
    return Html(f"<details{' open' if opened else ''}>{inside}</details>")


def missing(text: str, command: str) -> Html:
    """Say that something is not there, and the command that makes it."""
    return tag("p", text, " Run ", tag("code", command), class_="missing")


def video(path: Path) -> Html:
    """A video, held in the page."""
    data = base64.b64encode(path.read_bytes()).decode()
    return Html(
        '<video controls loop muted playsinline preload="metadata" '
        f'src="data:video/mp4;base64,{data}"></video>'
    )


def page(title: str, *parts: object) -> str:
    """A whole page, which forbids itself to load anything from elsewhere."""
    policy = "default-src 'none'; style-src 'unsafe-inline'; media-src data:"
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        f"<title>{html.escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n"
        f"<body>\n<main>\n{join(parts, chr(10))}\n</main>\n</body>\n</html>\n"
    )


def _safe(part: object) -> str:
    return part if isinstance(part, Html) else html.escape(str(part))
