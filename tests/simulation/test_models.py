"""Compiled models are kept within bytes, and cross processes without them."""

import pickle

import pytest
from carts import Cart

from metarl.simulation.engine import mujoco
from metarl.simulation.models import TaskModels


@pytest.fixture
def family():
    return Cart()


def models(family, limit):
    return TaskModels(family.build, (), family.space, limit)


def test_a_model_is_compiled_once(family):
    kept, task = models(family, 2**20), family.task(mass=1.5)
    assert kept(task) is kept(task)
    assert kept(task).body("cart").mass[0] == 1.5
    assert kept.nominal is kept(family.task())


def test_models_are_kept_within_bytes_and_the_oldest_go_first(family):
    size = mujoco.mj_sizeModel(family.models.nominal)
    kept = models(family, 3 * size)
    first, *others = family.tasks("train", 5)
    model = kept(first)
    for task in others[:2]:
        kept(task)
    assert kept(first) is model  # which makes it the newest
    for task in others[2:]:
        kept(task)
        assert kept.bytes <= 3 * size
    assert kept(first) is model
    assert kept.bytes <= 3 * size


def test_one_model_is_kept_however_large(family):
    kept, task = models(family, 1), family.task(mass=1.5)
    assert kept(task) is kept(task)


def test_a_family_crosses_processes_without_its_models(family):
    model = family.models(family.task(mass=1.5))
    again = pickle.loads(pickle.dumps(family))
    assert again.models.bytes == 0
    assert (
        again.models(again.task(mass=1.5)).body("cart").mass == model.body("cart").mass
    )


def test_a_training_builds_the_environments_that_it_uses(monkeypatch, tmp_path):
    import metarl
    from metarl.environment.environment import Environment

    made = []
    build = Environment.__init__

    def counted(self, family, tasks, copies=1, **options):
        made.append((len(tasks), copies))
        build(self, family, tasks, copies, **options)

    monkeypatch.setattr(Environment, "__init__", counted)
    config = {"tasks": 3, "episodes": 4, "hidden": (8,)}
    options = {"agent_config": config, "out": tmp_path, "quiet": True}
    options["family_options"] = {"horizon": 10}
    metarl.train("rover-goal", "maml", steps=500, **options)
    assert made == [(3, 4)]
    made.clear()
    config = {"simulations": 8, "rollout": 10, "pool": 5, "hidden": (8,)}
    metarl.train(
        "rover-goal", "oracle", steps=500, **{**options, "agent_config": config}
    )
    assert made == [(8, 1)]
