"""Meshes that collide, replaced by their convex hulls, by which MuJoCo collides.

A hull has a limited number of corners, as by MuJoCo's own `maxhullvert`. Masses and
inertias stay. Models that took tens of megabytes take one to six, and compile several
times as fast. Rays meet the hull.
"""

import numpy as np

from metarl.simulation.engine import mujoco

CORNERS = 512
"""Of a hull at most. Meshes of the robots that were tried change by 1.3 mm at most."""


def use_hulls(spec: "mujoco.MjSpec") -> None:
    """Replace every mesh that has a convex hull by the hull.

    Args:
        spec: changed in place; it compiles.

    Raises:
        ValueError: MuJoCo's, if it does not compile.
    """
    for mesh in spec.meshes:
        if mesh.maxhullvert < 0 or mesh.maxhullvert > CORNERS:
            mesh.maxhullvert = CORNERS
    model = spec.compile()
    for body in spec.bodies[1:]:  # inertias that follow from meshes stay
        if any(geom.meshname for geom in body.geoms) and not body.explicitinertial:
            spec.adopt_inertial(body)
    for index, mesh in enumerate(list(spec.meshes)):
        start = int(model.mesh_graphadr[index])
        mine = [geom for geom in spec.geoms if geom.meshname == mesh.name]
        fitted = any(geom.type != mujoco.mjtGeom.mjGEOM_MESH for geom in mine)
        if start < 0 or mesh.needsdf or fitted:
            continue
        if 2 * model.mesh_graph[start] > model.mesh_vertnum[index]:
            continue  # nearly convex as it is
        count, number = model.mesh_graph[start : start + 2]
        own = model.mesh_graph[
            start + 2 + count :
        ]  # vertices, then edges, then triangles
        chosen = np.unique(own[:count])
        triangles = own[2 * count + 3 * number :][: 3 * number]
        vertices = model.mesh_vert[model.mesh_vertadr[index] + chosen].astype(float)
        turned = np.empty(9)
        mujoco.mju_quat2Mat(turned, model.mesh_quat[index])
        vertices = vertices @ turned.reshape(3, 3).T + model.mesh_pos[index]
        hull = spec.add_mesh(name=f"{mesh.name} (hull)")
        hull.uservert = vertices.ravel()
        hull.userface = np.searchsorted(chosen, triangles)
        for geom in mine:
            geom.meshname = hull.name
        spec.delete(mesh)
