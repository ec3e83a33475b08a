"""A rover whose motors were swapped, on tyres that slip.

    python experiments/rover_rewired.py            # resumable
    python experiments/rover_rewired.py --quick    # to see it run

After a repair each command drives the other wheel, one motor is stronger than any in
training and the other one weaker, and the tyres are worn. The rover sees its goal, but
neither its wheels nor its own speed: only by moving can it find out. It has met swapped
motors in training, but never on so little grip. At first it drives away. The default
agent goes on from its returns, by gradient steps from a meta-trained start: after five
episodes, 38 s of driving, it gets there.

For a wiring that it has never met set "right_reversed" below. Evolution takes 20 to 50
episodes then (`--agent es-maml --episodes 50`), and gradient steps as many.
"""

from story import tell

ROVER = {
    "wiring": "swapped",
    "motor_gain": (1.3, 0.7),
    "friction": 0.25,
    "goal_distance": 1.5,
    "goal_bearing": 1.0,
}

if __name__ == "__main__":
    tell(__doc__, "rover-goal", ROVER, agent="maml", steps=3_000_000, episodes=5)
