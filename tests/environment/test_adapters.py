"""Gymnasium and Stable-Baselines3 see the same world, each in its own manner."""

import copy
import os
import pickle
import subprocess
import sys
import warnings
from pathlib import Path

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode
from stable_baselines3 import PPO
from stable_baselines3.common.env_checker import check_env as check_env_sb3
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import VecMonitor, VecNormalize

import metarl
from metarl.environment import registry
from metarl.environment.environment import Environment
from metarl.environment.gymnasium import GymnasiumEnv, GymnasiumVectorEnv
from metarl.environment.registry import gymnasium_id, register_gymnasium
from metarl.environment.sb3 import StableBaselinesEnv
from metarl.errors import InputError
from metarl.render.gl import why_no_gl

FAMILIES = list(registry.names("families"))
HORIZON = 6


@pytest.fixture
def point():
    return metarl.make_family("point-goal", horizon=HORIZON)


@pytest.fixture
def cheetah():
    return metarl.make_family("cheetah-direction", horizon=HORIZON)


def actions_of(env_or_size, steps, n=1, seed=0):
    size = getattr(env_or_size, "action_size", env_or_size)
    generator = np.random.default_rng(seed)
    return generator.uniform(-1, 1, (steps, n, size)).astype(np.float32)


def environment_of(family, tasks, copies=1, **options):
    return Environment(family, tasks, copies, threads=1, **options)


# -- one robot -------------------------------------------------------------------------


@pytest.mark.parametrize("visible", [False, True], ids=["hidden", "visible"])
@pytest.mark.parametrize("name", FAMILIES)
def test_the_single_env_passes_both_checkers(name, visible):
    env = GymnasiumEnv(metarl.make_family(name, horizon=20), observe_task=visible)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # Observations are unbounded, and say so.
        warnings.filterwarnings("ignore", ".*observation space (min|max)imum value.*")
        check_env(env, skip_render_check=True)
        check_env_sb3(env)


@pytest.mark.parametrize("name", FAMILIES)
def test_registered_ids_make_the_family(name):
    register_gymnasium()
    env = gymnasium.make(gymnasium_id(name), horizon=3)
    assert env.unwrapped.environment.family.name == name
    _, info = env.reset(seed=0)
    assert info["task"]["family"] == name
    for t in range(3):
        *_, truncated, info = env.step(env.action_space.sample())
        assert truncated == (t == 2)
    assert 0 <= info["success"] <= 1


def test_importing_both_libraries_registers_the_built_in_ids():
    code = "import gymnasium, metarl; print(*gymnasium.registry, sep='\\n')"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(Path(metarl.__file__).parents[1])},
    )
    assert {gymnasium_id(name) for name in FAMILIES} <= set(done.stdout.split())


def test_registered_ids_take_a_task_and_options():
    register_gymnasium()
    register_gymnasium()
    env = gymnasium.make("metarl/PointGoal-v0", task={"goal": (0.9, 0.0)}, horizon=5)
    env.reset(seed=0)
    _, reward, *_ = env.step(np.zeros(2, np.float32))
    assert reward == pytest.approx(-0.9)
    visible = gymnasium.make("metarl/PointGoal-v0", observe_task=True)
    assert visible.observation_space.shape == (4,)


def test_another_task_from_the_next_reset(point):
    env = GymnasiumEnv(point, point.task(goal=(0.5, 0.0)))
    for task in (point.task(goal=(0.2, 0.0)), {"goal": (0.2, 0.0)}):
        _, info = env.reset(options={"task": task})
        assert info["task"]["values"]["goal"] == (0.2, 0.0)
        assert env.step(np.zeros(2))[1] == pytest.approx(-0.2)
    _, info = env.reset()
    assert env.task == point.task(goal=(0.2, 0.0))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"task": {"goal": (2.0, 0.0)}}, "'goal' is 2 m, above its upper bound 1 m"),
        ({"task": {"gaol": (0.0, 0.0)}}, "'gaol'.*mean 'goal'"),
        ({"render_mode": "human"}, "render_mode='human'.*rgb_array"),
        ({"horizn": 3}, "horizn"),
    ],
)
def test_wrong_arguments_are_refused(arguments, said):
    with pytest.raises(InputError, match=said):
        GymnasiumEnv("point-goal", **arguments)


def test_an_unknown_family_is_refused():
    with pytest.raises(InputError, match=r"'point-gaol'.*mean 'point-goal'"):
        GymnasiumEnv("point-gaol")


def test_observations_and_rewards_are_copies(cheetah):
    env = GymnasiumEnv(cheetah)
    first, _ = env.reset(seed=0)
    kept = first.copy()
    env.step(np.ones(6, np.float32))
    np.testing.assert_array_equal(first, kept)
    assert env.metadata["render_fps"] == 100


def test_a_frame_is_a_picture_and_does_not_disturb_the_robot(cheetah):
    if reason := why_no_gl():
        pytest.skip(reason)
    drawn, blind = (GymnasiumEnv(cheetah, render_mode=m) for m in ("rgb_array", None))
    drawn.reset(seed=0), blind.reset(seed=0)
    assert blind.render() is None
    for action in actions_of(6, 4):
        frame = drawn.render()
        assert frame.shape == (360, 480, 3) and frame.dtype == np.uint8
        assert frame.std() > 1
        one, other = drawn.step(action[0])[0], blind.step(action[0])[0]
        np.testing.assert_array_equal(one, other)
    drawn.close()


def test_the_picture_is_of_the_task_that_is_simulated():
    if reason := why_no_gl():
        pytest.skip(reason)
    family = metarl.make_family("arm-lift")
    box, ball = {"shape": "box"}, {"shape": "sphere"}
    drawn = GymnasiumEnv(family, task=box, render_mode="rgb_array")
    drawn.reset(seed=0)
    before = drawn.render()
    drawn.reset(seed=0, options={"task": ball})
    fresh = GymnasiumEnv(family, task=ball, render_mode="rgb_array")
    fresh.reset(seed=0)
    np.testing.assert_array_equal(drawn.render(), fresh.render())
    assert (drawn.render() != before).any()
    drawn.close(), fresh.close()


@pytest.mark.parametrize("name", ["go1-velocity", "panda-lift"])
def test_the_picture_shows_the_meshes_that_are_not_simulated(name, monkeypatch):
    if reason := why_no_gl():
        pytest.skip(reason)
    family = metarl.make_family(name)
    env = GymnasiumEnv(family, render_mode="rgb_array")
    env.reset(seed=0)
    env.step(np.zeros(family.action_size, np.float32))
    picture = env.render()
    env.close()
    monkeypatch.setattr(family, "render_model", family.models)
    bare = env.render()
    env.close()
    assert (picture != bare).any(-1).mean() > 0.02


def test_without_a_seed_every_robot_starts_at_random_but_follows_a_seed(cheetah):
    one, other = (GymnasiumEnv(cheetah) for _ in range(2))
    assert not np.array_equal(one.reset()[0], other.reset()[0])
    np.testing.assert_array_equal(one.reset(seed=3)[0], other.reset(seed=3)[0])
    np.testing.assert_array_equal(one.reset()[0], other.reset()[0])


def test_an_action_for_another_robot_is_refused(cheetah):
    env = GymnasiumEnv(cheetah)
    env.reset(seed=0)
    with pytest.raises(InputError, match=r"shape \(1, 1\) instead of \(1, 6\)"):
        env.step(np.zeros(1))
    many = metarl.make_vec(cheetah, cheetah.tasks("train", 3))
    many.reset(seed=0)
    with pytest.raises(InputError, match=r"shape \(1, 6\) instead of \(3, 6\)"):
        many.step(np.zeros((1, 6)))


@pytest.mark.parametrize("kind", ["single", "vector", "sb3"])
def test_a_step_before_the_first_reset_is_refused(point, kind):
    world = environment_of(point, [point.task()])
    env = {
        "single": lambda: GymnasiumEnv(point),
        "vector": lambda: GymnasiumVectorEnv(world),
        "sb3": lambda: StableBaselinesEnv(world),
    }[kind]()
    action = np.zeros((2,) if kind == "single" else (1, 2), np.float32)
    with pytest.raises(gymnasium.error.ResetNeeded, match=r"reset\(\)"):
        env.step(action)
    env.reset()
    env.step(action)


def test_outcomes_say_of_whom_they_are(point):
    tasks = [point.task(goal=(0.1, 0.0)), point.task(goal=(0.5, 0.5))]
    env = metarl.make_vec(point, tasks)
    env.reset(seed=0)
    *_, info = env.step(np.array([[1.0, 0.0]] * 2))
    assert info["success"].tolist() == [1, 0]
    assert info["_success"].tolist() == [True, False]
    assert info["is_success"].tolist() == [True, False]  # as Stable-Baselines3 reads it
    single = GymnasiumEnv(point, tasks[0])
    single.reset(seed=0)
    assert single.step(np.array([1.0, 0.0]))[-1]["is_success"] is True


# -- many robots: gymnasium ------------------------------------------------------------


def test_the_vector_env_has_the_shapes_of_gymnasium(cheetah):
    env = metarl.make_vec(cheetah, cheetah.tasks("train", 3), copies=2, seed=1)
    assert isinstance(env, gymnasium.vector.VectorEnv)
    assert env.num_envs == 6
    assert env.metadata["autoreset_mode"] == AutoresetMode.NEXT_STEP
    assert env.observation_space.shape == (6, 17)
    assert env.single_action_space.shape == (6,)
    observation, info = env.reset(seed=0)
    assert observation in env.observation_space and info == {}
    step = env.step(env.action_space.sample())
    assert step[0] in env.observation_space
    assert all(part.shape == (6,) for part in step[1:4])
    assert step[1].dtype == np.float64
    assert step[2].dtype == step[3].dtype == bool
    env.close()


def test_make_vec_takes_a_name_and_refuses_foreign_tasks():
    family = metarl.make_family("point-goal")
    env = metarl.make_vec("point-goal", family.tasks("far", 2), observe_task=True)
    assert env.observation_space.shape == (2, 4)
    with pytest.raises(InputError, match="goal"):
        metarl.make_vec("cheetah-direction", family.tasks("far", 2))


def test_an_ended_robot_starts_anew_in_the_next_step(point):
    tasks = [point.task(goal=(0.1, 0.0)), point.task(goal=(0.9, 0.9))]
    env = GymnasiumVectorEnv(environment_of(point, tasks))
    env.reset(seed=0)
    actions = np.array([[1.0, 0.0], [0.5, 0.5]], np.float32)
    observation, reward, terminated, truncated, info = env.step(actions)
    assert terminated.tolist() == [True, False] and not truncated.any()
    np.testing.assert_allclose(observation, [[0.1, 0.0], [0.05, 0.05]], atol=1e-6)
    assert info["success"][0] == 1

    observation, reward, terminated, truncated, info = env.step(actions)
    np.testing.assert_allclose(observation, [[0.0, 0.0], [0.1, 0.1]], atol=1e-6)
    assert reward[0] == 0 and reward[1] != 0
    assert not terminated.any() and not truncated.any()
    assert "success" not in info

    observation, reward, terminated, *_ = env.step(actions)
    np.testing.assert_allclose(observation, [[0.1, 0.0], [0.15, 0.15]], atol=1e-6)
    assert terminated.tolist() == [True, False]


def test_the_action_of_a_robot_that_starts_anew_does_not_matter(point):
    tasks = [point.task(goal=(0.1, 0.0)), point.task(goal=(0.9, 0.9))]
    env = GymnasiumVectorEnv(environment_of(point, tasks))
    env.reset(seed=0)
    actions = np.array([[1.0, 0.0], [0.5, 0.5]], np.float32)
    assert env.step(actions)[2].tolist() == [True, False]
    actions[0] = np.nan
    observation, *_ = env.step(actions)
    np.testing.assert_allclose(observation, [[0.0, 0.0], [0.1, 0.1]], atol=1e-6)
    with pytest.raises(InputError, match="NaN"):
        env.step(actions)


def test_a_truncated_robot_starts_anew_in_the_next_step(cheetah):
    env = GymnasiumVectorEnv(environment_of(cheetah, cheetah.tasks("train", 2)))
    first, _ = env.reset(seed=0)
    ends, resets = [], []
    for t, action in enumerate(actions_of(6, 15, 2)):
        observation, reward, terminated, truncated, _ = env.step(action)
        assert not terminated.any()
        if truncated.all():
            ends.append(t)
        if (reward == 0).all():
            resets.append(t)
            assert not np.array_equal(observation, first)
            assert np.abs(observation).max() < 1
    assert ends == [5, 12]
    assert resets == [6, 13]


def test_a_reset_in_the_middle_forgets_what_was_due(point):
    env = GymnasiumVectorEnv(environment_of(point, [point.task(goal=(0.1, 0.0))]))
    env.reset(seed=0)
    assert env.step(np.array([[1.0, 0.0]]))[2][0]
    env.reset(seed=0)
    observation, reward, *_ = env.step(np.array([[0.5, 0.0]]))
    np.testing.assert_allclose(observation, [[0.05, 0.0]], atol=1e-6)
    assert reward[0] == pytest.approx(-0.05, abs=1e-6)


@pytest.mark.parametrize(
    "seed", [3, np.int64(3), [3, 4, 5, 6], np.arange(3, 7), [None, 3, 4, 5]]
)
def test_seeds_of_any_kind_repeat(cheetah, seed):
    env = GymnasiumVectorEnv(environment_of(cheetah, cheetah.tasks("train", 4)))
    first, _ = env.reset(seed=seed)
    second, _ = env.reset()
    again, _ = env.reset(seed=seed)
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, second)
    assert len(np.unique(first[:, 0])) == 4
    if np.ndim(seed) == 0:
        expected, _ = env.reset(seed=3)
        np.testing.assert_array_equal(first, expected)


def test_a_list_of_seeds_starts_each_robot_as_it_would_alone(cheetah):
    tasks = cheetah.tasks("train", 3)
    env = GymnasiumVectorEnv(environment_of(cheetah, tasks))
    actions = actions_of(6, 2 * HORIZON + 1, 3)  # over the end of an episode
    alone = [GymnasiumEnv(cheetah, task) for task in tasks]
    for seeds in ([1, 2, 3], [1, 20, 30]):
        together, _ = env.reset(seed=seeds)
        for i, (single, seed) in enumerate(zip(alone, seeds, strict=True)):
            np.testing.assert_array_equal(together[i], single.reset(seed=seed)[0])
    for action in actions:
        together, *_ = env.step(action)
        for i, single in enumerate(alone):
            if single.environment.active[0]:
                seen, *_ = single.step(action[i])
            else:
                seen, _ = single.reset()
            np.testing.assert_array_equal(together[i], seen)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"seed": [1, 2]}, "2 seeds for 3 simulations"),
        ({"options": {"reset_mask": np.ones(2, bool)}}, r"shape \(2,\)"),
        ({"options": {"reset_mask": np.ones(3)}}, "dtype float64"),
        ({"options": {"reset_mask": np.zeros(3, bool)}}, "something to reset"),
        (
            {"options": {"reset_mask": np.ones(3, bool)}, "seed": 1},
            "do not go together",
        ),
        ({"options": {"reset_masks": 1}}, "'reset_masks'.*reset_mask"),
    ],
)
def test_a_reset_that_would_be_ignored_is_refused(cheetah, arguments, said):
    env = GymnasiumVectorEnv(environment_of(cheetah, cheetah.tasks("train", 3)))
    env.reset(seed=0)
    with pytest.raises(InputError, match=said):
        env.reset(**arguments)


def test_a_mask_resets_some_robots_and_the_others_go_on(point):
    tasks = [point.task(goal=(0.1, 0.0)), point.task(goal=(0.9, 0.9))]
    env = GymnasiumVectorEnv(environment_of(point, tasks))
    env.reset(seed=0)
    actions = np.array([[1.0, 0.0], [0.5, 0.5]], np.float32)
    _, _, terminated, *_ = env.step(actions)
    assert terminated.tolist() == [True, False]
    mask = np.array([True, False])
    observation, _ = env.reset(options={"reset_mask": mask})
    np.testing.assert_allclose(observation, [[0.0, 0.0], [0.05, 0.05]], atol=1e-6)
    # It has started anew already: this step is one of its own.
    observation, reward, *_ = env.step(actions)
    np.testing.assert_allclose(observation, [[0.1, 0.0], [0.1, 0.1]], atol=1e-6)
    assert reward[0] != 0


def test_gymnasium_makes_one_batch_of_a_split_or_of_a_task():
    register_gymnasium()
    env = gymnasium.make_vec("metarl/CheetahMass-v0", num_envs=5, split="far", seed=2)
    assert isinstance(env.unwrapped, GymnasiumVectorEnv) and env.num_envs == 5
    family = metarl.make_family("cheetah-mass")
    assert env.unwrapped.environment.tasks == family.tasks("far", 5, seed=2)
    assert env.spec.max_episode_steps == family.horizon
    task = {"goal": (0.9, 0.0)}
    alike = gymnasium.make_vec("metarl/PointGoal-v0", num_envs=3, task=task, horizon=5)
    assert [t["goal"] for t in alike.unwrapped.environment.tasks] == [(0.9, 0.0)] * 3
    assert alike.spec.max_episode_steps == 5
    with pytest.raises(InputError, match="give one of them"):
        gymnasium.make_vec("metarl/PointGoal-v0", num_envs=3, task=task, split="far")
    with pytest.raises(InputError, match="horizn"):
        gymnasium.make_vec("metarl/PointGoal-v0", num_envs=3, horizn=5)


def test_the_spec_says_how_long_an_episode_is():
    register_gymnasium()
    env = gymnasium.make("metarl/CheetahDirection-v0", horizon=7)
    assert env.spec.max_episode_steps == env.unwrapped.spec.max_episode_steps == 7
    again = gymnasium.make(env.spec)
    again.reset(seed=0)
    ends = [again.step(np.zeros(6, np.float32))[3] for _ in range(7)]
    assert ends == [False] * 6 + [True]


@pytest.mark.parametrize("order", ["gymnasium, metarl", "metarl, gymnasium"])
def test_ids_are_there_in_whatever_order_libraries_are_imported(order):
    code = f"import {order}; print(gymnasium.make('metarl/PointGoal-v0').spec.id)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(metarl.__file__).parents[1])},
    )
    assert done.stdout.strip() == "metarl/PointGoal-v0", done.stderr


@pytest.mark.parametrize("first", ["metarl", "mujoco"])
def test_frames_are_drawn_whichever_library_is_imported_first(first):
    if reason := why_no_gl():
        pytest.skip(reason)
    code = (
        f"import {first}; from metarl.environment.gymnasium import GymnasiumEnv\n"
        "env = GymnasiumEnv('point-goal', render_mode='rgb_array')\n"
        "env.reset(seed=0); print(env.render().std() > 1)"
    )
    bare = {"MUJOCO_GL", "DISPLAY", "WAYLAND_DISPLAY"}
    environment = {k: v for k, v in os.environ.items() if k not in bare}
    root = str(Path(metarl.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={**environment, "PYTHONPATH": root},
    )
    assert done.stdout.strip() == "True", done.stderr


def test_a_deep_copy_goes_on_by_itself_and_a_pickle_is_refused(cheetah):
    env = gymnasium.make("metarl/CheetahDirection-v0", horizon=9)
    env.reset(seed=0)
    first, *rest = actions_of(6, 8)[:, 0]
    env.step(first)
    twin = copy.deepcopy(env)
    steps = [env.step(action)[0] for action in rest]
    for action, seen in zip(rest, steps, strict=True):
        np.testing.assert_array_equal(twin.step(action)[0], seen)
    np.testing.assert_array_equal(env.reset()[0], twin.reset()[0])
    with pytest.raises(TypeError, match=r"cannot be pickled.*deepcopy works"):
        pickle.dumps(env.unwrapped.environment)


@pytest.mark.filterwarnings("ignore:.*Box.*precision.*")
def test_gymnasium_wrappers_work(cheetah):
    env = gymnasium.wrappers.vector.RecordEpisodeStatistics(
        metarl.make_vec(cheetah, cheetah.tasks("train", 2))
    )
    env.reset(seed=0)
    total = np.zeros(2)
    for action in actions_of(6, HORIZON, 2):
        _, reward, _, truncated, info = env.step(action)
        total += reward
    assert truncated.all()
    np.testing.assert_allclose(info["episode"]["r"], total, rtol=1e-5)
    assert (info["episode"]["l"] == HORIZON).all()


# -- many robots: Stable-Baselines3 ----------------------------------------------------


def test_the_sb3_env_resets_within_the_step_and_says_how_it_ended(point):
    tasks = [point.task(goal=(0.1, 0.0)), point.task(goal=(0.9, 0.9))]
    env = StableBaselinesEnv(environment_of(point, tasks))
    np.testing.assert_array_equal(env.reset(), np.zeros((2, 2)))
    actions = np.array([[1.0, 0.0], [0.5, 0.5]], np.float32)
    observation, reward, done, infos = env.step(actions)
    assert done.tolist() == [True, False]
    np.testing.assert_allclose(observation, [[0.0, 0.0], [0.05, 0.05]], atol=1e-6)
    np.testing.assert_allclose(infos[0]["terminal_observation"], [0.1, 0], atol=1e-6)
    assert infos[0]["TimeLimit.truncated"] is False
    assert infos[0]["episode"]["l"] == 1
    assert infos[0]["episode"]["r"] == pytest.approx(reward[0])
    assert infos[0]["success"] == 1
    assert infos[0]["is_success"] is True
    assert infos[1] == {}
    total = reward[1]
    for _ in range(HORIZON - 1):
        observation, reward, done, infos = env.step(actions)
        total += reward[1]
        assert infos[0]["episode"]["r"] == pytest.approx(reward[0])
    assert done[1]
    assert infos[1]["TimeLimit.truncated"] is True
    assert infos[1]["episode"]["l"] == HORIZON
    assert infos[1]["episode"]["r"] == pytest.approx(total, rel=1e-5)
    np.testing.assert_allclose(infos[1]["terminal_observation"], [0.3] * 2, atol=1e-6)
    np.testing.assert_allclose(observation[1], [0.0, 0.0], atol=1e-6)
    assert len(env.finished) == HORIZON + 1
    env.close()


def test_the_sb3_env_repeats_from_its_seed(cheetah):
    env = StableBaselinesEnv(environment_of(cheetah, cheetah.tasks("train", 3)))
    env.seed(5)
    first = env.reset()
    second = env.reset()
    env.seed(5)
    np.testing.assert_array_equal(env.reset(), first)
    assert not np.array_equal(first, second)


def test_sb3_methods(point):
    env = StableBaselinesEnv(environment_of(point, point.tasks("train", 3)))
    assert env.get_attr("num_envs", [0, 2]) == [3, 3]
    env.set_attr("note", "x")
    assert env.note == "x"
    assert env.env_is_wrapped(Monitor) == [False] * 3
    with pytest.raises(NotImplementedError):
        env.env_method("render")


def test_ppo_learns_in_the_sb3_env(point):
    env = StableBaselinesEnv(environment_of(point, point.tasks("train", 4)))
    model = PPO("MlpPolicy", env, n_steps=32, batch_size=64, seed=0, device="cpu")
    before = {k: v.clone() for k, v in model.policy.state_dict().items()}
    model.learn(256)
    assert model.num_timesteps == 256
    assert len(model.ep_info_buffer) >= 256 // (HORIZON * 4)
    after = model.policy.state_dict()
    assert any(not torch.equal(before[k], after[k]) for k in before)
    assert all(value.isfinite().all() for value in after.values())
    wrapped = VecNormalize(VecMonitor(env))
    mean, _ = evaluate_policy(model, wrapped, n_eval_episodes=4)
    assert np.isfinite(mean)


# -- three faces of one world ----------------------------------------------------------


@pytest.mark.parametrize("name", FAMILIES)
def test_all_faces_show_the_same_world(name):
    family = metarl.make_family(name, horizon=5)
    task = family.tasks("train", 1)[0]
    single = GymnasiumEnv(family, task)
    vector = GymnasiumVectorEnv(environment_of(family, [task]))
    sb3 = StableBaselinesEnv(environment_of(family, [task]))
    core = environment_of(family, [task])
    sb3.seed(11)
    starts = [
        single.reset(seed=11)[0],
        vector.reset(seed=11)[0][0],
        sb3.reset()[0],
        core.reset(11)[0].numpy(),
    ]
    for start in starts:
        assert start.dtype == np.float32
        np.testing.assert_array_equal(start, starts[0])
    for action in actions_of(family, 5):
        step = core.step(torch.from_numpy(action))
        one = single.step(action[0])
        many = vector.step(action)
        seen, reward, done, infos = sb3.step(action)
        if done[0]:
            seen = infos[0]["terminal_observation"][None]
        for observation in (one[0], many[0][0], seen[0]):
            np.testing.assert_array_equal(observation, step.observation[0].numpy())
        assert one[1] == many[1][0] == reward[0] == step.reward[0].item()
        assert one[2] == many[2][0] == bool(step.terminated[0])
        assert one[3] == many[3][0] == bool(step.truncated[0])
        assert done[0] == (one[2] or one[3])
    assert one[3] or one[2]
