"""Sphinx reads this: `make docs` builds the site from docs/, results/ and docstrings.

The source folder is the repository, so that a link between two pages is the same on the
site, in an editor and where the repository is hosted.
"""

import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import metarl

project = "metarl"
author = "metarl contributors"
project_copyright = author
version = release = metarl.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
]
root_doc = "docs/index"
include_patterns = [
    "docs/*.md",
    "docs/_api/*.rst",
    "results/README.md",
    "results/**/README.md",
    "CHANGELOG.md",
]
exclude_patterns = [".*", "runs", "metarl", "envs", "agents", "docs/_build", "build"]

html_theme = "furo"
html_title = f"metarl {version}"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_extra_path = ["site"]  # a first page that leads to docs/index.html
html_copy_source = False
html_show_sphinx = False
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#2c6cb0"},
    "dark_css_variables": {"color-brand-primary": "#6cb0f0"},
}
pygments_style, pygments_dark_style = "friendly", "github-dark"
highlight_language = "text"

myst_enable_extensions = ["html_image"]
myst_heading_anchors = 3
# Pages of results are linked from results/README.md, and have no place in the menu.
suppress_warnings = ["toc.not_included"]

templates_path = [str(Path(__file__).parent / "templates")]
autosummary_generate = True
GPU = ["metarl.simulation.mujoco_warp", "metarl.simulation.warp_models"]
"""Modules that cannot be imported without MuJoCo Warp."""
autosummary_context = {"left_out": [] if find_spec("mujoco_warp") else GPU}
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_default_options = {"members": True}
autodoc_preserve_defaults = True
python_maximum_signature_line_length = 72
napoleon_numpy_docstring = False
default_role = "code"
toc_object_entries_show_parents = "hide"


CODE = re.compile(
    r"(import|from|class|for|metarl|python) |[\w().,\[\]\" ]+ = "
    r"|[\w.]+[(\[].*[)\]:](  +#|$)|[\w.]+  +# "
)
"""How a line of code begins that stands in a docstring without indentation."""
PYTHON = re.compile(
    r"\s*(import|from|class|for) |\s*[\w(). ,]+ = \w+[.(]|\s*\w+\.\w+\("
)


def readable(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]):
    """Docstrings are written for people: indented code, Markdown's tables, a lone star.

    Sphinx wants them in its own way. Sections such as "Args:" stay as they are.
    """
    found: list[str] = []
    for paragraph in re.split(r"\n{2,}", "\n".join(lines).strip("\n")):
        rows = paragraph.split("\n")
        said = found[-2] if len(found) > 1 else ""
        if all(row.startswith("|") for row in rows):
            rows = table(rows)
        elif rows[0].startswith("    "):
            if not said.startswith((" ", "..")):
                found += [block(rows[0]), ""]
        elif what == "module" and all(CODE.match(r) or r[:4] == "    " for r in rows):
            found += [block(rows[0]), ""]
            rows = [f"    {row}" for row in rows]
        else:
            rows = [escaped(row) for row in rows]
        found += [*rows, ""]
    if what in ("attribute", "property", "data") and found:
        # Or napoleon takes "Its settings" in "Its settings: ..." for a type.
        found[0] = found[0].replace(": ", " \N{EN DASH} ")
    lines[:] = found


def block(first: str) -> str:
    """The directive above a block of code."""
    return f".. code-block:: {'python' if PYTHON.match(first) else 'text'}"


def escaped(line: str) -> str:
    """Text in which stars and bars outside of code are only that."""
    parts = re.split(r"(`+[^`]*`+)", line)
    parts[::2] = [re.sub(r"([*|])(?=\w)", r"\\\1", part) for part in parts[::2]]
    return "".join(parts)


def table(rows: list[str]) -> list[str]:
    """A Markdown table as Sphinx's list-table."""
    lines = [".. list-table::", "   :header-rows: 1", ""]
    for row in rows:
        if not re.fullmatch(r"[|\-\s:]+", row):
            first, *others = (cell.strip() for cell in row.strip("|").split("|"))
            lines += [f"   * - {first}", *(f"     - {cell}" for cell in others)]
    return lines


def setup(app: Any) -> None:
    """Called by Sphinx."""
    app.connect("autodoc-process-docstring", readable, priority=1)
