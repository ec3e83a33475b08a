"""`metarl list`: names that every command takes."""

import json as json_format
from typing import Literal

from tyro.conf import Positional


def list_names(
    kind: Positional[Literal["families", "agents", "checkpoints"]] = "families",
    json: bool = False,
) -> None:
    """List families, agents or shipped checkpoints.

    Args:
        kind: what to list.
        json: print a JSON object from names to where or what they are.
    """
    from metarl.environment.registry import names

    if kind == "checkpoints":
        from metarl.runs import pretrained

        found = pretrained.names()
        lines = [f"{name}  ({about})" for name, about in found.items()]
    else:
        found = names(kind)
        lines = list(found)
    print(json_format.dumps(found, indent=1) if json else "\n".join(lines))
