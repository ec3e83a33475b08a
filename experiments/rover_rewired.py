"""A rover whose motors were connected the wrong way round.

    python experiments/rover_rewired.py            # resumable
    python experiments/rover_rewired.py --quick    # to see it run

After a repair each command drives the other wheel, backwards. The rover sees its goal,
but neither its wheels nor its own speed: only by moving can it find out. Swapped and
reversed motors were both met in training, never together. The default agent is
recurrent: it finds out within an episode and remembers from one to the next.
"""

from story import tell

ROVER = {"wiring": "swapped_reversed", "goal_distance": 1.5, "goal_bearing": 1.0}

if __name__ == "__main__":
    tell(__doc__, "rover-goal", ROVER, agent="rl2", steps=3_000_000, episodes=5)
