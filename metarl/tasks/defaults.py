"""torch's defaults: metarl computes in float32, on the CPU, with gradients.

A library or a user's file may have set others for the whole process:

    @own_defaults()             # or `with own_defaults():`
    def simulate(): ...
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch

_CPU = torch.device("cpu")


@contextmanager
def own_defaults() -> Iterator[None]:
    """Make tensors with metarl's dtype and device; leave the process as it was."""
    dtype, device = torch.get_default_dtype(), torch.get_default_device()
    try:
        with ExitStack() as stack:
            torch.set_default_dtype(torch.float32)
            if device != _CPU:
                torch.set_default_device(None)
                stack.callback(torch.set_default_device, device)
            if torch.get_default_device() != _CPU:  # within `with torch.device(...)`
                stack.enter_context(_CPU)
            yield
    finally:
        if torch.get_default_dtype() != dtype:
            torch.set_default_dtype(dtype)
        if torch.get_default_device() != device:
            torch.set_default_device(device)


@contextmanager
def own_process() -> Iterator[None]:
    """`own_defaults` and gradients, for what trains or adapts."""
    with own_defaults(), torch.inference_mode(False), torch.enable_grad():
        yield
