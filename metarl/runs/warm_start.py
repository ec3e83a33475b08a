"""Starting from the policy of another run."""

from metarl.environment.registry import absolute
from metarl.errors import InputError
from metarl.learning.agent import Agent
from metarl.learning.sampler import Sampler
from metarl.runs.config import RunConfig
from metarl.runs.folder import Run


def warm_start(config: RunConfig, agent: Agent, sampler: Sampler, trust: bool) -> None:
    """Let an agent start from another run's policy, at the cost of that run.

    Args:
        config: of the run that begins; it names the other one, if any.
        agent: untrained.
        sampler: counts the other run's control steps, too.
        trust: run code that the other run names without asking.

    Raises:
        InputError: if the other run is of another family, or used up all steps.
    """
    if not config.init:
        return
    source_run = Run(config.init, trust=trust)
    before = source_run.config
    same = absolute(before.family) == config.family
    if same or (before.family_sha256 and before.family_sha256 == config.family_sha256):
        source_run.family = config.family  # where it is now
    family, trained, state = source_run.load()
    if not source_run.family or family.options != agent.family.options:
        raise InputError(
            f"--init {source_run.path} was trained on {before.family} "
            f"{before.family_options or ''}, not on the same family."
        )
    agent.warm_start(trained)
    sampler.control_steps = state["sampler"]["control_steps"]
    if sampler.control_steps >= config.steps:
        raise InputError(
            f"--init {source_run.path} took {sampler.control_steps:,} control steps, "
            f"which count: --steps {config.steps} leaves none to train."
        )
