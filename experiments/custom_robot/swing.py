import gymnasium

from metarl import Parameter
from metarl.envs.gymnasium_bridge import GymnasiumFamily


class Swing(GymnasiumFamily):
    """Gymnasium's pendulum, of unknown mass and length."""

    parameters = {
        "mass": Parameter(1.0, train=(0.5, 1.5), far=(1.5, 2.5), unit="kg"),
        "length": Parameter(1.0, train=(0.7, 1.3), unit="m"),
    }

    def make(self, task, **options):
        env = gymnasium.make("Pendulum-v1", **options)
        env.unwrapped.m, env.unwrapped.l = task["mass"], task["length"]
        return env
