"""Runs of earlier versions are evaluated to the same numbers, and go on."""

import shutil
from pathlib import Path

import pytest

from metarl.evaluation.protocol import evaluate
from metarl.runs.folder import Run
from metarl.runs.train import resume

EARLIER = Path(__file__).parent / "earlier_randomized"
"""`randomized` on point-goal, trained by Stable-Baselines3's PPO."""


def test_a_policy_of_stable_baselines3_acts_as_it_did():
    _, agent, _ = Run(EARLIER).load()
    options = {"tasks": 3, "budgets": (0,), "query_episodes": 2}
    results = evaluate(agent, agent.family, splits=["interpolation", "far"], **options)
    # What the version that trained it printed.
    assert results.splits["interpolation"].points[0].returns == pytest.approx(
        (-2.2267582416534424, -6.282395839691162, -5.1296000480651855), abs=1e-5
    )
    assert results.splits["far"].points[0].returns == pytest.approx(
        (-14.878440856933594, -15.702377319335938, -14.697819709777832), abs=1e-5
    )


def test_a_training_with_stable_baselines3_goes_on(tmp_path):
    shutil.copytree(EARLIER, tmp_path / "run")
    before = Run(tmp_path / "run").load()[1]
    run = resume(tmp_path / "run", steps=480, quiet=True)
    _, after, state = run.load()
    assert state["sampler"]["control_steps"] == 480
    # Adam, normalization and simulations go on; nothing starts afresh.
    moments = [t for n, t in after.state()[0].items() if n.endswith("/step")]
    assert {int(step) for step in moments} == {6 * 16}
    assert after.observed.count == pytest.approx(float(before.observed.count) + 320)
