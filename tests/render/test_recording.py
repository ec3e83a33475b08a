"""Filming a run: what is recorded, and that the film can be played."""

import av
import numpy as np
import pytest
from PIL import Image

import metarl
from metarl.render.gl import why_no_gl
from metarl.render.growing import Curve, draw_curve, shown
from metarl.render.recording import Recording, record, record_growing

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
    before, after = record(
        Recording(agent, family, [family.task(goal=(0.4, -0.2))]), (0, 4)
    )
    assert (before.title, after.title) == ("before adaptation", "after 4 episodes")
    assert len(before.states) == len(before.rewards) <= 10
    assert not np.array_equal(before.states, after.states)
    assert before.models[0].site("goal").pos[:2].tolist() == [0.4, -0.2]


def test_the_same_seed_records_the_same_take(run):
    family, agent = metarl.load(run)
    task = family.task()
    one, other = (
        record(Recording(agent, family, [task], seed=3), (2,))[0] for _ in range(2)
    )
    np.testing.assert_array_equal(one.states, other.states)


@pytest.fixture(scope="module")
def cheetah(tmp_path_factory):
    return metarl.train(
        "cheetah-dynamics",
        "maml",
        steps=100,
        out=tmp_path_factory.mktemp("runs"),
        family_options={"horizon": 20},
        agent_config=TINY,
        quiet=True,
    )


def test_a_switch_shows_both_robots(cheetah):
    family, agent = metarl.load(cheetah)
    task = family.tasks("switch", 1)[0]
    (take,) = record(Recording(agent, family, [task]), (0,))
    step = round(task.switch.at / family.control_period)
    assert take.phase.tolist() == [0] * step + [1] * (20 - step)
    masses = [model.body_mass.sum() for model in take.models]
    wanted = [14 * t["density"] / 1000 for t in (task, task.after_switch)]
    assert masses == pytest.approx(wanted)


def test_a_drift_shows_the_robot_of_each_phase(cheetah):
    family, agent = metarl.load(cheetah)
    task = max(family.tasks("drift", 200), key=lambda task: len(task.switches))
    (take,) = record(Recording(agent, family, [task]), (0,))
    assert len(take.models) == len(task.switches) + 1 > 2
    steps = [round(switch.at / family.control_period) for switch in task.switches]
    assert take.phase.tolist() == [
        sum(step <= now for step in steps) for now in range(20)
    ]
    masses = [model.body_mass.sum() for model in take.models]
    assert masses == pytest.approx([14 * t["density"] / 1000 for t in task.phases])


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


def test_a_recording_counts_and_keeps_the_episodes_of_an_adaptation(run):
    family, agent = metarl.load(run)
    recording = Recording(agent, family, [family.task()])
    takes, numbers, curve = record_growing(recording, 6)
    assert recording.rounds == curve.rounds == [0, 4, 6]
    assert len(curve.returns) == len(curve.seconds) == 6
    before, *kept, after = takes
    assert numbers[0] == 1 and numbers[-1] == 6
    assert [take.rewards.sum() for take in kept] == pytest.approx(
        [curve.returns[number - 1] for number in numbers]
    )
    assert [len(take.states) * 0.1 for take in kept] == pytest.approx(
        [curve.seconds[number - 1] for number in numbers]
    )
    assert (curve.before, curve.after) == (before.rewards.sum(), after.rewards.sum())
    assert curve.before != curve.after


def test_several_tasks_are_recorded_at_a_time(run):
    family, agent = metarl.load(run)
    tasks = family.tasks("near", 3)
    recording = Recording(agent, family, tasks)
    recording.adapt(4)
    takes = recording.record_policy([str(task) for task in tasks])
    assert [take.title for take in takes] == [str(task) for task in tasks]
    for take, task in zip(takes, tasks, strict=True):
        assert tuple(take.models[0].site("goal").pos[:2]) == pytest.approx(task["goal"])


@pytest.mark.parametrize(
    ("episodes", "seconds", "count"),
    [(1, 1, 1), (3, 1, 3), (40, 1, 12), (40, 5, 7), (40, 1000, 4)],
)
def test_a_long_adaptation_is_thinned_but_shows_its_ends(episodes, seconds, count):
    numbers = shown(episodes, seconds)
    assert numbers[0] == 1 and numbers[-1] == episodes
    assert len(numbers) == count


def test_the_curve_grows():
    returns = [-30.0, -28.0, -12.0, -11.0]
    curve = Curve(returns, [1.0] * 4, [0, 2, 4], -29.0, -10.0)
    pictures = [np.asarray(draw_curve(curve, n, (320, 240))) for n in (0, 1, 3, None)]

    def drawn(picture, colour):
        return (np.abs(picture.astype(int) - colour).sum(-1) < 30).sum()

    dots = [drawn(picture, (140, 180, 225)) for picture in pictures]
    assert dots[0] == dots[1] == 0 < dots[2] < dots[3]
    line = [drawn(picture, (92, 194, 126)) for picture in pictures]
    assert line[:3] == [0, 0, 0] and line[3] > 200


@pytest.mark.skipif(bool(why_no_gl()), reason="this machine cannot draw")
@pytest.mark.parametrize("kind", ["grid", "growing"])
def test_a_grid_and_a_growing_adaptation_are_films_of_their_own(run, kind):
    wish = {"grid": {"grid": 4, "after": (0, 4)}, "growing": {"growing": True}}[kind]
    told = []
    path = metarl.video(
        run, **wish, size=(64, 48), fps=5, progress=lambda *call: told.append(call)
    )
    assert path.name == f"far-0-{kind}.mp4"
    with av.open(str(path)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode()]
    # A growing film shows ten episodes of adaptation, one before and one after.
    seconds = {"grid": 1, "growing": 12}[kind]
    assert told[-1] == (5 * seconds, 5 * seconds)
    assert len(frames) == 5 * seconds + 3
    assert not np.array_equal(frames[0], frames[-1])
