"""What simulates a family: MuJoCo on the CPU, or MuJoCo Warp on a GPU.

family.on("warp", "cuda:0")      # or metarl train FAMILY AGENT --backend warp
"""

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from metarl.errors import InputError, RunError, unknown
from metarl.simulation.protocol import Simulation
from metarl.tasks.task import Task

NAMES = ("mujoco", "warp")


@dataclass(frozen=True)
class Backend:
    """A backend and the device that it simulates on."""

    name: str = "mujoco"
    device: str = "cpu"

    @classmethod
    def of(cls, name: str, device: str) -> "Backend":
        """A backend by name, on its default device or another.

        Raises:
            InputError: for a name that is none, or a device that is not there.
            RunError: if a package is missing.
        """
        if name not in NAMES:
            raise unknown("backend", name, NAMES)
        if name == "mujoco":
            if device not in ("", "cpu"):
                raise InputError(
                    f"device={device!r}: MuJoCo simulates on the CPU. For a GPU: "
                    "--backend warp."
                )
            return cls()
        if importlib.util.find_spec("mujoco_warp") is None:
            raise RunError(
                "--backend warp needs MuJoCo Warp: pip install 'metarl-suite[gpu]'."
            )
        device = device or "cuda:0"
        try:
            known = torch.device(device)
        except RuntimeError as error:
            raise InputError(f"device={device!r} is none: give cuda:0 or cpu.") from (
                error
            )
        if known.type not in ("cpu", "cuda"):
            raise InputError(f"device={device!r}: give cuda:0 or cpu.")
        if known.type == "cuda" and (known.index or 0) >= torch.cuda.device_count():
            raise InputError(
                f"There is no GPU {device} (torch sees {torch.cuda.device_count()}). "
                "--device cpu simulates on the CPU, slowly."
            )
        return cls(name, device)

    def worlds(self, family: Any, tasks: Sequence[Task], copies: int) -> Simulation:
        """Worlds of the tasks on this device."""
        from metarl.simulation.mujoco_warp import MujocoWarp

        return MujocoWarp(
            family.models,
            family.space,
            tasks,
            copies,
            substeps=family.substeps,
            device=self.device,
        )
