"""Pictures of a simulation, drawn by MuJoCo whatever simulates it."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from metarl.simulation.engine import mujoco


class Pictures:
    """Draws simulations; keeps the renderer of the model that it drew last."""

    def __init__(self) -> None:
        self._renderer: mujoco.Renderer | None = None

    def draw(
        self, sim: Any, model: "mujoco.MjModel", camera: str | int, index: int = 0
    ) -> NDArray[np.uint8]:
        """A simulation as it is now, (360, 480, 3).

        Args:
            sim: has the fields ``qpos``, ``mocap_pos`` and ``mocap_quat``.
            model: to draw: it may have other meshes, but positions mean the same in it.
            camera: a camera of it, or -1 for a free one.
            index: which simulation.
        """
        # A renderer draws the model that it was made with.
        if self._renderer is None or self._renderer.model is not model:
            self.close()
            self._renderer = mujoco.Renderer(model, 360, 480)
        data = mujoco.MjData(model)
        for name in ("qpos", "mocap_pos", "mocap_quat"):
            getattr(data, name)[:] = getattr(sim, name)[index].cpu().numpy()
        mujoco.mj_forward(model, data)
        self._renderer.update_scene(data, camera=camera)
        picture: NDArray[np.uint8] = self._renderer.render()
        return picture

    def close(self) -> None:
        """Free what draws."""
        if self._renderer is not None:
            self._renderer.close()
            self._renderer = None
