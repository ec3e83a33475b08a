"""What Ray costs, and what killed nodes change: for docs/cluster.md.

    python benchmarks/cluster.py sampler     # Ray's sampler beside this process's

Figures are medians. Other processes of the machine make them vary.
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import tyro

from metarl.environment.registry import make_family
from metarl.learning.agent import find_agent
from metarl.learning.cluster import connected
from metarl.learning.networks import stack
from metarl.learning.policies import GaussianPolicy
from metarl.learning.sampler import Sampler
from metarl.learning.shards import SIMULATIONS
from metarl.learning.workers import Workers


@dataclass(frozen=True)
class sampler:  # noqa: N801 (a command's name)
    """Episodes of MAML's policies: control steps per second at equal cores."""

    family: str = "cheetah-direction"
    """Family."""
    tasks: int = 20
    """Tasks."""
    copies: int = 20
    """Simulations of each."""
    cores: int = 2
    """Threads of this process, and then workers."""
    repeats: int = 5
    """Measurements."""
    shards: tuple[int, ...] = (SIMULATIONS,)
    """Sizes of shards to measure."""

    def run(self) -> None:
        """Measure and print."""
        family = make_family(self.family)
        agent_class = find_agent("maml")
        agent = agent_class(family, agent_class.Config(), seed=0)
        local = Sampler(family, seed=0)
        tasks = local.tasks(self.tasks)
        policy = GaussianPolicy(
            stack(agent.learnt["start"], len(tasks)), agent.normalizer
        )

        def collect(sampler: Sampler) -> Callable[[], float]:
            return lambda: float(
                sampler.collect(tasks, self.copies, policy, "round").control_steps
            )

        samplers = {"this process": local}
        with connected("local", self.cores):
            workers = Workers(family, False, self.cores)
            for size in self.shards:
                here, there = (Sampler(family, 0, shard=size) for _ in range(2))
                there.workers = workers
                samplers[f"this process, shards of {size}"] = here
                samplers[f"{self.cores} Ray workers, shards of {size}"] = there
            rates: dict[str, list[float]] = {name: [] for name in samplers}
            for repeat in range(self.repeats + 1):
                for name, one in samplers.items():
                    began = time.perf_counter()
                    steps = collect(one)()
                    if repeat:  # the first makes simulations
                        rates[name].append(steps / (time.perf_counter() - began))
        base = statistics.median(rates["this process"])
        for name, found in rates.items():
            rate = statistics.median(found)
            print(f"{name:40s} {rate:9,.0f} steps/s {rate / base:6.2f}")


if __name__ == "__main__":
    tyro.cli(sampler).run()
