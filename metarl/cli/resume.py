"""`metarl resume`: go on with a run."""

from pathlib import Path

from tyro.conf import Positional


def resume(
    run: Positional[Path],
    steps: int | None = None,
    checkpoint_seconds: float = 60.0,
    family: str = "",
    trust: bool = False,
    workers: int | None = None,
    cluster: str = "local",
) -> None:
    """Go on with a run that was stopped.

    Args:
        run: its folder.
        steps: ask for more control steps than it was started with.
        checkpoint_seconds: time between checkpoints.
        family: what the run's family is now, if that moved.
        trust: run code that the run names without asking.
        workers: collect episodes in so many Ray actors; default: as it was trained.
        cluster: where Ray is: local, auto or an address.
    """
    from metarl.runs import train
    from metarl.runs.pretrained import fetch

    resumed = train.resume(
        fetch(run),
        steps,
        checkpoint_seconds,
        family=family,
        trust=trust,
        workers=workers,
        cluster=cluster,
    )
    print(f"Trained. Run folder: {resumed.path}")
