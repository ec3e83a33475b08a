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


RETURNS = {
    "rl2": [
        (-3.5068145990371704, -10.063119411468506, -5.547278165817261),
        (-3.512853264808655, -10.06917667388916, -5.552954196929932),
    ],
    "mann": [
        (-3.530402898788452, -10.06782341003418, -5.513235807418823),
        (-3.5154730081558228, -10.183158874511719, -5.612361907958984),
    ],
}
"""Of recurrent agents from before they had a head and a critic of their own."""


@pytest.mark.parametrize(("agent", "steps"), [("rl2", 30), ("mann", 15)])
def test_a_recurrent_run_acts_as_it_did_and_goes_on(agent, steps, tmp_path):
    shutil.copytree(EARLIER.with_name(f"earlier_{agent}"), tmp_path / "run")
    family, trained, _ = Run(tmp_path / "run").load()
    assert (trained.config.head, trained.config.critic) == ("linear", "linear")
    options = {"tasks": 3, "budgets": (0, 2), "query_episodes": 2}
    result = evaluate(trained, family, splits=["interpolation"], **options)
    points = result.splits["interpolation"].points
    for point, returns in zip(points, RETURNS[agent], strict=True):
        assert point.returns == pytest.approx(returns, abs=1e-5)
    run = resume(tmp_path / "run", steps=200, quiet=True)
    _, after, state = run.load()
    assert state["sampler"]["iteration"] == 3
    made = [int(t) for n, t in after.state()[0].items() if n.endswith("/step")]
    assert set(made) == {steps}  # Adam goes on
