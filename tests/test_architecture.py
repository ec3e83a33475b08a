"""The architecture that the folders show is the one that the code has."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = (
    "errors",
    "tasks",
    "simulation",
    "environment",
    "learning",
    "evaluation",
    "runs",
    "deploy",
    "render",
    "reports",
    "studies",
    "cli",
)
"""From the bottom to the top: a room imports from those before it, and from itself."""
GUESTS = {"envs": "environment", "agents": "learning"}
"""The folders that plug in, and the topmost room that each may import from."""
STUDIES = ("studies", "cli")
"""Rooms that may name a family or an agent."""
FILES = [
    *(p for room in ROOMS for p in sorted((ROOT / "metarl" / room).rglob("*.py"))),
    *(p for guest in GUESTS for p in sorted((ROOT / guest).rglob("*.py"))),
]
PROSE = [
    *sorted(p for p in (ROOT / "docs").rglob("*.md")),
    ROOT / "docs/tutorial.ipynb",
    ROOT / "README.md",
    *FILES,
]


def module(path):
    """metarl/tasks/space.py is metarl.tasks.space, envs/plane.py metarl.envs.plane."""
    parts = list(path.relative_to(ROOT).with_suffix("").parts)
    parts = parts[:-1] if parts[-1] == "__init__" else parts
    return ".".join(parts if parts[0] == "metarl" else ["metarl", *parts])


MODULES = {module(path): path for path in FILES}


def imports(path):
    """The files that a file imports, also within functions and for type checkers."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return sorted(MODULES[name] for name in found if name in MODULES)


def room(path):
    parts = path.relative_to(ROOT).parts
    return parts[1].removesuffix(".py") if parts[0] == "metarl" else parts[0]


GRAPH = {path: imports(path) for path in FILES}


def test_every_folder_of_the_package_is_a_room():
    entries = {p.name.removesuffix(".py") for p in (ROOT / "metarl").iterdir()}
    entries -= {"__init__", "__main__", "__pycache__", "py.typed", *GUESTS}
    assert entries == set(ROOMS)
    files = {p.name for p in (ROOT / "metarl").glob("*.py")}
    assert files == {"__init__.py", "__main__.py", "errors.py"}


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_arrows_point_from_upper_rooms_to_lower_ones(path):
    own = room(path)
    for other in GRAPH[path]:
        target = room(other)
        if target == own or target == "errors":
            continue
        where = f"{path.relative_to(ROOT)} imports {other.relative_to(ROOT)}"
        if own in GUESTS:
            assert target not in GUESTS, where
            assert ROOMS.index(target) <= ROOMS.index(GUESTS[own]), where
        elif target in GUESTS:
            assert own in STUDIES, where
        else:
            assert ROOMS.index(target) < ROOMS.index(own), where


def test_no_files_import_each_other_in_a_circle():
    done, path = set(), []

    def visit(file):
        if file in path:
            circle = [*path[path.index(file) :], file]
            pytest.fail(" -> ".join(str(p.relative_to(ROOT)) for p in circle))
        if file not in done:
            path.append(file)
            for other in GRAPH[file]:
                if other != file:
                    visit(other)
            path.pop()
            done.add(file)

    for file in FILES:
        visit(file)


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_no_file_is_longer_than_400_lines(path):
    assert len(path.read_text().splitlines()) <= 400


def test_the_readme_is_short():
    assert (ROOT / "README.md").stat().st_size <= 6 * 1024


def avoided():
    """Words in the last column of the glossary, as regular expressions."""
    rows = (ROOT / "docs/glossary.md").read_text().splitlines()
    cells = [row.split("|")[-2] for row in rows if row.startswith("| ")]
    words = [w for cell in cells[1:] for w in re.findall(r"`([^`]+)`", cell)]
    return [rf"(?<![\w`]){re.escape(word)}(?![\w(`])" for word in words]


def test_the_glossary_lists_words_to_avoid():
    assert len(avoided()) > 25


@pytest.mark.parametrize("path", PROSE, ids=lambda p: str(p.relative_to(ROOT)))
def test_the_words_are_those_of_the_glossary(path):
    if path.name == "glossary.md":
        pytest.skip("it names what to avoid")
    for number, line in enumerate(path.read_text().splitlines(), 1):
        for word in avoided():
            assert not re.search(word, line), f"{path.name}:{number}: {line.strip()}"
