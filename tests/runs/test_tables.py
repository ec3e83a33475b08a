"""A run's numbers as tables: whole, for other programs, and of its files alone."""

import csv
import math
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import metarl
from metarl.cli import main
from metarl.errors import InputError
from metarl.runs.evaluate import read_evaluation
from metarl.runs.folder import Run
from metarl.runs.pretrained import HOME

ROOT = Path(__file__).parents[2]


@pytest.fixture
def run(tmp_path):
    shutil.copytree(HOME / "point-goal-maml", tmp_path / "run")
    return Run(tmp_path / "run")


def read(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_a_row_is_a_task_after_a_budget(run, capsys):
    assert main(["export", str(run.path), "--format", "csv"]) == 0
    path = run.path / "evaluation.csv"
    assert capsys.readouterr().out == f"Written: {path}\n"
    rows, evaluation = read(path), read_evaluation(run.path / "evaluation.json")
    points = [
        (name, point.episodes, index, value)
        for name, split in evaluation.splits.items()
        for point in split.points
        for index, value in enumerate(point.returns)
    ]
    assert [
        (r["split"], float(r["episodes"]), int(r["task"]), float(r["return"]))
        for r in rows
    ] == points
    goal = dict(evaluation.splits["far"].tasks[1].values)["goal"]
    far = next(r for r in rows if r["split"] == "far" and r["task"] == "1")
    assert (float(far["goal 1"]), float(far["goal 2"])) == goal
    assert {(r["agent"], r["family"], r["seed"]) for r in rows} == {
        ("maml", "point-goal", "0")
    }
    assert "" in {r["online_return"] for r in rows}  # unknown before any episode
    assert "nan" not in path.read_text()


def test_a_row_is_an_iteration(run, tmp_path):
    out = tmp_path / "deep" / "log.csv"
    command = ["export", str(run.path), "--format", "csv", "--out", str(out)]
    assert main([*command, "--table", "metrics"]) == 0
    rows = read(out)
    assert len(rows) == len(run.metrics())
    assert [float(r["return_after"]) for r in rows] == [
        row["return_after"] for row in run.metrics()
    ]
    assert {(r["run"], r["family"], r["seed"]) for r in rows} == {
        ("maml", "point-goal", "0")
    }


def test_metrics_that_come_later_are_columns(run):
    with open(run.path / "metrics.jsonl", "a") as file:
        file.write('{"iteration": 10000, "return_before": null, "warnings/x": 3}\n')
    assert main(["export", str(run.path), "--format", "csv", "--table", "metrics"]) == 0
    first, *_, last = read(run.path / "metrics.csv")
    assert (first["warnings/x"], last["warnings/x"], last["return_before"]) == (
        *("", "3"),
        "",
    )


def test_pandas_reads_what_is_written(run):
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    for table in ("evaluation", "metrics"):
        frame = run.to_frame(table)
        for kind, reader in (("csv", "read_csv"), ("parquet", "read_parquet")):
            command = ["export", str(run.path), "--format", kind, "--table", table]
            assert main(command) == 0
            found = getattr(pandas, reader)(run.path / f"{table}.{kind}")
            pandas.testing.assert_frame_equal(found, frame, check_dtype=False)
    mean = run.to_frame().groupby(["split", "episodes"])["return"].mean()
    far = read_evaluation(run.path / "evaluation.json").splits["far"].points[-1]
    expected = math.fsum(far.returns) / len(far.returns)
    assert mean["far", far.episodes] == pytest.approx(expected)


def test_words_and_numbers_may_share_a_column_of_parquet(run, monkeypatch):
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    rows = [{"wiring": 1.0}, {"wiring": "crossed"}, {"wiring": None}]
    monkeypatch.setattr(Run, "rows", lambda self, table: rows)
    assert main(["export", str(run.path), "--format", "parquet"]) == 0
    column = pandas.read_parquet(run.path / "evaluation.parquet")["wiring"]
    assert column.iloc[:2].tolist() == ["1.0", "crossed"] and column.isna().iloc[2]


def test_a_table_needs_neither_family_nor_agent(run):
    config = (run.path / "config.json").read_text()
    elsewhere = config.replace('"point-goal"', '"/gone/robot.py:Robot"')
    elsewhere = elsewhere.replace('"maml"', '"/gone/agent.py:Agent"')
    assert elsewhere.count("/gone/") == 2
    (run.path / "config.json").write_text(elsewhere)
    code = f"""
import sys
from metarl.cli import main
for table in ("evaluation", "metrics"):
    assert main(["export", {str(run.path)!r}, "--format", "csv", "--table", table]) == 0
print([n for n in sys.modules if n.startswith(("metarl.envs.", "metarl.agents."))])
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"
    assert {r["agent"] for r in read(run.path / "metrics.csv")} == {
        "/gone/agent.py:Agent"
    }


def test_what_is_missing_is_said(run, monkeypatch, capsys):
    (run.path / "evaluation.json").unlink()
    assert main(["export", str(run.path), "--format", "csv"]) == 2
    assert f"`metarl evaluate {run.path}`" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(InputError, match="pip install pandas"):
        run.to_frame("metrics")
    with pytest.raises(InputError, match="neither 'evaluation' nor 'metrics'"):
        run.rows("moods")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    command = ["export", str(run.path), "--format", "parquet", "--table", "metrics"]
    assert main(command) == 2
    assert "pip install pyarrow" in capsys.readouterr().err
    (run.path / "metrics.jsonl").unlink()
    with pytest.raises(InputError, match="was not trained"):
        run.rows("metrics")


def test_the_recipe_of_the_page_runs(run, capsys):
    page = (ROOT / "docs/see.md").read_text()
    (block,) = (b for b in page.split("```python\n")[1:] if "to_frame" in b)
    pytest.importorskip("pandas")
    exec(block.split("```")[0], {"metarl": metarl, "run": run.path})
    assert "far" in capsys.readouterr().out
