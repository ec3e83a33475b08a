"""Filming a run: what is recorded, and that the film can be played."""

import av
import numpy as np
import pytest
from PIL import Image

import metarl
from metarl.pictures.gl import why_no_gl
from metarl.pictures.record import record

TINY = {"tasks": 3, "episodes": 4, "hidden": (8,)}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return metarl.train(
        "point-goal",
        "maml",
        steps=100,
        out=tmp_path_factory.mktemp("runs"),
        family_options={"horizon": 10},
        agent_config=TINY,
        quiet=True,
    )


def test_takes_start_alike_and_differ_after_adaptation(run):
    family, agent = metarl.load(run)
    before, after = record(agent, family, family.task(goal=(0.4, -0.2)), (0, 4))
    assert (before.title, after.title) == ("before adaptation", "after 4 episodes")
    assert len(before.states) == len(before.rewards) <= 10
    assert not np.array_equal(before.states, after.states)
    assert before.models[0].site("goal").pos[:2].tolist() == [0.4, -0.2]


def test_the_same_seed_records_the_same_take(run):
    family, agent = metarl.load(run)
    task = family.task()
    one, other = (record(agent, family, task, (2,), seed=3)[0] for _ in range(2))
    np.testing.assert_array_equal(one.states, other.states)


def test_a_switch_shows_both_robots(tmp_path):
    run = metarl.train(
        "cheetah-dynamics",
        "maml",
        steps=100,
        out=tmp_path,
        family_options={"horizon": 20},
        agent_config=TINY,
        quiet=True,
    )
    family, agent = metarl.load(run)
    task = family.tasks("switch", 1)[0]
    (take,) = record(agent, family, task, (0,))
    step = round(task.switch.at / family.control_period)
    assert take.phase.tolist() == [0] * step + [1] * (20 - step)
    masses = [model.body_mass.sum() for model in take.models]
    wanted = [14 * t["density"] / 1000 for t in (task, task.after_switch)]
    assert masses == pytest.approx(wanted)


@pytest.mark.skipif(bool(why_no_gl()), reason="this machine cannot draw")
def test_a_film_plays_and_has_a_strip_beside_it(run):
    path = metarl.video(run, split="near", index=1, after=(0, 4))
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode()]
        assert stream.codec_context.name == "h264"
    assert len(frames) >= 10 * 0.1 * 25
    assert frames[0].std() > 10
    with Image.open(path.with_suffix(".png")) as strip:
        assert strip.width > 5 * 300
    assert f"{path.stem}" == "near-1"
