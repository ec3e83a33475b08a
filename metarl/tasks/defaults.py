"""torch's defaults: metarl computes in float32, on the CPU, with gradients.

A library or a user's file may have set others for the whole process:

    @own_defaults()             # or `with own_defaults():`
    def simulate(): ...
"""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch

_CPU = torch.device("cpu")
_NOTHING = nullcontext()


@contextmanager
def own_defaults() -> Iterator[None]:
    """Make tensors with metarl's dtype and device; leave the process as it was."""
    before = torch.empty(0)  # tells both, and far faster than torch's own functions
    if before.dtype != torch.float32:
        torch.set_default_dtype(torch.float32)
    try:
        # A context slows torch down, so only a process of another device has one.
        with _NOTHING if before.device == _CPU else _CPU:
            yield
    finally:
        after = torch.empty(0)
        if after.dtype != before.dtype:
            torch.set_default_dtype(before.dtype)
        if after.device != before.device:  # a user's file has set another
            torch.set_default_device(None if before.device == _CPU else before.device)


@contextmanager
def own_process() -> Iterator[None]:
    """`own_defaults` and gradients, for what trains or adapts."""
    with own_defaults(), torch.inference_mode(False), torch.enable_grad():
        yield
