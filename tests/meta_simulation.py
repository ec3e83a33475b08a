"""A simulation on no device at all: shapes and dtypes, but no numbers.

Whatever names a device or a dtype of its own does not go together with it.
"""

import torch


class MetaSimulation:
    """A copy of a simulation's fields on PyTorch's meta device, in float32.

    Args:
        sim: a simulation of MuJoCo's batch.
    """

    device = torch.device("meta")

    def __init__(self, sim):
        self._sim, self.n = sim, sim.n
        self._fields, self.memory = {}, {}
        self.parameters = {n: self._moved(v) for n, v in sim.parameters.items()}
        self.control_centre = self._moved(sim.control_centre)
        self.control_half = self._moved(sim.control_half)

    def _moved(self, value):
        floating = value.is_floating_point()
        return value.to("meta", torch.float32 if floating else value.dtype)

    def __getattr__(self, name):
        if name.startswith("_"):
            raise AttributeError(name)
        if name not in self._fields:
            self._fields[name] = self._moved(getattr(self._sim, name))
        return self._fields[name]

    def sensor(self, name):
        return self._moved(self._sim.sensor(name))

    def ray(self, origin, along, groups):
        assert origin.device == along.device == self.device
        return along[..., 0].clone()

    def remember(self, name, like):
        return self.memory.setdefault(name, torch.zeros_like(like))
