"""`metarl compare` reads folders, and nothing else."""

import csv
import io

import pytest
from synthetic import run_folder

import metarl
from metarl.cli import main
from metarl.errors import InputError


@pytest.fixture
def runs(tmp_path):
    return [
        run_folder(tmp_path / f"{agent}-{seed}", agent, seed)
        for agent in ("maml", "randomized")
        for seed in (0, 1)
    ]


def test_seeds_of_one_agent_are_taken_together(runs):
    rows = metarl.compare(runs, splits=["far"])
    assert {(row.first, row.second) for row in rows} == {("maml", "randomized")}
    assert [row.episodes for row in rows] == [0, 1, 2, 5, 10, 20]


def test_the_command_prints_a_table_and_csv(runs, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")
    folders = list(map(str, runs))
    assert main(["compare", *folders, "--splits", "far", "--measure", "success"]) == 0
    assert "success: first - second" in capsys.readouterr().out
    assert main(["compare", *folders, "--csv", "--against", "randomized"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert len(rows) == 3 * 6
    row = rows[-1]
    assert float(row["low"]) <= float(row["difference"]) <= float(row["high"])


def test_what_is_missing_is_said(tmp_path, runs, capsys):
    bare = run_folder(tmp_path / "bare", "rl2", evaluated=False)
    with pytest.raises(InputError, match=r"was not evaluated\. Run metarl evaluate"):
        metarl.compare([*runs, bare])
    assert main(["compare", str(runs[0])]) == 2
    assert "two agents" in capsys.readouterr().err
