"""What Ray costs, and what killed nodes change: for docs/cluster.md.

    python benchmarks/cluster.py sampler     # Ray's sampler beside this process's
    python benchmarks/cluster.py kills       # a leaderboard while its nodes are killed

Figures are medians. Other processes of the machine make them vary.
"""

import json
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import tyro

from metarl.environment.registry import make_family
from metarl.learning.agent import find_agent
from metarl.learning.cluster import connected
from metarl.learning.networks import stack
from metarl.learning.policies import GaussianPolicy
from metarl.learning.sampler import Sampler
from metarl.learning.shards import SIMULATIONS
from metarl.learning.workers import Workers

sys.path.append(str(Path(__file__).parents[1] / "tests"))


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


AGENTS = ("finetune", "finetune-climb", "maml", "fomaml", "meta-sgd", "reptile")
AGENTS += ("rl2", "es-maml", "hill-climb", "random")


@dataclass(frozen=True)
class kills:  # noqa: N801 (a command's name)
    """A leaderboard of tiny cells, undisturbed and while nodes are killed: equal?"""

    agents: tuple[str, ...] = AGENTS[:9]
    """Agents beside the three references."""
    seeds: tuple[int, ...] = (0, 1)
    """Seeds."""
    nodes: int = 2
    """Nodes of one core each."""
    kills: int = 20
    """Nodes to kill, each of which is replaced."""
    seconds: float = 30.0
    """Time between them."""
    out: Path = Path("runs/cluster")
    """Folder of both leaderboards."""

    def run(self) -> None:
        """Run both, compare all cells, and print what came of it."""
        shutil.rmtree(self.out / "disturbed", ignore_errors=True)
        self.leaderboard("undisturbed").wait()  # what is there is not run again
        began = time.monotonic()
        killed = 0
        from nodes import nodes  # of the tests

        with nodes(self.nodes) as made:
            cluster = self.leaderboard("disturbed", "--cluster", made.address)
            while cluster.poll() is None:
                time.sleep(self.seconds)
                if killed < self.kills and cluster.poll() is None:
                    made.kill()
                    made.add()
                    killed += 1
            assert cluster.returncode == 0
        disturbed = time.monotonic() - began
        first, second = (self.cells(name) for name in ("undisturbed", "disturbed"))
        same = sum(second.get(name) == cell for name, cell in first.items())
        print(f"{len(first)} cells, {killed} nodes killed: {same} are the same")
        print(f"It took {disturbed:.0f} s on {self.nodes} nodes of one core")

    def leaderboard(self, name: str, *more: str) -> subprocess.Popen[bytes]:
        """Begin the leaderboard in a folder."""
        words = ["leaderboard", "--quick", "--families", "point-goal"]
        words += ["--agents", *self.agents, "--seeds", *map(str, self.seeds)]
        words += ["--out", str(self.out / name), "--checkpoint-seconds", "1", *more]
        return subprocess.Popen([sys.executable, "-m", "metarl", *words])

    def cells(self, name: str) -> dict[str, object]:
        """The cells of a leaderboard but for their cost, command and commit."""
        found = {}
        for path in sorted(self.out.glob(f"{name}/quick/point-goal/*.json")):
            cell = json.loads(path.read_text())
            for other in ("command", "commit", "cpu_hours"):
                del cell[other]
            found[path.stem] = cell
        return found


if __name__ == "__main__":
    tyro.extras.subcommand_cli_from_dict(
        {c.__name__: c for c in (sampler, kills)}
    ).run()
