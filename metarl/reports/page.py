"""The data that a page is made of, and the templates that lay it out.

Python computes; ``templates/*.html.jinja`` lay out. Templates escape every value,
except for `Markup`: plots, which matplotlib escapes. A page stands alone: no network,
no script, light and dark.
"""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from matplotlib.figure import Figure as Drawing

from metarl.reports import plots


class Cell(NamedTuple):
    """A table's cell that is more than a text."""

    text: str
    note: str = ""
    """Behind the text, small: an interval."""
    code: bool = False
    """Whether the text is a command or an identifier."""


@dataclass(frozen=True)
class Table:
    """A table, which scrolls sideways where it is too wide."""

    header: Sequence[str]
    """Names of the columns; empty for none."""
    rows: Sequence[Sequence[Any]]
    """Cells: texts, numbers, a `Cell`, or several of them in one. The first of each row
    names it. A row of one cell is a heading for those below."""
    style: str = "numbers"
    """"numbers", or "text" for wrapped text."""


class Figure(NamedTuple):
    """A plot with a caption."""

    picture: Markup
    caption: str = ""
    wide: bool = False


class Missing(NamedTuple):
    """Something that a run has not got, and the command that makes it."""

    text: str
    command: str = ""


def figure(drawing: Drawing, caption: str = "", wide: bool = False) -> Figure:
    """A plot as an SVG element."""
    return Figure(Markup(plots.svg(drawing)), caption, wide)


def video_uri(path: Path) -> str:
    """A video, held in the page."""
    return f"data:video/mp4;base64,{base64.b64encode(path.read_bytes()).decode()}"


_TEMPLATES = Environment(
    loader=PackageLoader("metarl.reports"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def render(template: str, **data: Any) -> str:
    """A page of a template and its data."""
    css = (Path(__file__).parent / "templates" / "style.css").read_text("utf-8")
    return _TEMPLATES.get_template(template).render(css=Markup(css), **data).lstrip()


def piece(macro: str, *data: Any) -> str:
    """A piece of a page: one of the macros, such as "table" or "headline"."""
    module: Any = _TEMPLATES.get_template("macros.html.jinja").module
    return str(getattr(module, macro)(*data))
