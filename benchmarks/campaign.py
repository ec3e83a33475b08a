"""Damaged run folders and odd command lines: each is used, or refused in one message.

    python benchmarks/campaign.py --folders 300 --commands 500     # make campaign: more

A tiny run is trained and evaluated. Copies of it are damaged, one at a time, and given
to what reads runs. A mutation either is refused (exit code 1 or 2 and a message), or is
accepted with the numbers of the whole run, or is legal: another value that nobody can
know to be wrong. Everything else is a fault: a traceback, a hang, other numbers. Odd
command lines are refused, answered, or run; a traceback is a fault.
"""

import contextlib
import dataclasses
import io
import json
import os
import random
import shutil
import signal
import tempfile
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import tyro

import metarl
from metarl.cli import COMMANDS
from metarl.cli import main as metarl_command
from metarl.environment.registry import names
from metarl.runs.files import write_json

FILES = (
    "config.json",
    "system.json",
    "robot.json",
    "metrics.jsonl",
    "evaluation.json",
    "checkpoints/*/state.json",
    "checkpoints/*/weights.safetensors",
)
ODD: tuple[Any, ...] = (
    *(None, True, -1, 0, 2**31, 10**30, 0.5, 1e308, -1e-300, "", "x", "1", "é\x00"),
    *([], [1], {}, {"a": 1}, [[[]]], "x" * 10_000, "../../etc/passwd", "evil.py:X"),
)
RAW = ("NaN", "1e999", "[" * 20_000, '"\\ud800"', "9" * 5_000, '{"a": 1, "a": 2}')
SECONDS = 10
"""A use that takes longer is a hang."""


@dataclasses.dataclass(frozen=True)
class Arguments:
    """How much is tried, and where the table goes."""

    folders: int = 300
    """Damaged run folders."""
    commands: int = 500
    """Command lines."""
    seed: int = 0
    """Of all that is drawn."""
    out: Path | None = None
    """Folder of campaign.json, with the counts and every fault."""


class Hang(BaseException):
    """A use took too long. No handler of exceptions may catch it."""


def main(arguments: Arguments) -> int:
    """Try everything; returns how many faults there were, at most 99."""
    warnings.simplefilter("ignore")
    found: dict[str, Counter[str]] = {"folders": Counter(), "commands": Counter()}
    faults: list[dict[str, str]] = []
    with tempfile.TemporaryDirectory() as scratch, contextlib.chdir(scratch):
        whole = make_run(Path(scratch) / "runs")
        expected = uses(whole)
        for number in range(arguments.folders):
            rng = random.Random(f"{arguments.seed} folder {number}")
            folder = Path(scratch) / "damaged"
            shutil.copytree(whole, folder)
            what, legal = damage(folder, rng)
            outcome, said = tried(lambda f=folder: uses(f), expected, legal)
            note(found["folders"], faults, outcome, what, said)
            shutil.rmtree(folder)
        for number in range(arguments.commands):
            rng = random.Random(f"{arguments.seed} command {number}")
            line = command_line(rng, whole)
            outcome, said = tried(lambda words=line: metarl_command(words), None, True)
            outcome = "runs for long" if outcome == "hang" else outcome  # as it may
            note(found["commands"], faults, outcome, " ".join(line), said)
    for kind, counts in found.items():
        print(kind, json.dumps(counts))
    for fault in faults[:20]:
        print("FAULT", json.dumps(fault)[:600])
    if arguments.out is not None:
        write_json(arguments.out / "campaign.json", {**found, "faults": faults})
    return min(len(faults), 99)


def make_run(out: Path) -> Path:
    """A run that was trained and evaluated, both in a second."""
    run = metarl.train(
        "point-goal",
        "maml",
        steps=400,
        out=out,
        quiet=True,
        family_options={"horizon": 5},
        agent_config={"tasks": 2, "episodes": 4, "hidden": (4,)},
    )
    metarl.evaluate(run, splits=["far"], tasks=2, budgets=[0, 1], query_episodes=1)
    return run.path


def uses(folder: Path) -> list[Any]:
    """What a run is used for, and the numbers that come of it."""
    run = metarl.load(folder)
    evaluation = run.agent.save()[0]
    numbers: list[Any] = [{name: t.tolist() for name, t in evaluation.items()}]
    rows = metarl.Run(folder).rows()
    numbers += [sorted(row.items(), key=str) for row in rows]
    numbers.append([row.get("control_steps") for row in metarl.Run(folder).metrics()])
    metarl.report([folder], out=folder / "report.html")
    return numbers


def damage(folder: Path, rng: random.Random) -> tuple[str, bool]:
    """Damage one file of a run; returns how, and whether other numbers are legal."""
    pattern = rng.choice(FILES)
    path = rng.choice(sorted(folder.glob(pattern)))
    kinds: list[Callable[[], str]] = [
        lambda: cut(path, rng),
        lambda: flip(path, rng),
        lambda: replace(path, rng),
    ]
    if path.suffix != ".safetensors":
        kinds += [lambda: change(path, rng)] * 6 + [lambda: raw(path, rng)] * 2
    how = rng.choice(kinds)()
    # No checksum covers these: a number that was changed to another is a number.
    legal = path.name in ("config.json", "system.json", "robot.json", "metrics.jsonl")
    legal |= path.name == "evaluation.json"
    return f"{path.relative_to(folder)}: {how}", legal


def cut(path: Path, rng: random.Random) -> str:
    """Leave off the end."""
    data = path.read_bytes()
    path.write_bytes(data[: rng.randrange(len(data))])
    return "cut"


def flip(path: Path, rng: random.Random) -> str:
    """Flip a bit, or zero a part."""
    data = bytearray(path.read_bytes())
    place = rng.randrange(len(data))
    if rng.random() < 0.7:
        data[place] ^= 1 << rng.randrange(8)
    else:
        data[place : place + 64] = bytes(len(data[place : place + 64]))
    path.write_bytes(data)
    return f"flipped at {place}"


def replace(path: Path, rng: random.Random) -> str:
    """Put something else in its place."""
    path.unlink()
    kind = rng.choice(("pipe", "folder", "circle", "device", "link", "empty", "pickle"))
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "empty":
        path.touch()
    elif kind == "pickle":
        path.write_bytes(b"\x80\x04cos\nsystem\n(S'echo executed'\ntR.")
    else:
        there = {"circle": path, "device": "/dev/zero", "link": "/etc/hostname"}
        path.symlink_to(there[kind])
    return kind


def change(path: Path, rng: random.Random) -> str:
    """Change, remove or add a value of the JSON."""
    lines = path.read_text().splitlines()
    row = rng.randrange(len(lines)) if path.suffix == ".jsonl" else None
    plain = json.loads(path.read_text() if row is None else lines[row])
    place, key = rng.choice(list(places(plain)))
    odd = rng.choice(ODD)
    if rng.random() < 0.2:
        del place[key]
        how = f"without {key!r}"
    else:
        place[key] = odd
        how = f"{key!r} = {odd!r:.30}"
    text = json.dumps(plain)
    if row is not None:
        text = "\n".join([*lines[:row], text, *lines[row + 1 :]]) + "\n"
    path.write_text(text)
    return how


def raw(path: Path, rng: random.Random) -> str:
    """Put JSON that Python alone would take, or choke on, in place of a value."""
    text = path.read_text()
    colons = [i for i, letter in enumerate(text) if letter == ":"]
    place = rng.choice(colons) + 1
    end = min(i for i in (text.find(c, place) for c in ",}\n") if i > 0)
    odd = rng.choice(RAW)
    path.write_text(text[:place] + odd + text[end:])
    return f"{odd:.20} at {place}"


def places(plain: Any) -> Iterator[tuple[Any, Any]]:
    """Every container and key of a JSON value."""
    items = plain.items() if isinstance(plain, dict) else enumerate(plain)
    for key, value in list(items):
        yield plain, key
        if isinstance(value, dict | list):
            yield from places(value)


WORDS: tuple[str, ...] = (
    *("-5", "0", "1", "1e400", "nan", "inf", "-1e-9", "4294967296", "9" * 19, ""),
    *("x", "é", "--", "-", "/dev/null", "/", "nowhere", "a\nb", "None", "[]", "{}"),
    *("metarl.family:TaskFamily", "file.py:X", "maml", "point-goal", "far", "true"),
)
FLAGS: dict[str, tuple[str, ...]] = {
    "train": (
        *("--steps", "--seed", "--drift", "--train-tasks", "--init", "--out"),
        *("--config", "--agent.hidden", "--agent.inner-lr", "--agent.tasks"),
        *("--agent.discount", "--agent.initial-std", "--family.horizon", "--backend"),
    ),
    "evaluate": ("--splits", "--tasks", "--episodes", "--query-episodes", "--seed"),
    "export": ("--format", "--after", "--split", "--task", "--table", "--out"),
    "compare": ("--measure", "--out", "--splits"),
    "report": ("--out",),
    "video": ("--split", "--task", "--after", "--out"),
    "info": (),
    "list": ("--json",),
    "check": ("--backend", "--device"),
    "doctor": ("--clean",),
    "completion": (),
}


def command_line(rng: random.Random, run: Path) -> list[str]:
    """A command with words and flags that somebody might give by mistake."""
    command = rng.choice([*FLAGS, rng.choice(list(COMMANDS)), rng.choice(WORDS)])
    slow = ("demo", "play", "leaderboard", "tune", "headroom", "reference", "paper")
    if command in (*slow, "variability", "new", "resume"):
        return [command, rng.choice(WORDS) or "x", "--no-such-flag"]
    line = [command]
    if command == "train":
        line += [rng.choice(("point-goal", "rover-goal", *WORDS[-6:]))]
        line += [rng.choice((*names("agents"), *WORDS[-6:]))]
        # What is right otherwise would train for long.
        line += ["--steps", "1", "--out", "runs", "--agent.no-such-flag"]
        del line[rng.choice((-1, -3, -5)) :]
    elif command == "check":
        line += [rng.choice(WORDS)]
    elif command in ("evaluate", "export", "compare", "report", "video"):
        line += [rng.choice((str(run), str(run), *WORDS))]
    for _ in range(rng.randrange(4)):
        flags = FLAGS.get(command) or ("--no-such",)
        line += [rng.choice(flags), rng.choice(WORDS)]
    return line


def tried(use: Callable[[], Any], expected: Any, legal: bool) -> tuple[str, str]:
    """Use something: how it ended, and what was said of a fault."""

    def late(number: int, frame: Any) -> None:
        raise Hang

    signal.signal(signal.SIGALRM, late)
    signal.alarm(SECONDS)
    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            got = use()
    except metarl.InputError:
        return "refused", ""
    except metarl.RunError:
        return "refused", ""
    except SystemExit:
        return "refused", ""
    except Hang:
        return "hang", traceback.format_exc()[-1500:]
    except BaseException:
        return "traceback", traceback.format_exc()[-1500:]
    finally:
        signal.alarm(0)
    if expected is None:
        return ("done" if not got else "refused"), ""
    if got == expected:
        return "the same numbers", ""
    return ("legal" if legal else "other numbers"), ""


def note(
    counts: Counter[str], faults: list[dict[str, str]], how: str, what: str, said: str
) -> None:
    """Count an outcome; keep a fault."""
    counts[how] += 1
    if how in ("traceback", "hang", "other numbers"):
        faults.append({"what": what, "how": how, "said": said})


if __name__ == "__main__":
    raise SystemExit(main(tyro.cli(Arguments)))
