"""`metarl evaluate`: how fast a run adapts."""

from pathlib import Path

from tyro.conf import Positional


def evaluate(
    run: Positional[Path],
    splits: str = "",
    tasks: int = 64,
    episodes: int = 20,
    query_episodes: int = 4,
    seed: int = 0,
    family: str = "",
    trust: bool = False,
    backend: str = "mujoco",
    device: str = "",
) -> None:
    """Measure how fast a run adapts, and write RUN/evaluation.json.

    Args:
        run: the run's folder.
        splits: names separated by commas; default: all but train and drift.
        tasks: tasks a split.
        episodes: largest budget of adaptation, in episodes.
        query_episodes: episodes a task that evaluate the deployed policy.
        seed: freezes tasks, initial states and noise.
        family: what the run's family is now, if that moved.
        trust: run code that the run names without asking.
        backend: what simulates: mujoco, or warp (MuJoCo Warp, on a GPU).
        device: of warp: cuda:0 by default, or cpu.
    """
    import metarl
    from metarl.evaluation.protocol import budgets_up_to
    from metarl.reports.tables import print_evaluation
    from metarl.runs.pretrained import fetch

    folder = fetch(run)
    names = [name.strip() for name in splits.split(",") if name.strip()]
    evaluation = metarl.evaluate(
        folder,
        splits=names or None,
        tasks=tasks,
        budgets=budgets_up_to(episodes),
        query_episodes=query_episodes,
        seed=seed,
        family=family,
        trust=trust,
        backend=backend,
        device=device,
        progress=lambda text: print(text, flush=True),
    )
    print_evaluation(evaluation)
    print(f"Written: {folder / 'evaluation.json'}")
