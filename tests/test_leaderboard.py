"""The leaderboard's table, worked out by hand."""

import sys
from pathlib import Path

import pytest
import torch

import metarl
from metarl.errors import InputError, RunError
from metarl.files import read_json, write_json
from metarl.runs.folder import Run

sys.path.insert(0, str(Path(__file__).parents[1] / "experiments"))
import leaderboard
import leaderboard_page as page

# Two tasks: the oracle is worth 10 on one and 20 on the other.
REFERENCES = {"randomized": [[0, 0]] * 3, "oracle": [[10, 20]] * 3}
SECONDS = [[0, 0], [2, 2], [8, 6]]
TUNE = Path("nothing/tuned")


def entry(returns):
    points = [
        {"episodes": episodes, "seconds": seconds, "return": value, "success": None}
        for episodes, seconds, value in zip((0, 1, 3), SECONDS, returns, strict=True)
    ]
    return {
        "command": "python experiments/leaderboard.py",
        "control_steps": 2_000_000,
        "cpu_hours": 0.5,
        "splits": {"interpolation": points},
    }


@pytest.fixture
def results(tmp_path):
    for agent, returns in REFERENCES.items():
        write_json(tmp_path / f"point-goal/{agent}-0.json", entry(returns))
    # Scores 0, 0.5 and 1 of the first task; 0, 1 and 1 of the second.
    agent = entry([[0, 0], [5, 20], [10, 20]])
    write_json(tmp_path / "point-goal/maml-0.json", agent)
    return tmp_path


def test_scores_and_area_by_hand(results):
    found = page.load(results, "point-goal", TUNE)
    judged = page.scores(found, "maml", "interpolation")
    assert judged.score.tolist() == [[[0, 0.5, 1], [0, 1, 1]]]
    # Over log(1 + episodes) = 0, 1, 2 in units of log 2: (0.25 + 0.75) / 2 and
    # (0.5 + 1) / 2; their mean.
    assert page.area(found, "maml", "interpolation").startswith("0.62 [")
    assert page.area(found, "maml", "near") == ""
    assert page.area(found, "rl2", "interpolation") == ""


def test_a_row_by_hand(results):
    found = page.load(results, "point-goal", TUNE)
    row = page.adaptation_row(found, "maml")
    assert dict(zip(page.ADAPTATION, row, strict=True)) == {
        "before": "0.0 [0.0, 0.0]",
        "after": "15.0 [10.0, 20.0]",
        "gain": "yes",
        "robot time to 0.8": "5 s",  # 8 s and 2 s
        "reached": "100%",
        "worse": "0%",
        "worst 5 %": "10",
        "seeds": "1",
        "meta-steps": "2.0M",
        "CPU hours": "0.50",
    }
    assert page.adaptation_row(found, "rl2") == []


def test_returns_on_held_out_splits_by_hand(results):
    for path in results.glob("point-goal/*.json"):
        plain = read_json(path)
        plain["splits"] = {"near": plain["splits"]["interpolation"]}
        write_json(path, plain)
    found = page.load(results, "point-goal", TUNE)
    near = "0.0 [0.0, 0.0] → 15.0 [10.0, 20.0]"
    assert page.return_row(found, "maml") == [near, "", ""]
    assert page.return_row(found, "rl2") == ["", "", ""]


def test_what_was_not_judged_is_an_empty_row(results):
    text = page.make_table(page.columns(results, ("point-goal",), TUNE))
    assert text.count("| memory | `rl2` |  |\n") == 2
    assert text.count("| gradient | `maml` | 0.62 [") == 1


def test_an_area_of_fewer_seeds_than_others_have_says_so(results):
    assert (
        page.marked(page.load(results, "point-goal", TUNE), "maml", "interpolation")[-1]
        == "]"
    )
    write_json(results / "point-goal/oracle-1.json", entry(REFERENCES["oracle"]))
    found = page.load(results, "point-goal", TUNE)
    assert page.marked(found, "maml", "interpolation").endswith("] ¹")
    assert page.marked(found, "oracle", "interpolation")[-1] == "]"
    assert page.marked(found, "rl2", "interpolation") == ""


def test_without_references_nothing_is_placed(results):
    (results / "point-goal/oracle-0.json").unlink()
    found = page.load(results, "point-goal", TUNE)
    assert page.scores(found, "maml", "interpolation") is None


def test_where_knowing_the_robot_is_worth_nothing_there_is_no_score(results):
    # Better by 1 on one task, worse by 2 on the other: no scale to be placed on.
    write_json(results / "point-goal/oracle-0.json", entry([[1, -2]] * 3))
    found = page.load(results, "point-goal", TUNE)
    assert page.area(found, "maml", "interpolation") == "nothing to gain"
    row = dict(zip(page.ADAPTATION, page.adaptation_row(found, "maml"), strict=True))
    assert row["gain"] == "yes"  # that return rose is seen without a scale
    assert row["robot time to 0.8"] == row["reached"] == ""
    page.draw(results, ("point-goal",), TUNE)


def test_a_run_that_fails_leaves_its_cell_empty_and_the_others_go_on(
    tmp_path, monkeypatch
):
    def run_cell(arguments, family, agent, seed, command, settings):
        if agent == "maml":
            raise RunError("An action is NaN.")
        return entry([[0, 0], [5, 20], [10, 20]])

    monkeypatch.setattr(leaderboard, "run_cell", run_cell)
    arguments = leaderboard.Arguments(
        families=("point-goal",), agents=("maml", "rl2"), seeds=(0,), results=tmp_path
    )
    write_json(tmp_path / "rover-goal/maml-0.json", entry([[0, 0]] * 3))
    with pytest.raises(SystemExit, match="point-goal, maml, seed 0: An action is NaN"):
        leaderboard.main(arguments)
    judged = {path.name for path in (tmp_path / "point-goal").iterdir()}
    assert judged == {"randomized-0.json", "oracle-0.json", "rl2-0.json"}
    text = (tmp_path / "README.md").read_text()
    assert "| memory | `rl2` |" in text
    assert "| | agent | point-goal | rover-goal |" in text  # not asked for, but there


@pytest.mark.parametrize("other", [{"tasks": 3}, {"tasks": 2, "query_episodes": 5}])
def test_cells_that_were_judged_in_another_way_are_not_mixed_with(results, other):
    arguments = leaderboard.Arguments(
        families=("point-goal",), results=results, **other
    )
    with pytest.raises(InputError, match=r"-0\.json was judged on 2 tasks"):
        leaderboard.main(arguments)


@pytest.fixture
def tune(tmp_path):
    """Tuning gains `maml` 30 and `fomaml` 9; `rl2` and `oracle` were not tuned."""
    folder = tmp_path / "tune"
    gains = {"randomized": 0, "maml": 30, "fomaml": 9}
    for agent, gain in gains.items():
        plain = {
            "defaults": {"value": 50, "settings": {"inner_lr": 0.1}},
            "best": {"value": 50 + gain, "settings": {"inner_lr": 0.3}},
        }
        write_json(folder / f"cheetah-direction-{agent}.json", plain)
    return folder


def test_only_agents_that_tuning_betters_are_run_with_other_settings(
    tmp_path, tune, monkeypatch
):
    ran = []

    def run_cell(arguments, family, agent, seed, command, settings):
        ran.append((family, agent, settings))
        return entry([[0, 0], [5, 20], [10, 20]])

    monkeypatch.setattr(leaderboard, "run_cell", run_cell)
    arguments = leaderboard.Arguments(
        families=("cheetah-direction",),
        seeds=(0,),
        tasks=2,
        results=tmp_path,
        tuned=True,
        tune=tune,
    )
    leaderboard.main(arguments)
    assert ran == [("cheetah-direction", "maml", {"inner_lr": 0.3})]
    assert (tmp_path / "cheetah-direction-tuned/maml-0.json").exists()
    leaderboard.main(arguments)
    assert len(ran) == 1  # a cell that was judged is not run again


def test_a_family_that_nothing_was_tuned_on_is_refused(tmp_path, tune):
    arguments = leaderboard.Arguments(
        families=("rover-goal",), results=tmp_path, tuned=True, tune=tune
    )
    with pytest.raises(InputError, match=r"tune\.py --family rover-goal"):
        leaderboard.main(arguments)


def test_the_tuned_column_shows_defaults_that_tuning_does_not_better(tmp_path, tune):
    for agent, returns in REFERENCES.items():
        write_json(tmp_path / f"cheetah-direction/{agent}-0.json", entry(returns))
    for agent in ("maml", "fomaml", "rl2"):
        slow = entry([[0, 0], [0, 0], [10, 20]])
        write_json(tmp_path / f"cheetah-direction/{agent}-0.json", slow)
    every = page.columns(tmp_path, ("cheetah-direction",), tune)
    assert list(every) == ["cheetah-direction"]
    fast = entry([[10, 20]] * 3)
    write_json(tmp_path / "cheetah-direction-tuned/maml-0.json", fast)
    every = page.columns(tmp_path, ("cheetah-direction",), tune)
    areas = {
        agent: [page.area(found, agent, "interpolation") for found in every.values()]
        for agent in ("maml", "fomaml", "rl2")
    }
    assert areas == {
        "maml": ["0.25 [0.25, 0.25]", "1.00 [1.00, 1.00]"],
        "fomaml": ["0.25 [0.25, 0.25]", "0.25 [0.25, 0.25]"],
        "rl2": ["0.25 [0.25, 0.25]", ""],  # it had no trials
    }


def test_a_tuned_cell_is_trained_with_its_settings(tmp_path, tune, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arguments = leaderboard.Arguments(out=tmp_path / "runs", quick=True)
    settings = {"learning_rate": 3e-3}
    leaderboard.run_cell(arguments, "point-goal", "finetune", 0, "test", settings)
    (run,) = (tmp_path / "runs").glob("point-goal/*/*")
    _, trained, _ = Run(run).load()
    assert trained.config.learning_rate == 3e-3
    # Whoever shares a run by default has one of its own.
    assert run.parent.name == "finetune"


@pytest.mark.parametrize(("agent", "base"), leaderboard.TRAINED_AS.items())
def test_who_shares_a_run_has_learnt_what_its_own_would_teach(agent, base, tmp_path):
    small = {"simulations": 8, "rollout": 12, "pool": 5, "hidden": (8,)}
    (_, own), (_, other) = (
        metarl.load(
            metarl.train(
                "point-goal",
                name,
                steps=300,
                out=tmp_path,
                family_options={"horizon": 12},
                agent_config=small,
                quiet=True,
            )
        )
        for name in (agent, base)
    )
    shared = leaderboard.taught_by(other, agent)
    assert type(shared) is type(own)
    assert shared.config == own.config
    assert shared.seed == own.seed
    (expected, plain), (tensors, others) = own.state(), shared.state()
    assert others == plain
    torch.testing.assert_close(tensors, expected, rtol=0, atol=0)
