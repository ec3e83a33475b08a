"""A check of families that needs a renderer: see `metarl.environment.check`."""

import numpy as np

from metarl.environment.check import ContractError
from metarl.environment.family import TaskFamily
from metarl.environment.gymnasium import GymnasiumEnv
from metarl.render.gl import why_no_gl


def can_be_drawn(family: TaskFamily) -> str:
    """A picture of it can be drawn."""
    if reason := why_no_gl():
        return f"not tried: {reason}"
    env = GymnasiumEnv(family, render_mode="rgb_array")
    env.reset(seed=0)
    env.step(np.zeros(family.action_size, np.float32))
    picture = env.render()
    env.close()
    if picture is None or picture.std() < 1:
        raise ContractError(
            "The picture is empty: check the family's `camera` and the light."
        )
    return f"{picture.shape[1]} x {picture.shape[0]} pixels"
