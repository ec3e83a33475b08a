"""The command that a study was started with, for its page."""

import shlex
import sys
from pathlib import Path


def command_line() -> str:
    """What to type to run this process again."""
    program, *arguments = sys.argv
    name = Path(program).name
    if name in ("metarl", "__main__.py"):
        return shlex.join(["metarl", *arguments])
    return shlex.join(["python", program, *arguments])
