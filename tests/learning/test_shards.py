"""Shards: the same cuts and numbers whoever samples them."""

import pytest
import torch
from tiny import CONFIGS

import metarl
from metarl.environment.collect import collect
from metarl.environment.environments import Environments
from metarl.environment.registry import make_family, names
from metarl.errors import InputError
from metarl.learning.agent import find_agent
from metarl.learning.policies import GaussianPolicy
from metarl.learning.sampler import Sampler
from metarl.learning.shards import joined, packed, sample, shards


def trained(agent, shard, iterations=2):
    family = make_family("point-goal", horizon=12)
    config = find_agent(agent).Config(**CONFIGS[agent])
    made = find_agent(agent)(family, config, 0)
    made.normalizer.enabled = not made.normalizes
    sampler = Sampler(family, 0, made.observes_task, shard=shard)
    for _ in range(iterations):
        made.train_step(sampler)
        sampler.iteration += 1
    return made.save()[0], sampler.state()


@pytest.mark.parametrize("agent", list(names("agents")))
def test_every_agent_trains_in_shards_or_is_refused(agent):
    kind = find_agent(agent)
    if not kind.trains:
        return
    if kind.continues:
        with pytest.raises(InputError, match="Leave out --workers"):
            trained(agent, shard=4)
        return
    (whole, counts), (cut, same) = trained(agent, 0), trained(agent, 4)
    assert counts == same  # as many control steps, as many tasks
    for name, tensor in whole.items():  # but for rounding
        torch.testing.assert_close(cut[name], tensor, rtol=1e-2, atol=1e-3, msg=name)


def test_cuts_depend_on_tasks_and_copies_alone_and_are_of_nearly_equal_size():
    tasks = make_family("point-goal").tasks("train", 10)
    cut = shards(tasks, 20, 0, None, 80)
    assert [len(shard.tasks) for shard in cut] == [3, 3, 4]
    assert [task for shard in cut for task in shard.tasks] == tasks
    assert torch.cat([shard.noise_ids for shard in cut]).tolist() == list(range(10))
    assert len(shards(tasks, 200, 0, None, 80)) == 10  # a task is never cut


def test_shards_draw_the_numbers_of_their_places_in_any_order():
    family = make_family("point-goal")
    agent = find_agent("maml")(family, find_agent("maml").Config(), 0)
    tasks = family.tasks("train", 5)
    start = {n: p.expand(5, *p.shape) for n, p in agent.learnt["start"].items()}
    policy, ids = GaussianPolicy(start, agent.normalizer), torch.tensor([4, 4, 2, 1, 0])
    cut = shards(tasks, 2, 3, ids, 4)
    environments = Environments(family)
    found = [sample(environments, packed(policy, 5), cut[i]) for i in (2, 0, 1)]
    again = joined(policy, [found[1], found[2], found[0]])
    environment = Environments(family)(tasks, 2)
    environment.set_noise_ids(ids)
    whole = collect(environment, policy, 3)
    torch.testing.assert_close(again.observation, whole.observation)
    torch.testing.assert_close(again.metrics, whole.metrics)
    assert again.length.equal(whole.length)


def test_a_policy_without_parts_is_refused_by_its_name():
    class Still:
        def act(self, time_step):
            return time_step.noise * 0

    family = make_family("point-goal", horizon=5)
    sampler = Sampler(family, 0, shard=10)
    with pytest.raises(InputError, match=r"Still has no part\(tasks\)"):
        sampler.collect(sampler.tasks(2), 2, Still(), "round")


@pytest.mark.parametrize(
    ("agent", "reason"), [("oracle", "run on"), ("random", "noth")]
)
def test_agents_that_cannot_use_workers_are_refused_before_a_folder_is_made(
    tmp_path, agent, reason
):
    with pytest.raises(InputError, match=reason) as error:
        metarl.train("point-goal", agent, workers=2, out=tmp_path)
    assert agent in str(error.value)
    assert not list(tmp_path.iterdir())


def test_workers_have_no_gpu(tmp_path):
    pytest.importorskip("mujoco_warp")
    with pytest.raises(InputError, match="by mujoco, not by warp"):
        metarl.train("point-goal", "maml", workers=2, backend="warp", device="cpu")


def test_a_run_without_workers_does_not_go_on_with_them(tmp_path):
    run = metarl.train(
        "point-goal", "maml", steps=1, out=tmp_path, agent_config=CONFIGS["maml"]
    )
    with pytest.raises(InputError, match="trained without workers"):
        metarl.runs.train.resume(run.path, workers=2)


def test_without_ray_one_message_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(InputError, match=r"pip install 'metarl-suite\[ray\]'"):
        metarl.train("point-goal", "maml", workers=2, out=tmp_path)
    assert not list(tmp_path.iterdir())
