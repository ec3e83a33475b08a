"""What the page about robots shows runs, and so does its example."""

import re
import runpy
import sys
from pathlib import Path

import pytest

import metarl
from metarl.runs.pretrained import HOME

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/robot.md").read_text()
EXAMPLE = ROOT / "experiments/on_the_robot.py"


def test_the_code_of_the_page_runs(capsys):
    hardware = runpy.run_path(str(ROOT / "experiments/robot/hardware.py"))
    robot = hardware["PointRobot"](goal=(0.4, -0.3), latency=0.02)
    names = {"run": HOME / "point-goal-maml", "robot": robot}
    for block in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
        exec(compile(block, "robot.md", "exec"), names)
    printed = capsys.readouterr().out
    assert len(re.findall("True$", printed, re.M)) == 20
    assert len(re.findall("False$", printed, re.M)) == 4
    assert "('x / m', 'y / m')" in printed
    assert len(names["adapter"].curve) == 24


def test_the_page_names_every_call():
    for name in vars(metarl.Adapter):
        assert name.startswith("_") or name in ("round_size",) or f"{name}" in PAGE, (
            name
        )


@pytest.mark.slow
def test_an_agent_adapts_to_a_robot_in_another_process(tmp_path, monkeypatch):
    arguments = ["--latency", "0.002", "--out", str(tmp_path)]

    def rows(*more):
        monkeypatch.setattr(sys, "argv", [str(EXAMPLE), *arguments, *more])
        runpy.run_path(str(EXAMPLE), run_name="__main__")
        page = (tmp_path / "curve.md").read_text()
        return re.findall(r"^\| \d+ \| (\w+) \| (-?[\d.]+)", page, re.M)

    first = rows("--deployed", "1")
    curve = rows("--deployed", "3")  # it goes on
    assert curve[:21] == first and len(curve) == 23
    returns = [float(r) for _, r in curve]
    assert [policy for policy, _ in curve] == ["adapting"] * 20 + ["deployed"] * 3
    assert min(returns[20:]) > max(returns[:20]) + 20
