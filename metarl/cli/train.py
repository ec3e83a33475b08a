"""`metarl train`: its options are those of a run, of the family and of the agent."""

import shlex
import sys
from typing import Any

from metarl.errors import InputError

USAGE = """\
Meta-train an agent on a family.

usage: metarl train FAMILY AGENT [options]

  FAMILY   registered name, module:Class or file.py:Class: see `metarl list families`
  AGENT    the same: see `metarl list agents`

`metarl train FAMILY AGENT --help` lists the options of that family and agent."""


def train(arguments: list[str]) -> int:
    """Meta-train an agent on a family; returns the exit code.

    Args:
        arguments: words after ``metarl train``.
    """
    words, flags = _leading(arguments, 2)
    if len(words) < 2:
        asked = flags[:1] in (["-h"], ["--help"])
        print(USAGE, file=sys.stdout if asked else sys.stderr)
        return 0 if asked else 2
    _refuse_renamed(flags)
    import tyro

    from metarl.cli import options

    family, agent = words
    defaults = options.defaults(family, agent, options.config_file(flags))
    chosen: Any = tyro.cli(
        type(defaults),
        prog=f"metarl train {family} {agent}",
        args=flags,
        default=defaults,
    )
    from metarl.runs import train as training

    run = training.train(
        family,
        agent,
        seed=chosen.seed,
        steps=chosen.steps,
        out=chosen.out,
        checkpoint_seconds=chosen.checkpoint_seconds,
        train_tasks=chosen.train_tasks,
        drift=chosen.drift,
        backend=chosen.backend,
        device=chosen.device,
        normalize_observations=chosen.normalize_observations,
        family_options=options.changed(chosen.family),
        agent_config=options.changed(chosen.agent),
        init=chosen.init,
        workers=chosen.workers,
        shard=chosen.shard,
        cluster=chosen.cluster,
        trust=chosen.trust,
        command=shlex.join(["metarl", "train", *arguments]),
    )
    print(f"Trained. Run folder: {run.path}")
    print(f"Next: metarl evaluate {run.path}")
    return 0


def _leading(arguments: list[str], count: int) -> tuple[list[str], list[str]]:
    """The words before the first flag, at most ``count``, and the rest."""
    end = 0
    while end < min(count, len(arguments)) and not arguments[end].startswith("-"):
        end += 1
    return arguments[:end], arguments[end:]


def _refuse_renamed(flags: list[str]) -> None:
    for flag in flags:
        word = flag.partition("=")[0]
        if word in ("--normalise", "--no-normalise"):
            new = word.replace("normalise", "normalize-observations")
            raise InputError(f"{word} is now {new}.")
