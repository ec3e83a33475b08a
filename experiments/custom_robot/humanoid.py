from metarl import Parameter
from metarl.envs.gymnasium_bridge import GymnasiumFamily


class HumanoidMass(GymnasiumFamily):
    """Gymnasium's humanoid, lighter or heavier."""

    env_id = "Humanoid-v5"
    env_options = {"include_cinert_in_observation": False}  # it reveals the mass
    parameters = {"mass": Parameter(1.0, train=(0.5, 2.0), far=(2.0, 3.0))}

    def edit(self, model, task):
        model.body_mass[:] *= task["mass"]
        model.body_inertia[:] *= task["mass"]
