"""One MuJoCo model on an off-screen canvas."""

import copy
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metarl.errors import InputError, unknown
from metarl.simulation.engine import mujoco

_SHADOW = 1024
"""Largest shadow map, in pixels: MuJoCo's 4096 doubles the time per picture without a
GPU, and a picture of a few hundred pixels does not show it."""
_ELEVATION = -20.0
"""Free camera, in degrees: lower than MuJoCo's -45, which flattens a walking robot."""


class Renderer:
    """Renders states of a model.

    Args:
        model: stays untouched.
        camera: a camera's name or id; -1 follows the first body with a free camera.
        size: width and height in pixels.
        qpos: (nq,) the first state; a free camera takes its distance from it.

    Raises:
        InputError: for a camera that the model has not.
    """

    def __init__(
        self,
        model: mujoco.MjModel,
        camera: int | str,
        size: tuple[int, int],
        qpos: NDArray[np.floating],
    ) -> None:
        self.camera = find_camera(model, camera)
        self.model = copy.copy(model)
        self.data = mujoco.MjData(self.model)
        self._set(qpos)
        visual = self.model.vis
        visual.quality.shadowsize = min(visual.quality.shadowsize, _SHADOW)
        visual.global_.offwidth = max(visual.global_.offwidth, size[0])
        visual.global_.offheight = max(visual.global_.offheight, size[1])
        free = self.camera.type == mujoco.mjtCamera.mjCAMERA_FREE
        self.follows = free and self.model.nbody > 1
        if self.follows:
            radius = _radius(self.model, self.data)
            self.camera.distance = 2.8 * radius
            if self.camera.elevation == -45:
                self.camera.elevation = _ELEVATION
            # MuJoCo counts both in extents, which a large floor blows up: the robot
            # would be too near to be drawn, and its shadow a few large blocks.
            share = radius / self.model.stat.extent
            visual.map.znear = min(visual.map.znear, 0.05 * share)
            visual.map.shadowclip = min(visual.map.shadowclip, 4 * share)
        self.renderer = mujoco.Renderer(self.model, size[1], size[0])
        # Mirror images of robots on the floor cost time and confuse.
        self.renderer.scene.flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = 0

    def render(self, qpos: NDArray[np.floating]) -> NDArray[np.uint8]:
        """The picture, (height, width, 3), of a state qpos, (nq,).

        A state that diverged cannot be drawn: the last good one stays.
        """
        self._set(qpos)
        if self.follows:
            self.camera.lookat[:] = self.data.subtree_com[1]
        self.renderer.update_scene(self.data, self.camera)
        return self.renderer.render()

    def close(self) -> None:
        """Free OpenGL's memory."""
        self.renderer.close()

    def _set(self, qpos: NDArray[np.floating]) -> None:
        if np.isfinite(qpos).all():
            self.data.qpos[:] = qpos
        mujoco.mj_fwdPosition(self.model, self.data)


def find_camera(model: mujoco.MjModel, name: int | str) -> mujoco.MjvCamera:
    """The camera of that name or id; -1 is a free one.

    Raises:
        InputError: for a camera that the model has not.
    """
    names = [model.camera(index).name for index in range(model.ncam)]
    if isinstance(name, str):
        if name not in names:
            raise unknown("camera", name, names)
        name = names.index(name)
    if not -1 <= name < model.ncam:
        raise InputError(f"camera={name}: the model has {model.ncam} cameras.")
    camera = mujoco.MjvCamera()
    if name == -1:
        mujoco.mjv_defaultFreeCamera(model, camera)
    else:
        camera.type, camera.fixedcamid = mujoco.mjtCamera.mjCAMERA_FIXED, name
    return camera


def _radius(model: mujoco.MjModel, data: Any) -> float:
    """Radius in metres, around the robot, of what a picture should show.

    The robot, objects and markers count. Ground, walls and terrain, the solid geoms of
    the world body, do not: MuJoCo's own extent counts them, and a robot on a large
    floor would be a dot.
    """
    robot = np.nonzero(model.body_rootid == model.body_rootid[1])[0]
    solid = (model.geom_contype | model.geom_conaffinity) > 0
    bounded = model.geom_rbound > 0  # planes and height fields have no bound
    shown = bounded & ~(solid & (model.geom_bodyid == 0))
    own = shown & np.isin(model.geom_bodyid, robot)

    def reach(points: NDArray[np.floating], sizes: NDArray[np.floating]) -> float:
        away = np.linalg.norm(points - data.subtree_com[1], axis=-1) + sizes
        return float(away.max(initial=0.0))

    size = reach(data.geom_xpos[own], model.geom_rbound[own])
    every = max(
        reach(data.geom_xpos[shown], model.geom_rbound[shown]),
        reach(data.site_xpos, model.site_size.max(-1, initial=0.0)),
    )
    # A goal far away must not shrink the robot to a dot either.
    return min(every, 40 * size) if size > 0 else model.stat.extent / 2
