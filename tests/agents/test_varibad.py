"""VariBAD: its posterior learns the task, and its losses are what they should be."""

import pytest
import torch
from tiny import CONFIGS

from metarl.agents.varibad import (
    Examples,
    VariationalMemory,
    VariBAD,
    divergence,
    reconstruction,
)
from metarl.environment.family import TaskFamily
from metarl.environment.registry import make_family
from metarl.learning.recurrent_policy import RecurrentRollout, Trial
from metarl.learning.sampler import Sampler
from metarl.simulation.engine import mujoco
from metarl.tasks.parameter import Parameter
from metarl.tasks.randomness import torch_generator


class Slope(TaskFamily):
    """The reward is the action times a number, which one step reveals."""

    parameters = {"slope": Parameter(0.0, train=(-1.0, 1.0), goal=True)}
    horizon = 12

    def build(self, task):
        return mujoco.MjSpec.from_string(
            "<mujoco><worldbody><body><joint name='j' type='slide'/><geom size='.1' "
            "mass='1'/></body></worldbody><actuator><motor joint='j' "
            "ctrlrange='-1 1'/></actuator></mujoco>"
        )

    def observe(self, sim):
        return torch.zeros(sim.n, 1)

    def reward(self, sim, action):
        return sim.parameters["slope"] * action[:, 0]


def agent_of(family, **options):
    return VariBAD(family, VariBAD.Config(**CONFIGS["varibad"] | options), 0)


def trained(iterations, **options):
    agent = agent_of(Slope(), **options)
    sampler, rows = Sampler(agent.family, 0), []
    for _ in range(iterations):
        rows.append(agent.train_step(sampler))
        sampler.iteration += 1
    return agent, sampler, rows


@pytest.fixture(scope="module")
def learnt():
    """Trained on a family whose task shows in every reward."""
    return trained(
        12,
        tasks=40,
        units=16,
        decoder_hidden=(32,),
        unroll=24,
        vae_lr=1e-2,
        vae_epochs=5,
        vae_minibatches=4,
    )


def posteriors(agent, tasks, sampler):
    """Mean and log-variance after every step of a trial's first episode, and tasks."""
    drawn = sampler.tasks(tasks)
    policy = RecurrentRollout(agent.network, agent.normalizer, tasks, record=True)
    episodes = sampler.collect(drawn, 1, policy, "probe")
    inputs = policy.trial([episodes]).inputs
    found, _ = agent.vae(inputs, agent.vae.initial(tasks))
    return found.chunk(2, -1), torch.stack(
        [agent.family.space.normalized(task) for task in drawn]
    )


# -- what is inferred ------------------------------------------------------------------


def test_what_the_decoder_predicts_comes_to_fit(learnt):
    _, _, rows = learnt
    assert rows[-1]["reconstruction"] < 0.3 * rows[0]["reconstruction"]


def test_the_posterior_narrows_with_steps_to_where_the_task_is(learnt):
    agent, sampler, _ = learnt
    (mean, log_variance), task = posteriors(agent, 128, sampler)
    variance = log_variance.exp().mean((0, 2))
    assert variance[10] < 0.5 * variance[0]
    # Half of the tasks show how the mean reads: the others are then known by it.
    inputs = torch.cat([mean[:, 10], torch.ones(128, 1)], -1).double()
    fit = torch.linalg.lstsq(inputs[:64], task[:64].double()).solution
    residual = (inputs[64:] @ fit - task[64:]).square().mean()
    assert residual < 0.3 * task[64:].var()


def test_a_trial_begins_with_the_prior_and_goes_on_over_its_episodes():
    agent = agent_of(Slope())
    _, prior = agent.vae.initial(3)
    assert torch.equal(prior, torch.zeros(3, 4))  # mean 0, log-variance 0
    sampler = Sampler(agent.family, 0)
    tasks, adaptation = sampler.tasks(3), agent.adaptation(3)
    assert adaptation.episodes_per_update == 1
    adaptation.update(sampler.collect(tasks, 1, adaptation, "first"))
    kept = [s.clone() for s in adaptation.policy().state]
    assert not torch.equal(kept[1], prior)
    sampler.collect(tasks, 2, adaptation.policy(), "deployed")
    for before, after in zip(kept, adaptation.policy().state, strict=True):
        assert torch.equal(before, after)


# -- losses ----------------------------------------------------------------------------


def test_the_divergence_is_to_the_posterior_of_the_step_before():
    log = torch.tensor(4.0).log().item()
    posterior = torch.tensor([[[1.0, 0.0], [1.0, log], [3.0, log]]])
    found = divergence(posterior, torch.zeros(1, 2))
    # From N(0, 1); from N(1, 1) to deviation 2; and then to a mean 2 apart.
    expected = [0.5, 0.5 * (4 - 1) - torch.tensor(2.0).log().item(), 0.5]
    assert found[0].tolist() == pytest.approx(expected)


def test_the_reconstruction_counts_what_is_known_of_every_step():
    outcome = torch.tensor([[[1.0, 2.0], [0.0, 3.0]]])
    known = torch.tensor([[[1.0, 1.0], [0.0, 1.0]]])
    examples = Examples(torch.zeros(1, 2, 1), outcome, known)
    predicted = torch.stack([torch.zeros(1, 2, 2), outcome], 1)  # two latent vectors
    found = reconstruction(predicted, examples)
    # (1 + 4) / 2 and 9 / 2, of two steps; the second vector predicts everything.
    assert found.tolist() == [[3.5, 0.0]]


def test_gradients_of_the_elbo_are_those_of_finite_differences():
    agent = agent_of(Slope(), units=3, encoded=2, decoded=3, decoder_hidden=(4,))
    memory = agent.vae.double()
    piece, examples = drawn_trials(torch.float64)
    with torch.no_grad():  # away from the start, where much is 0
        for parameter in memory.parameters():
            parameter.add_(
                0.3 * torch.randn(parameter.shape, generator=torch_generator(1))
            )

    def loss(*_):
        generator = torch_generator(0)
        return agent.negative_elbo(piece, examples, torch.arange(2), generator)[0]

    weights = tuple(memory.parameters())
    found = torch.autograd.grad(loss(), weights)
    step = 1e-6
    for weight, gradient in zip(weights, found, strict=True):
        direction = torch.randn(weight.shape, generator=torch_generator(2)).double()
        ends = []
        for sign in (1, -1):
            with torch.no_grad():
                weight.add_(sign * step * direction)
                ends.append(loss())
                weight.sub_(sign * step * direction)
        slope = (ends[0] - ends[1]) / (2 * step)
        torch.testing.assert_close(
            (gradient * direction).sum(), slope, rtol=1e-5, atol=1e-8
        )


def drawn_trials(dtype):
    """Two trials of five steps, the second of which ends after four."""
    generator = torch_generator(0)
    inputs = torch.randn(2, 5, 4, generator=generator).to(dtype)
    inputs[..., -1] = torch.tensor([1.0, 0, 0, 1, 0])  # an episode begins
    mask = torch.tensor([[1.0] * 5, [1.0] * 4 + [0.0]]).to(dtype)
    nothing = torch.zeros(2, 5, dtype=dtype)
    piece = Trial(
        inputs=inputs,
        action=torch.randn(2, 5, 1, generator=generator).to(dtype),
        log_prob=nothing,
        reward=torch.randn(2, 5, generator=generator).to(dtype),
        mask=mask,
        phase=nothing,
        value=nothing,
        target=nothing,
        start=tuple(torch.zeros(2, size, dtype=dtype) for size in (3, 4)),
    )
    memory = VariationalMemory(1, 1, VariBAD.Config(units=3, latent=2)).to(dtype)
    examples = memory.examples(piece)
    step, outcome, known = examples.step, examples.outcome, examples.known
    return piece, Examples(step.to(dtype), outcome.to(dtype), known.to(dtype))


def test_a_change_is_to_be_predicted_within_an_episode_alone():
    piece, examples = drawn_trials(torch.float32)
    change, reward = examples.known.unbind(-1)
    assert change.tolist() == [[1, 1, 0, 1, 0], [1, 1, 0, 0, 0]]
    assert torch.equal(reward, piece.mask)
    assert torch.equal(examples.step[..., 1], piece.action[..., 0].clamp(-1, 1))


def test_the_loss_of_the_policy_has_no_gradient_in_the_encoder():
    agent = agent_of(Slope())
    inputs = torch.randn(2, 5, 4)
    trial, _ = drawn_trials(torch.float32)
    trial.start, trial.inputs = agent.vae.initial(2), inputs
    loss, _ = agent.loss(trial, torch.randn(2, 5))
    loss.backward()
    assert all(p.grad is None for p in agent.vae.parameters())
    assert any((p.grad != 0).any() for p in agent.parameters)
    shared = {id(p) for p in agent.vae.parameters()} & {id(p) for p in agent.parameters}
    assert not shared
    posterior = agent.vae.encode(inputs, trial.start)[0]
    assert posterior.requires_grad  # as its own loss reads it


def test_the_policy_acts_on_the_posterior():
    agent = agent_of(make_family("point-goal", horizon=12))
    inputs = torch.zeros(3, agent.vae.input_size)
    features = torch.zeros(3, 4)
    features[1, 0], features[2, 2] = 1.0, -3.0  # another mean, another log-variance
    mean = agent.network.actions(features, inputs).mean
    assert not torch.equal(mean[0], mean[1])
    assert not torch.equal(mean[0], mean[2])


# -- going on --------------------------------------------------------------------------


def test_both_optimizers_go_on_where_they_were():
    agent, sampler, _ = trained(2)
    tensors, plain = agent.state()
    assert {n.split("/")[0] for n in tensors if "/" in n} == {"adam", "vae_adam"}
    resumed, again = agent_of(agent.family), Sampler(agent.family, 0)
    resumed.load_state(tensors, plain)
    again.load_state(sampler.state())
    rows = [a.train_step(s) for a, s in ((agent, sampler), (resumed, again))]
    assert rows[0] == rows[1]
    for name, tensor in agent.state()[0].items():
        assert torch.equal(tensor, resumed.state()[0][name]), name
