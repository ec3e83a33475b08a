"""`metarl demo`: train, adapt to held-out dynamics, record videos, report."""

import time
from pathlib import Path


def demo(
    out: Path = Path("runs"),
    seed: int = 0,
    steps: int = 6_000_000,
    tasks: int = 32,
) -> Path:
    """Meta-train MAML on the half-cheetah and let it adapt to held-out bodies.

    Takes about four minutes on two cores. The reward is for running forwards or
    backwards, which is not part of the observation. Training has one body; in
    held-out tasks, motors, weight, ground and joints differ, too.

    Args:
        out: folder that holds all runs.
        seed: of everything.
        steps: control steps of meta-training.
        tasks: tasks of each held-out split.

    Returns:
        The report.
    """
    # Imported here, so that the command line can show help at once.
    import metarl
    from metarl.errors import RunError
    from metarl.evaluation.statistics import interval
    from metarl.reports.report import report
    from metarl.runs.evaluate import median_task
    from metarl.runs.train import train

    began = time.monotonic()
    print("1. Meta-training on two directions of running, one body")
    run = train(
        "cheetah-direction",
        "maml",
        seed=seed,
        steps=steps,
        out=out,
        command=f"metarl demo --seed {seed} --steps {steps} --tasks {tasks}",
    )
    print("2. Adapting to held-out tasks and bodies")
    evaluation = metarl.evaluate(
        run, tasks=tasks, budgets=(0, 1, 5, 20), query_episodes=2
    )
    for name, split in evaluation.splits.items():
        first, last = (
            interval(split.points[place].returns, statistic="mean") for place in (0, -1)
        )
        print(
            f"   {name:13s} return {first.value:7.1f} [{first.low:.1f}, "
            f"{first.high:.1f}] before, {last.value:7.1f} [{last.low:.1f}, "
            f"{last.high:.1f}] after {split.points[-1].episodes:g} episodes"
        )
    print("3. Recording the task with the median gain of two splits")
    try:
        for name in ("interpolation", "far"):
            index = median_task(run, name)
            print(f"   {metarl.video(run, split=name, index=index, after=(0, 20))}")
    except RunError as error:
        print(f"   No video: {error}")
    page = report([run])
    print(f"Done in {(time.monotonic() - began) / 60:.1f} minutes. Open {page}")
    return page
