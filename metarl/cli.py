"""The command line: ``metarl COMMAND ...``.

Heavy libraries are imported by the command that needs them, so that help is instant.
"""

import json
import os
import re
import shlex
import sys
import typing
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

from metarl.errors import InputError, RunError, did_you_mean

COMMANDS = {
    "demo": "the main job, small: train, adapt, video, report",
    "list": "list families, agents or shipped checkpoints",
    "info": "show a family's parameters, splits and timing",
    "new": "write a starting file for a robot of your own",
    "train": "meta-train an agent on a family",
    "resume": "go on with a run that was stopped",
    "evaluate": "judge how fast a run adapts to held-out tasks",
    "video": "film a run before and after adaptation",
    "play": "turn a robot's dials in the browser and watch a run adapt",
    "report": "one HTML page about one or more runs",
    "check": "does a family keep the contract? for your own robots",
    "doctor": "what works on this machine, and how to get what does not",
    "completion": "a script that completes metarl's words in your shell",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command. Exit codes: 0 done, 1 a run failed, 2 the input was wrong."""
    # Idle OpenMP threads that spin would take the cores from the physics. This must
    # be set before torch is imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    arguments = list(sys.argv[1:] if argv is None else argv)
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
    run: Callable[[list[str]], int] = globals()[f"_{command}"]
    try:
        return run(rest)
    except InputError as error:
        print(f"metarl {command}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as error:
        print(f"\n{error}" if str(error) else "\nStopped.", file=sys.stderr)
        return 130
    except BrokenPipeError:  # `metarl ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (RunError, OSError) as error:
        print(f"metarl {command}: {error}", file=sys.stderr)
        return 1


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


def _parse(function: Any, command: str, arguments: list[str], **options: Any) -> Any:
    import tyro

    return tyro.cli(function, prog=f"metarl {command}", args=arguments, **options)


def _demo(arguments: list[str]) -> int:
    from metarl.demo import demo

    _parse(demo, "demo", arguments)
    return 0


def _list(arguments: list[str]) -> int:
    import tyro

    from metarl.registry import names

    def list_(
        kind: Annotated[
            typing.Literal["families", "agents", "checkpoints"], tyro.conf.Positional
        ] = "families",
        json: bool = False,
    ) -> tuple[typing.Literal["families", "agents", "checkpoints"], bool]:
        """List families, agents or shipped checkpoints.

        Args:
            kind: what to list.
            json: print a JSON object from names to where or what they are.
        """
        return kind, json

    kind, as_json = _parse(list_, "list", arguments)
    if kind == "checkpoints":
        from metarl.runs.shipped import names as shipped

        found = shipped()
        if not as_json:
            print("\n".join(f"{name}  ({what})" for name, what in found.items()))
            return 0
    else:
        found = names(kind)
    print(json.dumps(found, indent=1) if as_json else "\n".join(found))
    return 0


def _info(arguments: list[str]) -> int:
    import tyro

    def info(family: Annotated[str, tyro.conf.Positional]) -> str:
        """Show a family's parameters, splits and timing.

        Args:
            family: registered name, module:Class or file.py:Class.
        """
        return family

    reference = _parse(info, "info", arguments)
    from metarl.describe import describe
    from metarl.registry import make_family

    describe(make_family(reference))
    return 0


def _new(arguments: list[str]) -> int:
    import tyro

    def new(
        kind: Annotated[typing.Literal["family"], tyro.conf.Positional],
        name: Annotated[str, tyro.conf.Positional],
        out: Path | None = None,
    ) -> tuple[str, Path | None]:
        """Write a starting file for a robot of your own. No file is overwritten.

        Args:
            kind: what to write.
            name: of the robot, such as my_robot.
            out: the file; default: NAME.py in this folder.
        """
        return name, out

    name, out = _parse(new, "new", arguments)
    from metarl.new import new_family

    path, class_name = new_family(name, out)
    print(f"Written: {path}")
    reference = shlex.quote(f"{path}:{class_name}")
    print(f"Next: metarl check {reference}")
    print(f"      metarl train {reference} maml --steps 800000")
    return 0


def _train(arguments: list[str]) -> int:
    positional, rest = _leading(arguments, 2)
    if len(positional) < 2:
        asked = bool(rest) and rest[0] in ("-h", "--help")
        print(_TRAIN_USAGE, file=sys.stdout if asked else sys.stderr)
        return 0 if asked else 2
    from metarl import options
    from metarl.learning.training import train

    family, agent = positional
    configured = options.config_file(rest)
    settings = options.settings(family, agent, configured)
    chosen = _parse(settings, f"train {family} {agent}", rest)
    run = train(
        family,
        agent,
        seed=chosen.seed,
        steps=chosen.steps,
        out=chosen.out,
        checkpoint_seconds=chosen.checkpoint_seconds,
        train_tasks=chosen.train_tasks,
        normalise=chosen.normalise,
        family_options=options.changed(chosen.family),
        agent_config=options.changed(chosen.agent),
        command=shlex.join(["metarl", "train", *arguments]),
    )
    print(f"Trained. Run folder: {run.path}")
    print(f"Next: metarl evaluate {run.path}")
    return 0


_TRAIN_USAGE = """\
Meta-train an agent on a family.

usage: metarl train FAMILY AGENT [options]

  FAMILY   registered name, module:Class or file.py:Class: see `metarl list families`
  AGENT    the same: see `metarl list agents`

`metarl train FAMILY AGENT --help` lists the options of that family and agent."""


def _run(run: Path) -> Path:
    """A run's folder, given as such or by the name of a shipped run."""
    from metarl.runs.shipped import fetch

    return fetch(run)


def _leading(arguments: list[str], count: int) -> tuple[list[str], list[str]]:
    """The words before the first flag, at most ``count``, and the rest."""
    end = 0
    while end < min(count, len(arguments)) and not arguments[end].startswith("-"):
        end += 1
    return arguments[:end], arguments[end:]


def _resume(arguments: list[str]) -> int:
    import tyro

    def resume(
        run: Annotated[Path, tyro.conf.Positional],
        steps: int | None = None,
        checkpoint_seconds: float = 60.0,
    ) -> tuple[Path, int | None, float]:
        """Go on with a run that was stopped.

        Args:
            run: its folder.
            steps: ask for more control steps than it was started with.
            checkpoint_seconds: time between checkpoints.
        """
        return run, steps, checkpoint_seconds

    options = _parse(resume, "resume", arguments)
    from metarl.learning.training import resume as go_on

    run, *others = options
    run = go_on(_run(run), *others)
    print(f"Trained. Run folder: {run.path}")
    return 0


def _evaluate(arguments: list[str]) -> int:
    import tyro

    def evaluate(
        run: Annotated[Path, tyro.conf.Positional],
        splits: str = "",
        tasks: int = 64,
        episodes: int = 20,
        query_episodes: int = 4,
        seed: int = 0,
    ) -> dict[str, Any]:
        """Judge how fast a run adapts, and write RUN/evaluation.json.

        Args:
            run: the run's folder.
            splits: names separated by commas; default: all but train.
            tasks: tasks a split.
            episodes: largest budget of adaptation, in episodes.
            query_episodes: episodes a task that judge the deployed policy.
            seed: freezes tasks, initial states and noise.
        """
        return locals()

    options = _parse(evaluate, "evaluate", arguments)
    from metarl import api
    from metarl.describe import print_evaluation
    from metarl.evaluation.protocol import budgets_up_to

    names = [name.strip() for name in options["splits"].split(",") if name.strip()]
    options["run"] = _run(options["run"])
    results = api.evaluate(
        options["run"],
        splits=names or None,
        tasks=options["tasks"],
        budgets=budgets_up_to(options["episodes"]),
        query_episodes=options["query_episodes"],
        seed=options["seed"],
        progress=lambda text: print(text, flush=True),
    )
    print_evaluation(results)
    print(f"Written: {options['run'] / 'evaluation.json'}")
    return 0


def _video(arguments: list[str]) -> int:
    import tyro

    def video(
        run: Annotated[Path, tyro.conf.Positional],
        split: str = "far",
        task: int = 0,
        after: str = "",
        grid: int = 0,
        growing: bool = False,
        gif: bool = False,
        camera: str | None = None,
        size: str = "",
        fps: int = 25,
        seed: int = 0,
    ) -> dict[str, Any]:
        """Film a run before and after adaptation, side by side.

        Args:
            run: the run's folder.
            split: the split of the task.
            task: which task of the split.
            after: episodes of adaptation before each panel, separated by commas;
                default: 0 and one round of the agent.
            grid: film so many tasks after the largest number of episodes instead.
            growing: film the adaptation itself instead, beside its growing curve.
            gif: also write a GIF.
            camera: a camera of the model; default: the family's.
            size: width and height of each panel in pixels, such as 640x480.
            fps: frames per second.
            seed: freezes the split and the noise.
        """
        return locals()

    options = _parse(video, "video", arguments)
    from metarl import api
    from metarl.pictures.progress import film_progress

    after = options["after"].replace(",", " ").split()
    if not all(item.isdecimal() for item in after):
        raise InputError(f"--after takes numbers like 0,1,5, got {options['after']!r}.")
    size = re.fullmatch(r"(\d+)x(\d+)", options["size"])
    if options["size"] and not size:
        raise InputError(f"--size takes pixels like 640x480, got {options['size']!r}.")
    with film_progress() as progress:
        path = api.video(
            _run(options.pop("run")),
            index=options.pop("task"),
            **{
                **options,
                "after": [int(item) for item in after] or None,
                "size": (int(size[1]), int(size[2])) if size else None,
            },
            progress=progress,
        )
    for written in (path, path.with_suffix(".gif"))[: 1 + options["gif"]]:
        print(f"Written: {written}")
    return 0


def _play(arguments: list[str]) -> int:
    import tyro

    def play(
        run: Annotated[Path, tyro.conf.Positional],
        port: int = 0,
        open: bool = True,
    ) -> tuple[Path, int, bool]:
        """Turn a robot's dials in the browser and watch a run adapt.

        Args:
            run: the run's folder.
            port: of this machine, which alone can reach it; 0 takes a free one.
            open: open the page in a browser.
        """
        return run, port, open

    path, port, opens = _parse(play, "play", arguments)
    from metarl.play import Server, open_page
    from metarl.runs.folder import Run

    with Server(Run(_run(path)), port) as server:
        print(f"Open {server.url} (Ctrl-C stops)", flush=True)
        if opens:
            open_page(server.url)
        server.serve()
    return 0


def _report(arguments: list[str]) -> int:
    import tyro

    def report(
        runs: Annotated[tuple[Path, ...], tyro.conf.Positional],
        out: Path | None = None,
    ) -> tuple[tuple[Path, ...], Path | None]:
        """One self-contained HTML page about one or more runs.

        Args:
            runs: their folders.
            out: the file; default: report.html in the first run's folder.
        """
        return runs, out

    runs, out = _parse(report, "report", arguments)
    from metarl import api

    print(f"Written: {api.report([_run(run) for run in runs], out)}")
    return 0


def _check(arguments: list[str]) -> int:
    import tyro

    def check(
        family: Annotated[str, tyro.conf.Positional], speed: bool = True
    ) -> tuple[str, bool]:
        """Check that a family keeps the contract, and say what to do where not.

        Args:
            family: registered name, module:Class or file.py:Class.
            speed: measure control steps per second.
        """
        return family, speed

    reference, speed = _parse(check, "check", arguments)
    from metarl.check import check as examine
    from metarl.registry import make_family

    family = make_family(reference)
    broken = examine(family, speed)
    if broken:
        print(f"{family.name} breaks {broken} of its promises.")
    return int(broken > 0)


def _completion(arguments: list[str]) -> int:
    import tyro

    from metarl.completion import Shell, script

    def completion(shell: Annotated[Shell, tyro.conf.Positional]) -> Shell:
        """Print a script for a shell: `eval "$(metarl completion bash)"`.

        Args:
            shell: which.
        """
        return shell

    print(script(_parse(completion, "completion", arguments), COMMANDS), end="")
    return 0


def _doctor(arguments: list[str]) -> int:
    def doctor() -> None:
        """Say what works on this machine, and how to get what does not."""

    _parse(doctor, "doctor", arguments)
    from metarl.doctor import examine

    return examine()


if __name__ == "__main__":
    sys.exit(main())
