"""The tutorial notebook is stored without outputs, and all of its cells run."""

import json
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NOTEBOOK = ROOT / "docs/tutorial.ipynb"
CELLS = json.loads(NOTEBOOK.read_text())["cells"]


def test_it_holds_no_outputs():
    for cell in CELLS:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == [], cell["id"]
            assert cell["execution_count"] is None, cell["id"]


def test_its_links_exist():
    prose = "".join("".join(c["source"]) for c in CELLS if c["cell_type"] != "code")
    links = re.findall(r"\]\(([^)#]+)\)", prose)
    assert links
    for target in links:
        assert (NOTEBOOK.parent / target).exists(), target


@pytest.fixture
def kernel(tmp_path, monkeypatch):
    """A kernel of this interpreter and this checkout, whatever a user has installed."""
    folder = tmp_path / "jupyter" / "kernels" / "this"
    folder.mkdir(parents=True)
    command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    about = {"argv": command, "display_name": "this", "language": "python"}
    (folder / "kernel.json").write_text(json.dumps(about))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "runtime"))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    return folder.name


@pytest.mark.slow
def test_all_of_its_cells_run_and_the_agent_adapts(kernel, tmp_path):
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    work = tmp_path / "work"
    work.mkdir()
    nbclient.NotebookClient(
        notebook,
        timeout=600,
        kernel_name=kernel,
        resources={"metadata": {"path": str(work)}},
    ).execute()
    printed = {
        cell.id: "".join(o.text for o in cell.outputs if o.output_type == "stream")
        for cell in notebook.cells
        if cell.cell_type == "code"
    }
    assert "\n0 checks failed." in printed["checked"]
    for cell in ("evaluation", "adapter"):
        before, after = map(float, re.findall(r"(-\d+\.\d)", printed[cell]))
        assert after > before, printed[cell]
    assert not list(work.iterdir())  # its runs are in a folder of their own
