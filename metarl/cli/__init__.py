"""The command line: ``metarl COMMAND ...``.

A command is a typed function: its signature and docstring are its options and help,
read by tyro. Only the module of the command that is asked for is imported, and it
imports heavy libraries when it runs, so that help is instant.
"""

import importlib
import os
import signal
import sys
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any

from metarl.errors import (
    STOPPING,
    InputError,
    Interrupted,
    RunError,
    described,
    did_you_mean,
    reason,
    user_frame,
)

COMMANDS = {
    "demo": "the main job, small: train, adapt, video, report",
    "list": "list families, agents or shipped checkpoints",
    "info": "show a family's parameters, splits and timing",
    "new": "write a starting file for a family of your own",
    "train": "meta-train an agent on a family",
    "resume": "go on with a run that was stopped",
    "evaluate": "measure how fast a run adapts to held-out tasks",
    "compare": "compare evaluated runs in pairs, on the same tasks",
    "video": "record a run before and after adaptation",
    "play": "set a task's parameters in the browser and watch a run adapt",
    "export": "a run's policy as ONNX, or its numbers as a table",
    "report": "one HTML page about one or more runs",
    "sweep": "train and evaluate an agent under several seeds",
    "leaderboard": "compare all agents at equal cost",
    "tune": "search an agent's hyper-parameters on a family",
    "headroom": "what adapting can gain: oracle minus domain randomization",
    "reference": "write the families' page: reference returns, speed, pictures",
    "variability": "how many training tasks does an agent need?",
    "paper": "reproduce a row of the MAML paper",
    "check": "does a family keep the contract? for your own families",
    "doctor": "what works on this machine, and how to get what does not",
    "completion": "a script that completes metarl's words in your shell",
}
_FUNCTIONS = {
    "list": "metarl.cli.listing:list_names",
    "sweep": "metarl.studies.sweep:main",
    "leaderboard": "metarl.studies.leaderboard:main",
    "tune": "metarl.studies.tune:main",
    "headroom": "metarl.studies.headroom:main",
    "reference": "metarl.studies.reference:main",
    "variability": "metarl.studies.task_variability:main",
}
"""Where a command is, if it is not the function of its name in a file of its name."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command. Exit codes: 0 done, 1 a run failed, 2 the input was wrong.

    Where a signal stopped it, 128 and its number: 130 after Ctrl-C.

    Args:
        argv: the command and its arguments; default: those of this process, whose
            signals then are answered for good.
    """
    if argv is None:
        return _process(sys.argv[1:])
    # Idle OpenMP threads that spin would take the cores from the physics. This must
    # be set before torch is imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    arguments = list(argv)
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(_help())
        return 0 if arguments else 2
    command, *rest = arguments
    if command == "--version":
        import metarl

        print(f"metarl {metarl.__version__}")
        return 0
    if command not in COMMANDS:
        hint = did_you_mean(command, COMMANDS)
        print(f"metarl: unknown command {command!r}.{hint}", file=sys.stderr)
        print(_help(), file=sys.stderr)
        return 2
    try:
        return run(command, rest)
    except InputError as error:
        print(f"metarl {command}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as error:
        print(f"\n{error}" if str(error) else "\nStopped.", file=sys.stderr)
        return 128 + getattr(error, "number", signal.SIGINT)
    except BrokenPipeError:  # `metarl ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except RunError as error:
        print(f"metarl {command}: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        name = "" if error.filename is None else f"{error.filename}: "
        print(f"metarl {command}: {name}{reason(error)}", file=sys.stderr)
        return 1
    except Exception as error:
        if not user_frame(error):
            raise  # a mistake of metarl's own, to be reported as it is
        print(f"metarl {command}: {described(error)}", file=sys.stderr)
        return 1


def _process(arguments: list[str]) -> int:
    """`main` of a process: the first signal ends it in one line, others are ignored."""
    answered = [n for n in STOPPING if signal.getsignal(n) is not signal.SIG_IGN]
    ended = 0

    def ignore() -> None:
        for number in answered:
            signal.signal(number, signal.SIG_IGN)

    def end(number: int, frame: FrameType | None) -> None:
        nonlocal ended
        ended = number
        ignore()
        raise Interrupted("", number)

    for number in answered:
        signal.signal(number, end)
    try:
        return main(arguments)
    except (KeyboardInterrupt, Exception):
        if not ended:
            raise
        return 128 + ended  # a library made another error of it, or `main` was ending
    finally:
        ignore()


def run(command: str, arguments: list[str]) -> int:
    """Call a command's function with what its arguments say; returns the exit code."""
    module, _, name = _FUNCTIONS.get(
        command, f"metarl.cli.{command}:{command}"
    ).partition(":")
    function: Callable[..., Any] = getattr(importlib.import_module(module), name)
    if command == "train":  # whose options depend on the family and the agent
        return int(function(arguments))
    import tyro

    code = tyro.cli(
        function,
        prog=f"metarl {command}",
        args=arguments,
        # The fields of a study's dataclass are options like those of a function.
        config=(tyro.conf.OmitArgPrefixes,),
    )
    return code if isinstance(code, int) else 0


def _help() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:{width}s}  {about}" for name, about in COMMANDS.items()]
    return "\n".join(
        [
            "Meta-reinforcement learning on robots of unknown physics.",
            "",
            "usage: metarl COMMAND [--help]",
            "",
            *lines,
            "",
            "Start with `metarl demo`.",
        ]
    )
