"""`metarl play`: set a task's parameters in a browser, and watch an agent adapt."""

import os
import sys
import webbrowser
from pathlib import Path

from tyro.conf import Positional


def play(
    run: Positional[Path],
    port: int = 0,
    open: bool = True,
    family: str = "",
    trust: bool = False,
) -> None:
    """Set a task's parameters by sliders in the browser and watch a run adapt.

    Args:
        run: the run's folder.
        port: of this machine, which alone can reach it; 0 takes a free one.
        open: open the page in a browser.
        family: what the run's family is now, if that moved.
        trust: run code that the run names without asking.
    """
    from metarl.cli.play_server import Server
    from metarl.runs.folder import Run
    from metarl.runs.pretrained import fetch

    with Server(Run(fetch(run), family=family, trust=trust), port) as server:
        print(f"Open {server.url} (Ctrl-C stops)", flush=True)
        if open and _has_screen():
            webbrowser.open(server.url)
        server.serve()


def _has_screen() -> bool:
    screens = ("DISPLAY", "WAYLAND_DISPLAY")
    return not sys.platform.startswith("linux") or any(map(os.environ.get, screens))
