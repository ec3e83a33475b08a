"""A rover whose motors are swapped, on tyres that slip.

    python experiments/rover_rewired.py            # resumable
    python experiments/rover_rewired.py --quick    # to see it run

Each command drives the other wheel, one motor is stronger than any in training and the
other one weaker, and the tyres are worn. The goal is observed, wheel speeds and the
rover's own speed are not: only moving reveals the wiring. Swapped motors occur in
training, but never on so little grip. At first the rover drives away from the goal. The
default agent takes gradient steps from a meta-trained start: after five episodes, 38 s
of driving, it reaches the goal.

For a wiring that training never draws, set "right_reversed" below. Evolution takes 20
to 50 episodes then (`--agent es-maml --episodes 50`), and gradient steps as many.
"""

from metarl.studies.story import tell

ROVER = {
    "wiring": "swapped",
    "motor_gain": (1.3, 0.7),
    "friction": 0.25,
    "goal_distance": 1.5,
    "goal_bearing": 1.0,
}

if __name__ == "__main__":
    tell(__doc__, "rover-goal", ROVER, agent="maml", steps=3_000_000, episodes=5)
