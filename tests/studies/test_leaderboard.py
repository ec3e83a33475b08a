"""The leaderboard's table, worked out by hand."""

import csv
from pathlib import Path

import pytest
import torch

import metarl
from metarl.environment.registry import names
from metarl.errors import InputError, RunError
from metarl.runs.files import read_json, write_json
from metarl.runs.folder import Run
from metarl.studies import cells, leaderboard, leaderboard_figure
from metarl.studies import leaderboard_page as page

# Two tasks: the oracle gains 10 on one and 20 on the other.
REFERENCES = {"randomized": [[0, 0]] * 3, "oracle": [[10, 20]] * 3}
SECONDS = [[0, 0], [2, 2], [8, 6]]
TUNE = Path("nothing/tuned")


def entry(returns):
    points = [
        {"episodes": episodes, "seconds": seconds, "return": value, "success": None}
        for episodes, seconds, value in zip((0, 1, 3), SECONDS, returns, strict=True)
    ]
    return {
        "command": "metarl leaderboard",
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
    found = cells.load(results, "point-goal", TUNE)
    found_scores = cells.scores(found, "maml", "interpolation")
    assert found_scores.score.tolist() == [[[0, 0.5, 1], [0, 1, 1]]]
    # Over log(1 + episodes) = 0, 1, 2 in units of log 2: (0.25 + 0.75) / 2 and
    # (0.5 + 1) / 2; their mean.
    assert page.area(found, "maml", "interpolation").startswith("0.62 [")
    assert page.area(found, "maml", "near") == ""
    assert page.area(found, "rl2", "interpolation") == ""


def test_a_row_by_hand(results):
    found = cells.load(results, "point-goal", TUNE)
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
    found = cells.load(results, "point-goal", TUNE)
    near = "0.0 [0.0, 0.0] → 15.0 [10.0, 20.0]"
    assert page.returns(found, "maml", "near") == near
    assert page.returns(found, "maml", "far") == ""
    assert page.returns(found, "rl2", "near") == ""


def test_in_the_train_ranges_an_oracle_of_these_is_the_bound_and_both_gaps_are_shown(
    results,
):
    write_json(results / "point-goal/oracle-in-range-0.json", entry([[5, 10]] * 3))
    found = cells.load(results, "point-goal", TUNE)
    scores = cells.scores(found, "maml", "interpolation")
    assert scores.kind == "identify"
    assert scores.score.tolist() == [[[0, 1, 2], [0, 2, 2]]]  # of gaps 5 and 10
    assert page.gap_table(found, ["interpolation"])[2:] == [
        "| identify | 7.5 [5.0, 10.0] |",
        "| identify and cover | 15.0 [10.0, 20.0] |",
    ]


def test_pairs_with_the_baselines_by_hand(results):
    found = cells.load(results, "point-goal", TUNE)
    assert page.paired(found, "maml", "interpolation") == "15.0 [10.0, 20.0] *"
    assert page.paired(found, "randomized", "interpolation") == ""
    assert page.honestly_paired(found, "maml", "interpolation") == ""  # not run
    write_json(results / "point-goal/history-0.json", entry([[12, 20]] * 3))
    found = cells.load(results, "point-goal", TUNE)
    shown = page.honestly_paired(found, "maml", "interpolation")
    assert shown == "-1.0 [-2.0, 0.0]"


def test_the_table_file_has_every_cell_and_says_which_oracle_its_score_is_of(results):
    write_json(results / "point-goal/maml-10.json", entry([[5, 5]] * 3))
    (results / page.FINDINGS).write_text("Nothing to see.\n")
    page.draw(results, ("point-goal",), TUNE)
    with open(results / "scores.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {(row["agent"], row["seed"]) for row in rows} == {
        *(("maml", "0"), ("maml", "10"), ("randomized", "0"), ("oracle", "0"))
    }
    row = [r for r in rows if (r["agent"], r["seed"]) == ("maml", "0")][1]
    assert row == {
        "family": "point-goal",
        "agent": "maml",
        "seed": "0",
        "split": "interpolation",
        "episodes": "1",
        "robot_seconds": "2",
        "return": "12.5",
        "success": "",
        "score": "0.75",
        "score_kind": "identify and cover",
    }
    assert (
        "Nothing to see." in (results / "README.md").read_text().split("All agents")[0]
    )


def test_what_was_not_evaluated_is_an_empty_row(results):
    text = page.make_table(cells.columns(results, ("point-goal",), TUNE))
    assert text.count("| memory | `rl2` |  |\n") == 4  # two pairs, two areas
    assert text.count("| gradient | `maml` | 0.62 [") == 1


def test_an_area_of_fewer_seeds_than_others_have_says_so(results):
    assert (
        page.marked(cells.load(results, "point-goal", TUNE), "maml", "interpolation")[
            -1
        ]
        == "]"
    )
    write_json(results / "point-goal/oracle-1.json", entry(REFERENCES["oracle"]))
    found = cells.load(results, "point-goal", TUNE)
    assert page.marked(found, "maml", "interpolation").endswith("] ¹")
    assert page.marked(found, "oracle", "interpolation")[-1] == "]"
    assert page.marked(found, "rl2", "interpolation") == ""


def test_without_references_nothing_is_placed(results):
    (results / "point-goal/oracle-0.json").unlink()
    found = cells.load(results, "point-goal", TUNE)
    assert cells.scores(found, "maml", "interpolation") is None


def test_where_the_oracle_gains_nothing_there_is_no_score(results):
    # Better by 1 on one task, worse by 2 on the other: no scale to be placed on.
    write_json(results / "point-goal/oracle-0.json", entry([[1, -2]] * 3))
    found = cells.load(results, "point-goal", TUNE)
    assert page.area(found, "maml", "interpolation") == "nothing to gain"
    row = dict(zip(page.ADAPTATION, page.adaptation_row(found, "maml"), strict=True))
    assert row["gain"] == "yes"  # that return rose is seen without a scale
    assert row["robot time to 0.8"] == row["reached"] == ""
    page.draw(results, ("point-goal",), TUNE)


@pytest.mark.slow
def test_a_run_that_fails_leaves_its_cell_empty_and_the_others_go_on(
    tmp_path, monkeypatch
):
    def run_cell(arguments, family, agent, seed, command, settings):
        if agent == "maml":
            raise RunError("An action is NaN.")
        return cells.Cell.from_dict(entry([[0, 0], [5, 20], [10, 20]]))

    monkeypatch.setattr(leaderboard, "run_cell", run_cell)
    arguments = leaderboard.Arguments(
        families=("point-goal",), agents=("maml", "rl2"), seeds=(0,), results=tmp_path
    )
    write_json(tmp_path / "rover-goal/maml-0.json", entry([[0, 0]] * 3))
    with pytest.raises(SystemExit, match="point-goal, maml, seed 0: An action is NaN"):
        leaderboard.main(arguments)
    written = {path.name for path in (tmp_path / "point-goal").iterdir()}
    ran = (*cells.REFERENCES, "rl2")
    assert written == {f"{agent}-0.json" for agent in ran}
    text = (tmp_path / "README.md").read_text()
    assert "| memory | `rl2` |" in text
    assert "| | agent | rover-goal | point-goal |" in text  # not asked for, but there


@pytest.mark.parametrize("other", [{"tasks": 3}, {"tasks": 2, "query_episodes": 5}])
def test_cells_that_were_evaluated_in_another_way_are_not_mixed_with(results, other):
    arguments = leaderboard.Arguments(
        families=("point-goal",), results=results, **other
    )
    with pytest.raises(InputError, match=r"-0\.json was evaluated on 2 tasks"):
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


def test_only_agents_that_tuning_improves_are_run_with_other_settings(
    tmp_path, tune, monkeypatch
):
    ran = []

    def run_cell(arguments, family, agent, seed, command, settings):
        ran.append((family, agent, settings))
        return cells.Cell.from_dict(entry([[0, 0], [5, 20], [10, 20]]))

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
    assert len(ran) == 1  # a cell that is there is not run again


def test_a_family_that_nothing_was_tuned_on_is_refused(tmp_path, tune):
    arguments = leaderboard.Arguments(
        families=("rover-goal",), results=tmp_path, tuned=True, tune=tune
    )
    with pytest.raises(InputError, match="metarl tune --family rover-goal"):
        leaderboard.main(arguments)


def test_the_tuned_column_shows_defaults_that_tuning_does_not_improve(tmp_path, tune):
    for agent, returns in REFERENCES.items():
        write_json(tmp_path / f"cheetah-direction/{agent}-0.json", entry(returns))
    for agent in ("maml", "fomaml", "rl2"):
        slow = entry([[0, 0], [0, 0], [10, 20]])
        write_json(tmp_path / f"cheetah-direction/{agent}-0.json", slow)
    every = cells.columns(tmp_path, ("cheetah-direction",), tune)
    assert list(every) == ["cheetah-direction"]
    fast = entry([[10, 20]] * 3)
    write_json(tmp_path / "cheetah-direction-tuned/maml-0.json", fast)
    every = cells.columns(tmp_path, ("cheetah-direction",), tune)
    areas = {
        agent: [page.area(found, agent, "interpolation") for found in every.values()]
        for agent in ("maml", "fomaml", "rl2")
    }
    assert areas == {
        "maml": ["0.25 [0.25, 0.25]", "1.00 [1.00, 1.00]"],
        "fomaml": ["0.25 [0.25, 0.25]", "0.25 [0.25, 0.25]"],
        "rl2": ["0.25 [0.25, 0.25]", ""],  # it had no trials
    }


@pytest.mark.slow
def test_a_tuned_cell_is_trained_with_its_settings(tmp_path, tune, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arguments = leaderboard.Arguments(out=tmp_path / "runs", quick=True)
    settings = {"learning_rate": 3e-3}
    leaderboard.run_cell(arguments, "point-goal", "finetune", 0, "test", settings)
    (run,) = (tmp_path / "runs").glob("point-goal/*/*")
    _, trained, _ = Run(run).load()
    assert trained.config.learning_rate == 3e-3
    # An agent that shares a run by default has one of its own.
    assert run.parent.name == "finetune"


@pytest.mark.parametrize(("agent", "base"), leaderboard.TRAINED_AS.items())
def test_a_shared_run_has_learnt_what_a_run_of_its_own_would(agent, base, tmp_path):
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
    shared = leaderboard.transfer_weights(other, agent)
    assert type(shared) is type(own)
    assert shared.config == own.config
    assert shared.seed == own.seed
    (expected, plain), (tensors, others) = own.state(), shared.state()
    assert others == plain
    torch.testing.assert_close(tensors, expected, rtol=0, atol=0)


def test_a_cell_is_written_as_it_is_read(results):
    plain = read_json(results / "point-goal/maml-0.json")
    cells.Cell.from_dict(plain).write(results / "again.json")
    again = read_json(results / "again.json")
    assert again["splits"]["interpolation"] == [
        {**point, "diverged": 0} for point in plain["splits"]["interpolation"]
    ]
    with pytest.raises(InputError, match=r"x\.json.*splits\.near\[0\]\.episodes"):
        cells.Cell.from_dict({**plain, "splits": {"near": [{}]}}, "x.json")


@pytest.mark.parametrize("edition", ["leaderboard", "leaderboard_first"])
def test_every_published_cell_is_read_and_shown(edition):
    results = Path(__file__).parents[2] / "results"
    families = ("cheetah-dynamics", "quadruped-battery", *leaderboard.STEPS)
    every = cells.columns(results / edition, families, results / "tune")
    page.make_table(every)
    known = {
        agent
        for group in cells.classes(list(names("agents"))).values()
        for agent in group
    }
    assert known >= {"maml", "rl2", "metanet", "siamese", "es-maml", "scratch"}
    for column in every.values():
        assert set(column) <= known | set(cells.GAPS)


def test_a_panel_without_its_baselines_does_not_say_that_there_is_nothing_to_gain():
    one = cells.Cell.from_dict(entry([[0, 0], [5, 20], [10, 20]]))
    flat = {name: [cells.Cell.from_dict(entry([[0, 0]] * 3))] for name in REFERENCES}
    for column, said in (
        ({"maml": [one]}, "its baselines were not run"),
        ({"maml": [one], **flat}, "nothing to gain"),
    ):
        figure = leaderboard_figure.make_figure({"x": column}, {"gradient": ["maml"]})
        assert [text.get_text() for text in figure.axes[0].texts] == [said]


def test_every_agent_of_a_class_is_drawn_and_looks_different():
    group = [f"agent-{place}" for place in range(9)]
    one = cells.Cell.from_dict(entry([[0, 0], [5, 20], [10, 20]]))
    column = {
        agent: [cells.Cell.from_dict(entry(r))] for agent, r in REFERENCES.items()
    }
    column |= {agent: [one] for agent in group}
    figure = leaderboard_figure.make_figure({"made-up": column}, {"gradient": group})
    (legend,) = [axes.get_legend() for axes in figure.axes if axes.get_legend()]
    assert [text.get_text() for text in legend.get_texts()] == group
    looks = [leaderboard_figure.look("gradient", place) for place in range(9)]
    assert len({(look["marker"], look["linestyle"]) for look in looks}) == 9
