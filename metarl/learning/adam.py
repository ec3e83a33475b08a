"""Adam (Kingma and Ba, 2015), without what torch imports for its own class.

The first optimizer of `torch.optim` in a process imports torch's compiler, which takes
as long as torch itself: every `metarl evaluate` would wait. The update is torch's own
function, so that the bits are those of `torch.optim.Adam`.
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim.adam import adam


class Adam:
    """Adam of one group of parameters, with the interface of `torch.optim.Adam`.

    Args:
        parameters: changed in place, by their ``grad``.
        lr: step size; ``param_groups[0]["lr"]`` changes it.
        eps: added to the root of the second moment.
    """

    def __init__(
        self, parameters: Iterable[Tensor], lr: float = 1e-3, eps: float = 1e-8
    ) -> None:
        self.param_groups: list[dict[str, Any]] = [
            {"params": list(parameters), "lr": lr, "eps": eps}
        ]
        self.state: dict[int, dict[str, Tensor]] = {}
        """By index of the parameter: ``step``, ``exp_avg``, ``exp_avg_sq``."""

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for parameter in self.param_groups[0]["params"]:
            parameter.grad = None

    @torch.no_grad()
    def step(self) -> None:
        """One step of every parameter that has a gradient."""
        group = self.param_groups[0]
        stepped = [
            (index, parameter)
            for index, parameter in enumerate(group["params"])
            if parameter.grad is not None
        ]
        for index, parameter in stepped:
            if index not in self.state:
                self.state[index] = {
                    "step": torch.tensor(0.0),
                    "exp_avg": torch.zeros_like(parameter),
                    "exp_avg_sq": torch.zeros_like(parameter),
                }
        states = [self.state[index] for index, _ in stepped]
        adam(
            [parameter for _, parameter in stepped],
            [parameter.grad for _, parameter in stepped],
            [state["exp_avg"] for state in states],
            [state["exp_avg_sq"] for state in states],
            [],
            [state["step"] for state in states],
            foreach=False,
            amsgrad=False,
            beta1=0.9,
            beta2=0.999,
            lr=group["lr"],
            weight_decay=0.0,
            eps=group["eps"],
            maximize=False,
        )

    def state_dict(self) -> dict[str, Any]:
        """What `load_state_dict` takes."""
        return {"state": self.state, "param_groups": self.param_groups}

    def load_state_dict(self, plain: dict[str, Any]) -> None:
        """Take over the state of each parameter."""
        self.state = plain["state"]
