"""Losses, policies and seeds on one cache -> trainings on equal terms, and a table with what they differ by."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from ...pipeline.errors import AevlpError
from ...pipeline.evaluation.intervals import (
    LEVEL,
    Interval,
    Judged,
    NoInterval,
    difference_interval,
    judge,
    map_interval,
    repeated,
)
from ...pipeline.losses import entry
from ...pipeline.method_names import file_name, parsed
from ...pipeline.review.corrections import CorrectedCache
from ...pipeline.runtime.provenance import versions
from ...pipeline.score_cache import ScoreCache
from ...pipeline.training.run_folder import RunFolder
from ..console import each_once, say
from ..declaration import takes
from ..interrupted import keeping
from ..places import RUNS, run_name
from ..results import Table
from ..stage_two.labels_plan import policy_of
from ..stage_two.options import TrainingOptions, TrainOptions
from ..stage_two.plan import Plan, TrainingData, training_data
from ..stage_two.settings import settings_of
from .comparison_table import comparison_html, comparison_rows, left_out_lines, save, show_comparison
from .earlier_trainings import Trained, earlier_trainings
from .methods import ALL, Method, methods_of
from .options import CompareOptions
from .processes import gpus, run_of
from .results import ends, scores_on_test
from .trainings import planned, seconds_of, seeded, train_with_a_line_each
from .untrained import Untrained, untrained


@dataclass(frozen=True, repr=False)
class Comparison(Table):
    """Trainings on equal terms, a row for each method, the best first and upper bounds last; mAP as fractions.

    After them a row for each way to read CLIP's scores without training, where full labels are known.

    record: all that is known, as results.json has it. folder: of the runs, with results.json, results.csv and results.md.
    """

    record: dict[str, Any]
    folder: Path

    def __fspath__(self) -> str:
        return str(self.folder)

    @property
    def rows(self) -> Sequence[dict[str, Any]]:
        """Loss, policy, test mAP of each seed, mean, differences from the baseline and CLIP, intervals or None, and the cost."""
        return comparison_rows(self.record)

    def summary(self) -> dict[str, Any]:
        """Return the best method and the baseline."""
        best = self.rows[0]
        return {
            "best": f"{best['loss']} {100 * best['mean']:.2f} %",
            "baseline": self.record["baseline"],
            "methods": len(self.record["methods"]),
            "folder": self.folder,
        }

    def to_json(self) -> dict[str, Any]:
        """Return what results.json holds."""
        return self.record

    def _repr_html_(self, shown: int = 20) -> str:
        return comparison_html(self.record)


@takes(CompareOptions)
def compare(options: CompareOptions) -> Comparison:
    """Train every loss with every policy and seed that is not finished yet, and return how they compare.

    What an earlier comparison trained into the same folder on equal terms stays in the table. The cache is opened and compared
    with its data set once, and each method is planned once, whatever its seeds.
    Raises AevlpError before any training for whatever `make_plan` refuses in one that is named, for a run folder with other
    settings, and where the cache has no test split; `all` leaves out what it refuses.
    """
    losses, policies = options.losses, options.policies
    methods = methods_of(losses, policies, options.set or ())
    if policies and not any(method.policy for method in methods):
        raise AevlpError(
            f"none of {', '.join(losses)} reads labels of a policy: leave --policies out, or add a loss that does"
        )
    shared = {of.name: getattr(options, of.name) for of in fields(TrainingOptions) if of.name != "progress"}
    common = TrainOptions(options.cache, **shared)
    data = training_data(common)
    cache, spec = data.cache, data.spec
    if policies and ALL not in policies:
        for policy in {method.policy: None for method in methods if method.policy}:
            policy_of(policy, "gpr", entry("gpr"), cache, spec)
    if not len(data.test.rows):
        raise AevlpError(
            f"{cache.path} has no test split to evaluate trainings by: aevlp train {cache.path} trains one"
        )
    say(f"comparing on {cache.path}, methods: {len(methods)}, seeds: {options.seeds}")
    if isinstance(cache, CorrectedCache):
        say(f"all are trained with {cache.answers_of(data.train.rows)}")
    backbone = options.backbone or spec.recipe.backbone
    folder = options.runs or RUNS / f"compare-{options.cache.stem}-{file_name(backbone)}"
    plans, left_out = _plans(replace(common, set=None), methods, data)
    trained = {method: Trained.planned(plan, method, folder, options.seeds) for method, plan in plans.items()}
    kept, dropped = earlier_trainings(folder, plans, options.seeds)
    baseline = _baseline(options.baseline, [*plans, *(method for method in kept if method not in plans)])
    trainings = [
        (method, seeded(plan, seed, folder / run_name(method.name, seed)))
        for seed in range(options.seeds)
        for method, plan in plans.items()
    ]
    for _, plan in trainings:
        _check_folder(plan)
    every = {**trained, **kept}
    teachers = untrained(data, {method: of.settings.get("policy") for method, of in every.items()})
    with keeping("all that was finished is kept, and the state of what was not; the same command resumes"):
        train_with_a_line_each(
            [teachers.told(*training) for training in trainings], options.jobs or max(1, gpus(options.device))
        )
    record = {
        "cache": str(options.cache),
        "cache_fingerprint": cache.fingerprint,
        "dataset": spec.name,
        **({"corrections": data.corrections.record} if data.corrections is not None else {}),
        "images": {part: len(getattr(data, part).rows) for part in ("train", "val", "test")},
        "seeds": options.seeds,
        "baseline": baseline.title,
        "intervals": {"level": LEVEL, "method": "jackknife"},
        "teachers": teachers.records(),
        "methods": _judged(cache, every, baseline, teachers),
        "left_out": {**left_out, **dropped},
        "versions": versions(),
    }
    save(record, folder)
    return Comparison(record, folder)


def show(result: Comparison) -> None:
    """Print the tables, in what room there is, and where everything is."""
    show_comparison(result.record, result.folder)


def _plans(
    common: TrainOptions, methods: Sequence[Method], data: TrainingData
) -> tuple[dict[Method, Plan], dict[str, str]]:
    """Return what each method will do, and why those of `all` are left out that cannot be trained."""
    plans: dict[Method, Plan] = {}
    left_out: dict[str, str] = {}
    with each_once():
        for method in methods:
            try:
                plans |= planned(common, [method], data)
            except AevlpError as error:
                if method.named:
                    raise
                left_out[method.title] = str(error)
    if not plans:
        raise AevlpError(
            f"none of {len(methods)} losses can be trained, {methods[0].title}: {left_out[methods[0].title]}"
        )
    for line in left_out_lines(left_out):
        say(line)
    return plans, left_out


def _baseline(name: str | None, methods: Sequence[Method]) -> Method:
    if name is None:
        return next((method for method in methods if method.loss == "an"), methods[0])
    asked = str(parsed(name))
    for method in methods:
        if asked in (method.loss, method.title, method.name):
            return method
    for method in methods:  # by its loss's name alone, where that was given constants
        if asked == parsed(method.loss).name:
            return method
    raise AevlpError(
        f"--baseline {name} is none of what is compared: expected one of {', '.join(method.title for method in methods)}"
    )


def _check_folder(plan: Plan) -> None:
    """Raise AevlpError where something else stands in the place of a run, or the run has other settings."""
    folder = RunFolder(run_of(plan))
    if folder.settings_file.exists():
        folder.require(settings_of(plan), "--runs DIR")
    elif folder.path.exists() and not folder.path.is_dir():
        raise AevlpError(f"{folder.path} is a file, where a run should go: remove it, or choose another --runs")
    elif folder.path.exists() and any(not file.name.endswith(".tmp") for file in folder.path.iterdir()):
        raise AevlpError(f"{folder.path} holds something that is no run: remove it, or choose another --runs")


def _judged(
    cache: ScoreCache, trained: Mapping[Method, Trained], baseline: Method, teachers: Untrained
) -> list[dict[str, Any]]:
    """Return a row for each method, upper bounds last, the best mean first; mAP and differences as fractions."""
    judged: dict[Method, Judged] = {method: judge(*scores_on_test(cache, of.runs)) for method, of in trained.items()}
    each = {method: [float(value) for value in found.maps] for method, found in judged.items()}
    rows = []
    for method, of in trained.items():
        mean = statistics.mean(each[method])
        difference = difference_interval(judged[method], judged[baseline])
        seconds, epochs = zip(*(seconds_of(RunFolder(path)) for path in of.runs), strict=True)
        rows.append(
            {
                "loss": method.loss,
                "policy": method.policy,
                "paper": of.paper,
                "year": of.year,
                "oracle": of.oracle,
                "baseline": method == baseline,
                "each": each[method],
                "mean": mean,
                **ends("interval", map_interval(judged[method])),
                "difference": _lead(each[method], each[baseline]),
                **ends("difference_interval", difference),
                "differs": _differs(difference),
                **_over_teacher(judged[method], teachers, method),
                "seconds": statistics.mean(seconds),
                "seconds_an_epoch": sum(seconds) / sum(epochs),
                "epochs": list(epochs),
                "settings": of.settings,
                "runs": [str(path) for path in of.runs],
            }
        )
    return sorted(rows, key=lambda row: (row["oracle"], -row["mean"]))


def _over_teacher(judged: Judged, teachers: Untrained, method: Method) -> dict[str, Any]:
    """Return by how much a method is better than CLIP without training, read by the score of its own policy."""
    teacher = teachers.of(method)
    if teacher is None:
        return {}
    difference = difference_interval(judged, repeated(teacher.judged, len(judged.maps)))
    return {
        "teacher": teacher.title,
        "over_teacher": float(judged.maps.mean()) - teacher.map,
        **ends("over_teacher_interval", difference),
        "differs_from_teacher": _differs(difference),
    }


def _differs(difference: Interval | NoInterval) -> bool:
    return isinstance(difference, Interval) and (difference.low > 0 or difference.high < 0)


def _lead(each: Sequence[float], of_baseline: Sequence[float]) -> float:
    """Return by how much a method is better in the mean of the seeds that both were trained with: the first ones."""
    both = min(len(each), len(of_baseline))
    return statistics.mean(each[:both]) - statistics.mean(of_baseline[:both])
