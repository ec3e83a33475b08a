"""A rover whose motors were swapped, on tyres that slip.

    python experiments/rover_rewired.py            # resumable
    python experiments/rover_rewired.py --quick    # to see it run

After a repair each command drives the other wheel, one motor is stronger than any in
training and the other one weaker, and the tyres are worn. The rover sees its goal, but
neither its wheels nor its own speed: only by moving can it find out. The default agent
is recurrent: it could find out within an episode and remember from one to the next.

It does not yet: after 8M steps `rl2` does not bring this rover closer to its goal,
before or after adapting. Try others with `--agent`.
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
    tell(__doc__, "rover-goal", ROVER, agent="rl2", steps=8_000_000, episodes=5)
