"""The main job, small: train, adapt to dynamics never met, film and report."""

import time
from pathlib import Path


def demo(
    out: Path = Path("runs"),
    seed: int = 0,
    steps: int = 6_000_000,
    tasks: int = 32,
) -> Path:
    """Meta-train MAML on the half-cheetah and let it adapt to bodies it never met.

    Takes about four minutes on two cores. In training, the robot is not told
    whether it is paid for running forwards or backwards; on held-out tasks its
    motors, weight, ground and joints differ, too.

    Args:
        out: folder that holds all runs.
        seed: of everything.
        steps: control steps of meta-training.
        tasks: tasks of each held-out split.

    Returns:
        The report.
    """
    # Imported here, so that the command line can show help at once.
    from metarl import api
    from metarl.errors import RunError
    from metarl.evaluation.statistics import interval
    from metarl.learning.training import train

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
    print("2. Adapting to tasks and bodies that it never met")
    results = api.evaluate(run, tasks=tasks, budgets=(0, 1, 5, 20), query_episodes=2)
    for split, result in results["splits"].items():
        first, last = (
            interval(result["points"][k]["return"], statistic="mean") for k in (0, -1)
        )
        print(
            f"   {split:13s} return {first.value:7.1f} [{first.low:.1f}, "
            f"{first.high:.1f}] before, {last.value:7.1f} [{last.low:.1f}, "
            f"{last.high:.1f}] after {result['points'][-1]['episodes']} episodes"
        )
    print("3. Filming the task with the median gain of two splits")
    try:
        for split in ("interpolation", "far"):
            index = api.median_task(run, split)
            print(f"   {api.video(run, split=split, index=index, after=(0, 20))}")
    except RunError as error:
        print(f"   No video: {error}")
    report = api.report([run])
    print(f"Done in {(time.monotonic() - began) / 60:.1f} minutes. Open {report}")
    return report
