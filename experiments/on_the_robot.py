"""A shipped agent adapts to a robot that runs in another process, with latency.

    python experiments/on_the_robot.py --goal -0.3 0.4

The robot (``experiments/robot/hardware.py``) is no simulator of metarl's, and where its
goal is shows in rewards only. The adaptation is saved after every episode: stopped by
Ctrl-C and called again, it goes on.
"""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import tyro

import metarl
from metarl.runs.files import replacing
from metarl.runs.pretrained import fetch

HARDWARE = Path(__file__).parent / "robot" / "hardware.py"


@dataclass(frozen=True)
class Arguments:
    """Adapt, and write the curve."""

    goal: tuple[float, float] = (0.4, -0.3)
    """Where the robot should go, m. The agent does not read it."""
    episodes: int = 20
    """Episodes of adaptation."""
    deployed: int = 4
    """Episodes of the deployed policy after them."""
    latency: float = 0.02
    """Seconds until an action arrives."""
    seed: int = 0
    """Of exploration."""
    out: Path = Path("runs/on_the_robot")
    """Where the adaptation is saved."""


class Hardware:
    """A robot at the other end of a pipe."""

    def __init__(self, *options: Any) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(HARDWARE), *map(str, options)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.process.communicate()

    def __call__(self, action: list[float] | None) -> tuple[list[float], float, bool]:
        """Observation, reward and whether it terminated; without an action, a reset."""
        assert self.process.stdin and self.process.stdout
        print(json.dumps(action), file=self.process.stdin, flush=True)
        observation, reward, done = json.loads(self.process.stdout.readline())
        return observation, reward, done


def main(arguments: Arguments) -> None:
    """Drive the robot: everything between an episode's start and end is the loop."""
    adapter = metarl.adapter(
        fetch("point-goal-maml"), budget=arguments.episodes, seed=arguments.seed
    )
    saves = arguments.out / "saves"
    if saves.exists():
        adapter.resume(saves)
    options = ("--goal", *arguments.goal, "--latency", arguments.latency)
    with Hardware(*options) as robot:
        while len(adapter.curve) < arguments.episodes + arguments.deployed:
            observation, _, _ = robot(None)
            while not adapter.over:
                action = adapter.act(observation)
                observation, reward, done = robot(action.tolist())
                adapter.observe(reward, done)
            attempt = adapter.end_episode(observation)
            adapter.save(saves)
            print(f"{len(adapter.curve)}: return {attempt.returned:.1f}")
    with replacing(arguments.out / "curve.md") as page:
        page.write_text(table(adapter))
    print(f"Written: {arguments.out / 'curve.md'}")


def table(adapter: metarl.Adapter) -> str:
    """The curve as markdown."""
    lines = ["| episode | policy | return | robot time, s |", "|---|---|---|---|"]
    for number, attempt in enumerate(adapter.curve, 1):
        policy = "adapting" if attempt.adapting else "deployed"
        row = (number, policy, f"{attempt.returned:.1f}", f"{attempt.seconds:.1f}")
        lines.append(f"| {' | '.join(map(str, row))} |")
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    main(tyro.cli(Arguments))
