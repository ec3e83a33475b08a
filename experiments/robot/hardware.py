"""What stands for hardware: a plain gymnasium.Env, in a process without metarl.

    python experiments/robot/hardware.py --goal 0.4 -0.3 --latency 0.02

It reads a line of JSON for each call and answers with one: ``null`` resets, a list of
two numbers is an action.
"""

import argparse
import json
import sys
import time

import gymnasium
import numpy as np
from gymnasium import spaces

PERIOD = 0.1
"""Seconds of a control step."""


class PointRobot(gymnasium.Env):
    """A point that drives in the plane towards a goal that it does not observe.

    Args:
        goal: where to go, m.
        latency: seconds after which an action arrives. Until then the last one acts.
    """

    observation_space = spaces.Box(-np.inf, np.inf, (2,), np.float64)
    action_space = spaces.Box(-1.0, 1.0, (2,), np.float64)

    def __init__(self, goal, latency):
        self.goal, self.late = np.array(goal), min(1.0, latency / PERIOD)

    def reset(self, *, seed=None, options=None):
        """Put the point back to the origin."""
        super().reset(seed=seed)
        self.place, self.velocity = np.zeros(2), np.zeros(2)
        return self.place.copy(), {}

    def step(self, action):
        """Drive for a control step; the reward is minus the distance in m."""
        velocity = self.late * self.velocity + (1 - self.late) * np.array(action)
        self.place = self.place + PERIOD * velocity
        self.velocity = np.array(action)
        offset = self.place - self.goal
        arrived = bool((np.abs(offset) < 0.01).all())
        return self.place.copy(), -float(np.hypot(*offset)), arrived, False, {}


def main():
    """Answer calls until there are no more."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--goal", type=float, nargs=2, default=(0.4, -0.3), help="m")
    parser.add_argument("--latency", type=float, default=0.02, help="seconds")
    arguments = parser.parse_args()
    robot = PointRobot(arguments.goal, arguments.latency)
    for line in sys.stdin:
        action = json.loads(line)
        time.sleep(arguments.latency)
        if action is None:
            answer = [robot.reset()[0].tolist(), 0.0, False]
        else:
            observation, reward, terminated, _, _ = robot.step(action)
            answer = [observation.tolist(), reward, terminated]
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
