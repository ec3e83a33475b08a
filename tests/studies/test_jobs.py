"""Studies on a cluster: the numbers of one process, whatever is killed."""

import json
import os
import signal
import threading
import time

import pytest
from nodes import nodes, ray
from tiny import CONFIGS

from metarl.errors import InputError, LockedError, RunError
from metarl.learning.cluster import connected
from metarl.runs.files import read_json, write_json
from metarl.studies import leaderboard, sweep, tune
from metarl.studies.jobs import Job, results

SMALL = {"tasks": 2, "episodes": 1, "query_episodes": 1, "splits": ("far",)}


@pytest.fixture(scope="module")
def local():
    with connected("local", 2):
        yield


def answer(value, folder=None):
    """What a job does, in another process; raises a `RunError` where it is below 0."""
    if folder and not (folder / "begun").exists():
        (folder / "begun").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    if folder and not (folder / "locked").exists():
        (folder / "locked").touch()
        raise LockedError("It is being trained by another process.")
    if value < 0:
        raise RunError(f"{value} is below 0.")
    return value * value


def test_jobs_outlive_a_kill_and_a_lock_and_tell_of_their_errors(local, tmp_path):
    jobs = [Job(answer, (2, tmp_path)), Job(answer, (-1,)), Job(answer, (3,), after=1)]
    # Functions of tests are no module elsewhere.
    ray.cloudpickle.register_pickle_by_value(__import__(__name__))
    found = dict(results(jobs, "local", 1, lambda done: f"{done} of 3"))
    assert found[0] == 4 and found[2] == 9
    assert isinstance(found[1], RunError) and str(found[1]) == "-1 is below 0."
    assert (tmp_path / "locked").exists()


def test_more_cores_than_there_are_are_refused(local):
    with pytest.raises(InputError, match="not 9999 for each"):
        list(results([], "local", 9999, str))
    with pytest.raises(InputError, match="too few"):
        list(results([], "local", 0, str))


def swept(folder, cluster=""):
    config = {"family_options": {"horizon": 10}, "agent_config": CONFIGS["maml"]}
    write_json(folder / "config.json", config)
    sweep.main(
        sweep.Arguments(
            "point-goal",
            "maml",
            (1, 2),
            steps=500,
            config=folder / "config.json",
            out=folder,
            cluster=cluster,
            **SMALL,
        )
    )
    return read_json(folder / "point-goal/maml/summary.json")


def test_a_sweep_summarizes_its_seeds_and_trains_none_again(tmp_path):
    found = swept(tmp_path)
    assert [row["episodes"] for row in found["rows"]] == [0, 1]
    assert found["seeds"] == [1, 2] and len(found["rows"][0]["seeds"]) == 2
    page = (tmp_path / "point-goal/maml/summary.md").read_text()
    assert page.count("| far |") == 2
    assert swept(tmp_path)["rows"] == found["rows"]
    runs = list(tmp_path.glob("point-goal/maml/*/config.json"))
    assert [read_json(path)["family_options"] for path in runs] == 2 * [{"horizon": 10}]


@pytest.mark.slow
def test_a_sweep_on_a_cluster_has_the_numbers_of_one_process(local, tmp_path):
    here, there = swept(tmp_path / "here"), swept(tmp_path / "there", "local")
    assert here["rows"] == there["rows"]


@pytest.mark.slow
def test_a_search_on_a_cluster_tries_what_one_process_tries(local, tmp_path):
    def tuned(folder, cluster):
        out = tmp_path / folder
        arguments = tune.Arguments(
            "point-goal", "es-maml", 3, out=out, parallel=2, cluster=cluster, quick=True
        )
        tune.main(arguments)
        return read_json(out / "quick/point-goal-es-maml.json")

    assert tuned("here", "")["tried"] == tuned("there", "local")["tried"]


@pytest.mark.slow
def test_killed_nodes_change_no_number_of_a_leaderboard(tmp_path):
    if ray.is_initialized():
        ray.shutdown()

    def board(folder, cluster=""):
        arguments = leaderboard.Arguments(
            families=("point-goal",),
            agents=("finetune",),
            seeds=(0,),
            out=tmp_path / folder,
            quick=True,
            cluster=cluster,
            checkpoint_seconds=0.5,
        )
        leaderboard.main(arguments)
        cells = (tmp_path / folder / "quick/point-goal").glob("*.json")
        plain = {path.stem: json.loads(path.read_text()) for path in cells}
        for cell in plain.values():
            cell.pop("cpu_hours")
        return plain

    def kill(made):
        for trained in ("randomized", "oracle"):
            pattern = f"there/point-goal/{trained}/*/checkpoints/step_*"
            while not list(tmp_path.glob(pattern)):
                time.sleep(0.05)
            made.kill()

    undisturbed = board("here")
    with nodes(3) as made:
        killer = threading.Thread(target=kill, args=(made,))
        killer.start()
        disturbed = board("there", made.address)
        killer.join()
        assert len(made.alive) == 1
    assert disturbed == undisturbed and len(undisturbed) == 4
