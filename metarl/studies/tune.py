"""Hyper-parameters of any agent on any family, by Optuna, the same trials for each.

    metarl tune --family cheetah-dynamics --agent maml    # resumable
    metarl tune --quick                                   # to see it run

Needs the extra `tune`. Settings are evaluated on tasks from the train ranges alone,
drawn under a seed that no training uses: training never meets them, and no split of any
table is looked at. Every agent gets the same number of trials, of the same number of
control steps. The first trial is the agent's defaults, so that the best is never worse
than these on the validation tasks. It was chosen among many by these very tasks:
evaluate it on others.
"""

import dataclasses
import os
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tyro

import metarl
from metarl.environment.registry import label
from metarl.errors import DivergedError, InputError, RunError
from metarl.evaluation.statistics import area_under_curve, interval
from metarl.learning.agent import find_agent
from metarl.learning.cluster import connected
from metarl.runs.files import write_json
from metarl.runs.system import commit
from metarl.studies.command import command_line
from metarl.studies.jobs import Job, results
from metarl.tasks.randomness import key

if TYPE_CHECKING:
    import optuna

SPACE = {
    # steps of adaptation
    "inner_lr": (3e-3, 1.0, True),
    "tuning_lr": (1e-4, 1e-2, True),
    "inner_sigma": (5e-3, 0.3, True),
    "trials": (2, 20, True),
    # steps of meta-training
    "outer_lr": (1e-4, 1e-2, True),
    "reptile.outer_lr": (0.1, 1.0, True),
    "lr": (1e-4, 1e-2, True),
    "es-maml.lr": (3e-3, 0.1, True),
    "hill-climb.lr": (3e-3, 0.1, True),
    "learning_rate": (1e-4, 1e-2, True),
    "encoder_lr": (1e-4, 1e-2, True),
    "epsilon": (1e-3, 0.1, True),
    "max_kl": (3e-3, 0.05, True),
    "clip": (0.1, 0.4, False),
    "entropy": (0.0, 0.03, False),
    "sigma": (0.02, 0.3, True),
    # exploration and credit
    "initial_std": (0.3, 1.5, True),
    "gae_lambda": (0.9, 1.0, False),
}
"""Field of an agent's config -> lowest, highest, whether on a log scale. What an agent
has of these is tuned; `agent.field` counts before `field`."""
VALIDATION_SEED = 0x5EED
"""Of the tasks that evaluate a trial; training seeds are small numbers."""
BUDGETS = (0, 1, 2, 5, 10, 20)

Bounds = dict[str, tuple[float, float, bool]]


@dataclass(frozen=True)
class Arguments:
    """What to tune, how many trials, and where results are kept."""

    family: str = "cheetah-dynamics"
    """Family."""
    agent: str = "maml"
    """Agent."""
    trials: int = 20
    """Settings to try, the defaults among them."""
    steps: int = 1_000_000
    """Control steps of meta-training a trial."""
    tasks: int = 32
    """Validation tasks."""
    query_episodes: int = 4
    """Episodes per task that evaluate a deployed policy."""
    seed: int = 0
    """Of the training of every trial, and of the search."""
    out: Path = Path("runs/tune")
    """Folder of runs and study: a second call goes on where the first one stopped."""
    results: Path = Path("results/tune")
    """Folder of the best settings."""
    parallel: int = 1
    """Trials that are chosen together, and on a cluster run together. What is chosen
    depends on it."""
    cluster: str = ""
    """Run the trials as tasks of Ray: local, auto or an address."""
    cpus_per_cell: int = 1
    """Cores of a trial on a cluster."""
    quick: bool = False
    """A small size that shows the way, not the result."""


def main(arguments: Arguments) -> None:
    """Search an agent's hyper-parameters on a family; needs the extra `tune`.

    Every trial is evaluated on unused tasks from the train ranges.
    """
    if arguments.quick:
        arguments = dataclasses.replace(
            arguments,
            trials=min(arguments.trials, 3),
            steps=min(arguments.steps, 20_000),
            tasks=4,
            query_episodes=1,
            out=arguments.out / "quick",
            results=arguments.out / "quick",
        )
    command = command_line()
    space, defaults = space_of(arguments.agent)
    study = open_study(arguments, defaults)
    if arguments.parallel < 1:
        raise InputError(f"parallel={arguments.parallel} must be 1 or more.")
    with _ray(arguments):
        while len(finished(study)) < arguments.trials:
            run_trials(study, arguments, space, command)
    path = arguments.results / f"{study.study_name}.json"
    write_json(path, summary(study, arguments, defaults, command))
    best = study.best_trial
    print(f"Best of {arguments.trials}: {best.value:.4g} with {shown(best.params)}")
    print(f"Written: {path}")


def space_of(agent: str) -> tuple[Bounds, dict[str, Any]]:
    """What of the search space an agent's config has, and its defaults.

    Raises:
        InputError: for an unknown agent, or one that has nothing to tune.
    """
    space, defaults = {}, {}
    for field in dataclasses.fields(find_agent(agent).Config):
        bounds = SPACE.get(f"{agent}.{field.name}", SPACE.get(field.name))
        if bounds:
            space[field.name], defaults[field.name] = bounds, field.default
    if not space:
        raise InputError(f"Agent {agent!r} has no field of SPACE in {__file__}.")
    return space, defaults


def open_study(arguments: Arguments, defaults: dict[str, Any]) -> "optuna.Study":
    """The study in ``out``, new or as it was left."""
    try:
        import optuna
        from optuna.storages import JournalStorage, journal
    except ImportError:
        raise SystemExit(
            "Tuning needs an extra: pip install 'metarl-suite[tune]'"
        ) from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    arguments.out.mkdir(parents=True, exist_ok=True)
    name = f"{label(arguments.family)}-{label(arguments.agent)}"
    file = journal.JournalFileBackend(str(arguments.out / f"{name}.journal"))
    study = optuna.create_study(
        storage=JournalStorage(file),
        study_name=name,
        direction="maximize",
        load_if_exists=True,
    )
    # Studies of another size or seed cannot be compared.
    sizes = {
        name: getattr(arguments, name)
        for name in ("family", "agent", "steps", "tasks", "query_episodes", "seed")
    }
    if arguments.parallel > 1:
        sizes["parallel"] = arguments.parallel
    if study.user_attrs.get("sizes", sizes) != sizes:
        raise InputError(
            f"The study {name} in {arguments.out} was begun with "
            f"{shown(study.user_attrs['sizes'])}. Choose another folder with --out."
        )
    study.set_user_attr("sizes", sizes)
    if not study.trials:
        study.enqueue_trial(defaults)
    for trial in study.get_trials(states=[optuna.trial.TrialState.RUNNING]):
        study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
        study.enqueue_trial(trial.params)  # its run goes on where it stopped
    return study


def finished(study: "optuna.Study") -> list[Any]:
    """The trials that are over; a pruned one is a training that broke down."""
    return [
        trial for trial in study.trials if trial.state.name in ("COMPLETE", "PRUNED")
    ]


def _ray(arguments: Arguments) -> AbstractContextManager[object]:
    """One Ray for all rounds of trials."""
    if not arguments.cluster:
        return nullcontext()
    return connected(arguments.cluster, len(os.sched_getaffinity(0)))


def run_trials(
    study: "optuna.Study", arguments: Arguments, space: Bounds, command: str
) -> None:
    """Train and evaluate a round of settings, which end in the order of their start.

    The rounds begin where they would in a search that nothing interrupted.
    """
    first = len(finished(study))
    count = arguments.parallel - first % arguments.parallel
    numbers = range(first, min(first + count, arguments.trials))
    trials = [ask(study, arguments, space, number) for number in numbers]
    for number, trial in zip(numbers, trials, strict=True):
        of = f"Trial {number + 1} of {arguments.trials}"
        print(f"{of}: {shown(trial.params)}", flush=True)
    calls = [(arguments, trial.params, command) for trial in trials]
    outcomes: dict[int, Any] = {}
    if arguments.cluster:
        jobs, cpus = [Job(validate, call) for call in calls], arguments.cpus_per_cell
        ending = f"of {len(jobs)} trials are done"
        outcomes.update(
            results(jobs, arguments.cluster, cpus, lambda done: f"{done} {ending}")
        )
    for index, (trial, call) in enumerate(zip(trials, calls, strict=True)):
        try:
            outcome = outcomes[index] if arguments.cluster else validate(*call)
            if isinstance(outcome, RunError):
                raise outcome
        except DivergedError as error:
            print(f"  broke down: {error}")
            study.tell(trial, state=_pruned())
        else:
            print(f"  {outcome:.4g}", flush=True)
            study.tell(trial, outcome)


def ask(
    study: "optuna.Study", arguments: Arguments, space: Bounds, number: int
) -> "optuna.Trial":
    """The next setting to try."""
    import optuna

    # A sampler for each trial: an interrupted search then tries what an unbroken one
    # does.
    seed = key(arguments.seed, "trial", number) % 2**32
    study.sampler = optuna.samplers.TPESampler(seed=seed)
    trial = study.ask()
    for name, (low, high, log) in space.items():
        if isinstance(low, int):
            trial.suggest_int(name, low, int(high), log=log)
        else:
            trial.suggest_float(name, low, high, log=log)
    return trial


def _pruned() -> Any:
    import optuna

    return optuna.trial.TrialState.PRUNED


def validate(arguments: Arguments, settings: dict[str, Any], command: str) -> float:
    """Area under the adaptation curve of an agent trained with these settings.

    Interquartile mean over the validation tasks of the mean return of the deployed
    policy over the logarithm of the budget: early gains count most.
    """
    run = metarl.train(
        arguments.family,
        arguments.agent,
        seed=arguments.seed,
        steps=arguments.steps,
        out=arguments.out,
        agent_config=settings,
        command=command,
        reuse=True,
        quiet=True,
    )
    evaluation = metarl.evaluate(
        run,
        splits=["train"],
        tasks=arguments.tasks,
        budgets=BUDGETS,
        query_episodes=arguments.query_episodes,
        seed=VALIDATION_SEED,
    )
    returns = evaluation.splits["train"].scores("return")
    return float(interval(area_under_curve(BUDGETS, returns)).value)


def summary(
    study: "optuna.Study", arguments: Arguments, defaults: dict[str, Any], command: str
) -> dict[str, Any]:
    """What was tried and what came of it, as the result file holds it."""
    trials = finished(study)
    return {
        "command": command,
        "commit": commit(),
        **study.user_attrs["sizes"],
        "trials": len(trials),
        "validation": {
            "split": "train",
            "seed": VALIDATION_SEED,
            "budgets": BUDGETS,
            "measure": "area under the return over log(1 + budget), IQM over tasks",
        },
        "defaults": {"value": trials[0].value, "settings": defaults},
        "best": {"value": study.best_value, "settings": study.best_params},
        "tried": [{"value": t.value, "settings": t.params} for t in trials],
    }


def shown(settings: dict[str, Any]) -> str:
    """Settings on one line."""
    return ", ".join(
        f"{name}={value:.3g}" if isinstance(value, float) else f"{name}={value}"
        for name, value in settings.items()
    )


if __name__ == "__main__":
    main(tyro.cli(Arguments))
