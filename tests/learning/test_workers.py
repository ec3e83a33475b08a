"""Training with Ray's workers: the same bits for any number of them, dead or alive."""

import os
import signal
import threading
import time

import pytest
from nodes import nodes, ray
from tiny import CONFIGS

import metarl
from metarl.runs.checkpoint import weights_sha256
from metarl.runs.folder import Run
from metarl.runs.train import resume

pytestmark = pytest.mark.filterwarnings("ignore:.*have nothing to do")


@pytest.fixture(scope="module")
def cluster():
    with nodes(3) as made:
        yield made


def train(out, workers, cluster="local", steps=40_000, agent="maml"):
    run = metarl.train(
        "point-goal",
        agent,
        steps=steps,
        out=out,
        agent_config=CONFIGS[agent] | {"tasks": 5},
        workers=workers,
        shard=4,
        cluster=cluster,
        quiet=True,
    )
    return run, weights_sha256(run.checkpoints)


def test_workers_give_the_bits_that_one_process_gives_from_the_same_shards(tmp_path):
    run, found = train(tmp_path, 2, steps=10_000)
    assert not ray.is_initialized()
    assert run.config.workers == 2 and run.config.shard == 4
    assert run.metrics()[-1]["cpu_seconds"] > 0
    again = Run.create(run.config, tmp_path / "again")
    resume(again.path, workers=0, quiet=True)  # without Ray
    assert weights_sha256(again.checkpoints) == found


@pytest.mark.slow
def test_killed_nodes_and_workers_change_no_bit(tmp_path, cluster):
    ray.init(cluster.address, log_to_driver=False, logging_level="error")
    try:
        found = [train(tmp_path, workers)[1] for workers in (1, 2)]
        before, killed = set(tmp_path.glob("point-goal/maml/*/metrics.jsonl")), []
        kills = threading.Thread(
            target=interfere, args=(tmp_path, cluster, before, killed)
        )
        kills.start()
        found.append(train(tmp_path, 3)[1])
        kills.join()
    finally:
        ray.shutdown()
    assert len(set(found)) == 1
    assert killed == ["node", "worker"]


def interfere(out, cluster, before, killed):
    """Kill a node for good and then a worker, each while episodes are collected."""
    for what, rows in (("node", 1), ("worker", 4)):
        while True:
            new = set(out.glob("point-goal/maml/*/metrics.jsonl")) - before
            if any(file.read_text().count("\n") >= rows for file in new):
                break
            time.sleep(0.02)
        if what == "node":
            cluster.kill()
        else:
            os.kill(workers_of_ray()[0], signal.SIGKILL)
        killed.append(what)


def workers_of_ray():
    """Processes of this user's that run a `_Worker` for a node of this process."""
    found = []
    for folder in os.listdir("/proc"):
        if folder.isdigit():
            try:
                with open(f"/proc/{folder}/cmdline") as file:
                    if file.read().startswith("ray::_Worker"):
                        found.append(int(folder))
            except OSError:
                pass  # it is gone
    return found
