"""Evaluating a run: its newest checkpoint by the protocol, kept in its folder.

RUN/evaluation.json              the newest evaluation, all its splits
RUN/evaluations/<hash>.json      evaluations of other protocols or checkpoints

The hash is of protocol and checkpoint. Evaluating another split under the same protocol
adds it to evaluation.json. Another protocol, or a checkpoint that was trained further,
moves what was there to evaluations/; a return to it moves it back.
"""

import dataclasses
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from metarl.errors import InputError
from metarl.evaluation import protocol
from metarl.evaluation.results import Evaluation, RunInfo
from metarl.runs import checkpoint
from metarl.runs.files import read_json, write_json
from metarl.runs.folder import Run, as_run
from metarl.runs.system import commit


def evaluate(
    run: Run | Path | str,
    *,
    family: str = "",
    trust: bool = False,
    backend: str = "mujoco",
    device: str = "",
    **options: Any,
) -> Evaluation:
    """Evaluate a run by the protocol and add the result to its evaluation.json.

    Splits that were evaluated before, under the same protocol and at the same
    checkpoint, stay; a split that is evaluated again is replaced. Results of another
    protocol or an older checkpoint move to ``evaluations/``.

    Args:
        run: a run or its folder.
        family: what its family is now, if that moved.
        trust: run code that the run names without asking: see `metarl.load`.
        backend: what simulates, whatever it was trained on: "mujoco" or "warp".
        device: of MuJoCo Warp: "cuda:0" by default, or "cpu".
        options: ``splits``, ``tasks``, ``budgets``, ``query_episodes``, ``seed``,
            ``progress``: see `metarl.evaluation.protocol.evaluate`.

    Returns:
        What was evaluated now, without the splits of before.

    Raises:
        InputError: for an unknown split, a run without a whole checkpoint, an
            evaluation.json that is damaged, or code that is gone or not trusted.
    """
    run = as_run(run, family, trust)
    made, agent, state = run.load()
    weights = checkpoint.weights_sha256(run.checkpoints)
    if (run.path / "evaluation.json").exists():
        read_evaluation(run.path / "evaluation.json")  # damaged: say so at once
    results = protocol.evaluate(agent, made.on(backend, device), **options)
    about = RunInfo(
        run.config.family,
        run.config.agent,
        run.config.seed,
        state["sampler"]["control_steps"],
        commit(),
        weights_sha256=weights,
    )
    results = dataclasses.replace(results, run=about)
    keep(run.path, results, options.get("progress") or print)
    return results


def keep(folder: Path, results: Evaluation, say: Callable[[str], None] = print) -> None:
    """Write results to a run's evaluation.json, and lose none of what was there.

    Args:
        folder: of the run.
        results: what was evaluated.
        say: called with a line of text where earlier results move.

    Raises:
        InputError: if evaluation.json is damaged.
    """
    newest, others = folder / "evaluation.json", folder / "evaluations"
    own = others / f"{_hash(results)}.json"
    if newest.exists():
        before = read_evaluation(newest)
        if before.comparable(results):
            results = before.merged(results)
        else:
            moved = others / f"{_hash(before)}.json"
            if moved.exists():
                before = read_evaluation(moved).merged(before)
            write_json(moved, before.to_dict())
            say(f"Kept: {moved} ({_difference(before, results)})")
    if own.exists():
        results = read_evaluation(own).merged(results)
    write_json(newest, results.to_dict())
    own.unlink(missing_ok=True)


def read_evaluation(path: Path | str) -> Evaluation:
    """Read an evaluation.json of this version or an earlier one.

    Raises:
        InputError: naming the file and the field, if it is missing, truncated or
            foreign.
    """
    return Evaluation.from_dict(read_json(path, root=Path(path).parent), path)


def median_task(run: Run | Path | str, split: str) -> int:
    """The evaluated task of a split whose gain by adaptation is the median one.

    Raises:
        InputError: if the split was not evaluated.
    """
    path = as_run(run).path / "evaluation.json"
    evaluation = read_evaluation(path)
    if split not in evaluation.splits:
        raise InputError(f"{path} has no split {split!r}.")
    returns = evaluation.splits[split].scores("return")
    gains = returns[:, -1] - returns[:, 0]
    return int(np.argsort(gains, kind="stable")[len(gains) // 2])


def _hash(results: Evaluation) -> str:
    """Of what makes evaluations comparable: protocol and checkpoint."""
    settings = dataclasses.asdict(dataclasses.replace(results.protocol, success=""))
    if settings["backend"] == "mujoco":
        del settings["backend"]  # as earlier versions, which knew no other
    weights = [results.run.weights_sha256] if results.run.weights_sha256 else []
    text = json.dumps([settings, results.run.control_steps, *weights], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _difference(old: Evaluation, new: Evaluation) -> str:
    """How an evaluation differs from a newer one, in words."""
    words = []
    if old.run.control_steps != new.run.control_steps:
        words.append(f"the checkpoint at {old.run.control_steps:,} control steps")
    elif old.run.weights_sha256 != new.run.weights_sha256:
        words.append("a checkpoint with other weights")
    for field in dataclasses.fields(old.protocol):
        was, now = (getattr(e.protocol, field.name) for e in (old, new))
        if was != now and field.name != "success":
            words.append(f"{field.name}={was}, now {now}")
    return "; ".join(words)
