"""Several trainings on the same data, one after another or at the same time; each is planned once, whatever its seeds."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from ...pipeline.training.run_folder import RunFolder
from ..console import say, silent
from ..places import run_name
from ..stage_two.options import TrainOptions
from ..stage_two.plan import Plan, TrainingData, make_plan
from ..stage_two.train import train_plan
from .methods import Method
from .processes import in_processes, run_of, train_named


def planned(options: TrainOptions, methods: Sequence[Method], data: TrainingData) -> dict[Method, Plan]:
    """Return what each method will do on the same data, each checked once. Raises AevlpError for what cannot be trained."""
    return {method: make_plan(replace(options, loss=method.loss, policy=method.policy), data) for method in methods}


def seeded(plan: Plan, seed: int, run: Path) -> Plan:
    """Return a plan with another seed and folder: nothing is read again."""
    return replace(plan, options=replace(plan.options, seed=seed, run=run))


def train_each(
    plans: Mapping[Method, Plan], seeds: int, folder_of: Callable[[Method], Path]
) -> dict[Method, list[Path]]:
    """Train every plan with the seeds 0, 1, …; return the runs of each method. Finished ones are reused.

    folder_of: a method -> what its runs are called, up to their seed.
    """
    runs: dict[Method, list[Path]] = {method: [] for method in plans}
    for seed in range(seeds):
        for method, plan in plans.items():
            say(f"stage two: {method.loss}, seed {seed}")
            place = folder_of(method)
            path = place.with_name(run_name(place.name, seed))
            runs[method].append(train_plan(seeded(plan, seed, path), path))
    return runs


def train_with_a_line_each(trainings: Sequence[Plan], jobs: int) -> None:
    """Train what is not finished as `train_at_once` does, and say a line for each that ends."""
    waiting = [plan for plan in trainings if not RunFolder(run_of(plan)).finished()]
    done = len(trainings) - len(waiting)
    if done:
        say(f"{done} of {len(trainings):,} trainings are finished already")

    def tell(plan: Plan) -> None:
        nonlocal done
        done += 1
        folder = RunFolder(run_of(plan))
        test_map, seconds = 100 * folder.metrics()[-1]["test_map"], seconds_of(folder)[0]
        name = folder.path.name.rpartition("-seed")[0]
        say(f"{name} seed {plan.options.seed}: test mAP {test_map:.1f} ({seconds:,.0f} s) · {done} of {len(trainings)}")

    train_at_once(waiting, jobs, tell)


def seconds_of(folder: RunFolder) -> tuple[float, int]:
    """Return how long a training took, and how many epochs it had."""
    epochs = [line["seconds"] for line in folder.metrics() if "seconds" in line]
    return sum(epochs), len(epochs)


def train_at_once(trainings: Sequence[Plan], jobs: int, finished: Callable[[Plan], None] = lambda _: None) -> None:
    """Train plans on the same data, each into its own `run`, `jobs` at a time; `finished` is told of each that ends.

    Nothing is printed. One job runs in this process; several run in as many processes, which share the cores and have a GPU each
    by turns. A run folder that is finished is reused, one that is not is resumed.
    The first training that fails ends the others, SIGINT and SIGTERM end all: each saves its state, and the same call resumes.
    Raises AevlpError, in one line, for a training that failed and a process that died, KeyboardInterrupt after a signal.
    """
    jobs = min(jobs, len(trainings))
    if jobs > 1:
        in_processes(trainings, jobs, finished)
        return
    for plan in trainings:
        with silent():
            train_named(plan)
        finished(plan)
