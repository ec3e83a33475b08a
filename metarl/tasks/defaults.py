"""torch's defaults: metarl computes in float32, on the CPU, with gradients.

A library or a user's file may have set others for the whole process:

    @own_defaults()             # or `with own_defaults():`
    def simulate(): ...
"""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch

_CPU = torch.device("cpu")


@contextmanager
def own_defaults() -> Iterator[None]:
    """Make tensors with metarl's dtype and device; leave the process as it was."""
    dtype, device = torch.get_default_dtype(), torch.get_default_device()
    torch.set_default_dtype(torch.float32)
    try:
        # A context slows torch down, so only a process of another device has one.
        with nullcontext() if device == _CPU else _CPU:
            yield
    finally:
        torch.set_default_dtype(dtype)
        if torch.get_default_device() != device:  # a user's file has set another
            torch.set_default_device(None if device == _CPU else device)


@contextmanager
def own_process() -> Iterator[None]:
    """`own_defaults` and gradients, for what trains or adapts."""
    with own_defaults(), torch.inference_mode(False), torch.enable_grad():
        yield
