"""Losses, policies and seeds on one cache -> trainings on equal terms, and a table with what they differ by."""

import csv
import json
import statistics
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ...pipeline import losses
from ...pipeline.errors import AevlpError
from ...pipeline.evaluation.intervals import LEVEL, Interval, Judged, difference_interval, judge, map_interval
from ...pipeline.files.atomic_write import replacing
from ...pipeline.files.image_formats import MAX_PIXELS
from ...pipeline.runtime.provenance import versions
from ...pipeline.score_cache import ScoreCache, open_whole_cache
from ...pipeline.training.run_folder import RunFolder
from ..cache_origin import dataset_of
from ..console import out, print_json, print_table, results_aside, say
from ..interrupted import keeping
from ..stage_two.labels_plan import policy_of
from ..stage_two.options import TrainOptions
from ..stage_two.plan import Plan, make_plan
from ..stage_two.settings import settings_of
from .earlier_trainings import Trained, earlier_trainings
from .methods import Method, methods_of
from .trainings import ends, ends_cell, file_name, gpus, scores_on_test, train_at_once, why_none

SHARED = (
    "backbone", "head", "weights", "epochs", "batch_size", "lr", "device", "workers", "manifest", "data_root", "image_cache",
    "max_pixels",
)  # fmt: skip
FULL = "With full labels: upper bounds, and policies fitted to some"
HEADER = (
    "loss",
    "policy",
    "each seed",
    "mean",
    "95 % interval",
    "difference",
    "95 % interval",
    "time (s)",
    "s/epoch",
)


@dataclass(frozen=True)
class Options:
    """What the command line may say; None takes the manifest's value, or what fits the machine."""

    cache: Path
    losses: Sequence[str]
    policies: Sequence[str] | None = None
    seeds: int = 3
    baseline: str | None = None
    backbone: str | None = None
    head: str | None = None
    weights: str | None = None
    epochs: int | None = None
    batch_size: int | None = None
    lr: float | None = None
    device: str | None = None
    jobs: int | None = None
    runs: Path | None = None
    workers: int = 2
    manifest: Path | Sequence[Path] | None = None
    data_root: Path | None = None
    json: bool = False
    image_cache: Path | None = None
    max_pixels: int = MAX_PIXELS


def run(options: Options) -> None:
    """Train every loss with every policy and seed that is not finished yet, print the table, save it beside the runs.

    What an earlier comparison trained into the same folder on equal terms stays in the table.

    Raises AevlpError before any training for whatever `make_plan` refuses in one that is named, for a run folder with other
    settings, and where the cache has no test split; `all` leaves out what it refuses.
    """
    with results_aside() if options.json else nullcontext():
        record, folder = _compared(options)
    if options.json:
        print_json(record)
        return
    fair, bounds = ([row for row in record["methods"] if row["oracle"] is oracle] for oracle in (False, True))
    if fair:
        print_table(f"Test mAP on {record['dataset']} (%)", HEADER, map(_cells, fair), right=range(2, len(HEADER)))
    if bounds:
        print_table(FULL, HEADER, map(_cells, bounds), right=range(2, len(HEADER)))
    out.print(_notes(record))
    out.print(f"{folder} holds the runs, and these figures as results.json, results.csv and results.md")


def _compared(options: Options) -> tuple[dict[str, Any], Path]:
    cache = open_whole_cache(options.cache)
    methods = methods_of(options.losses, options.policies)
    if options.policies and not any(method.policy for method in methods):
        raise AevlpError(
            f"none of {', '.join(options.losses)} reads labels of a policy: leave --policies out, or add a loss that does"
        )
    spec = dataset_of(cache, None, options.manifest)
    for policy in options.policies or ():
        policy_of(policy, "gpr", losses.entry("gpr"), cache, spec)
    if not (cache.split[cache.status == "ok"] == "test").any():
        raise AevlpError(
            f"{cache.path} has no test split to judge trainings by: aevlp train --cache {cache.path} trains one"
        )
    say(f"comparing on {cache.path}, methods: {len(methods)}, seeds: {options.seeds}")
    backbone = options.backbone or spec.recipe.backbone
    folder = options.runs or Path("runs") / f"compare-{options.cache.stem}-{file_name(backbone)}"
    plans, left_out = _plans(options, methods, folder)
    trained = {method: Trained.planned(plan, method, folder, options.seeds) for method, plan in plans.items()}
    kept, dropped = earlier_trainings(folder, plans, options.seeds)
    baseline = _baseline(options.baseline, [*plans, *(method for method in kept if method not in plans)])
    trainings = [
        replace(plan.options, seed=seed, run=folder / f"{method.name}-seed{seed}")
        for seed in range(options.seeds)
        for method, plan in plans.items()
    ]
    plan_of = {method.name: plan for method, plan in plans.items()}
    for training in trainings:
        assert training.run is not None
        _check_folder(RunFolder(training.run), plan_of[training.run.name.rpartition("-seed")[0]], training)
    with keeping("all that was finished is kept, and the state of what was not; the same command goes on"):
        _train(trainings, options.jobs or max(1, gpus(options.device)))

    plan = next(iter(plans.values()))
    record = {
        "cache": str(options.cache),
        "cache_fingerprint": cache.fingerprint,
        "dataset": spec.name,
        "images": {part: len(getattr(plan, part).rows) for part in ("train", "val", "test")},
        "seeds": options.seeds,
        "baseline": baseline.name,
        "intervals": {"level": LEVEL, "method": "jackknife"},
        "methods": _judged(cache, {**trained, **kept}, baseline),
        "left_out": {**left_out, **dropped},
        "versions": versions(),
    }
    _save(record, folder)
    return record, folder


def _plans(options: Options, methods: Sequence[Method], folder: Path) -> tuple[dict[Method, Plan], dict[str, str]]:
    """Return what each method will do, and why those of `all` are left out that cannot be trained."""
    plans: dict[Method, Plan] = {}
    left_out: dict[str, str] = {}
    for method in methods:
        training = TrainOptions(
            options.cache,
            loss=method.loss,
            policy=method.policy,
            run=folder / f"{method.name}-seed0",
            **{name: getattr(options, name) for name in SHARED},
        )
        try:
            plans[method] = make_plan(training)
        except AevlpError as error:
            if method.loss in options.losses:
                raise
            left_out[method.name] = str(error)
    if not plans:
        raise AevlpError(
            f"none of {len(methods)} losses can be trained, {methods[0].name}: {left_out[methods[0].name]}"
        )
    for name, reason in left_out.items():
        say(f"{name} is left out: {reason}")
    return plans, left_out


def _baseline(name: str | None, methods: Sequence[Method]) -> Method:
    if name is None:
        return next((method for method in methods if method.loss == "an"), methods[0])
    for method in methods:
        if name in (method.name, method.loss):
            return method
    raise AevlpError(
        f"--baseline {name} is none of what is compared: expected one of {', '.join(method.name for method in methods)}"
    )


def _check_folder(folder: RunFolder, plan: Plan, training: TrainOptions) -> None:
    """Raise AevlpError where something else stands in the place of a run, or the run has other settings."""
    if folder.settings_file.exists():
        folder.require(settings_of(replace(plan, options=training)))
    elif folder.path.exists() and not folder.path.is_dir():
        raise AevlpError(f"{folder.path} is a file, where a run should go: remove it, or choose another --runs")
    elif folder.path.exists() and any(not file.name.endswith(".tmp") for file in folder.path.iterdir()):
        raise AevlpError(f"{folder.path} holds something that is no run: remove it, or choose another --runs")


def _train(trainings: Sequence[TrainOptions], jobs: int) -> None:
    """Run what is not finished, with a line for each that ends."""

    def folder_of(training: TrainOptions) -> RunFolder:
        assert training.run is not None
        return RunFolder(training.run)

    waiting = [training for training in trainings if not folder_of(training).finished()]
    done = len(trainings) - len(waiting)
    if done:
        say(f"{done} of {len(trainings)} trainings are finished already")

    def tell(training: TrainOptions) -> None:
        nonlocal done
        done += 1
        run_folder = folder_of(training)
        test_map, seconds = 100 * run_folder.metrics()[-1]["test_map"], _seconds(run_folder)[0]
        name = run_folder.path.name.rpartition("-seed")[0]
        say(f"{name} seed {training.seed}: test mAP {test_map:.1f} ({seconds:,.0f} s) · {done} of {len(trainings)}")

    train_at_once(waiting, jobs, tell)


def _seconds(folder: RunFolder) -> tuple[float, int]:
    """Return how long a training took, and how many epochs it had."""
    epochs = [line["seconds"] for line in folder.metrics() if "seconds" in line]
    return sum(epochs), len(epochs)


def _judged(cache: ScoreCache, trained: Mapping[Method, Trained], baseline: Method) -> list[dict[str, Any]]:
    """Return a row for each method, upper bounds last, the best mean first; mAP and differences as fractions."""
    judged: dict[Method, Judged] = {method: judge(*scores_on_test(cache, of.runs)) for method, of in trained.items()}
    each = {method: [float(value) for value in found.maps] for method, found in judged.items()}
    rows = []
    for method, of in trained.items():
        mean = statistics.mean(each[method])
        difference = difference_interval(judged[method], judged[baseline])
        seconds, epochs = zip(*(_seconds(RunFolder(path)) for path in of.runs), strict=True)
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
                "differs": isinstance(difference, Interval) and (difference.low > 0 or difference.high < 0),
                "seconds": statistics.mean(seconds),
                "seconds_an_epoch": sum(seconds) / sum(epochs),
                "epochs": list(epochs),
                "settings": of.settings,
                "runs": [str(path) for path in of.runs],
            }
        )
    return sorted(rows, key=lambda row: (row["oracle"], -row["mean"]))


def _lead(each: Sequence[float], of_baseline: Sequence[float]) -> float:
    """Return by how much a method is better in the mean of the seeds that both were trained with: the first ones."""
    both = min(len(each), len(of_baseline))
    return statistics.mean(each[:both]) - statistics.mean(of_baseline[:both])


def _cells(row: Mapping[str, Any]) -> list[str]:
    """Return a method's row of the table, as text, in percent."""
    between = ends_cell(row, "difference_interval", "{:+.2f} to {:+.2f}")
    difference = ["baseline", ""] if row["baseline"] else [f"{100 * row['difference']:+.2f}", between]
    return [
        row["loss"],
        row["policy"] or "-",
        " ".join(f"{100 * value:.1f}" for value in row["each"]),
        f"{100 * row['mean']:.2f}",
        ends_cell(row, "interval"),
        difference[0] + ("*" if row["differs"] else ""),
        difference[1],
        f"{row['seconds']:,.1f}",
        f"{row['seconds_an_epoch']:,.2f}",
    ]


def _notes(record: Mapping[str, Any]) -> str:
    return (
        f"* differs from {record['baseline']}: the paired interval of the difference, over the same images and seeds, does not "
        f"hold 0; mean time of a training{why_none(record['methods'])}"
    )


def _save(record: Mapping[str, Any], folder: Path) -> None:
    """Write the results for programs, for spreadsheets and for readers."""
    with replacing(folder / "results.json") as temporary:
        temporary.write_text(json.dumps(record, indent=1, ensure_ascii=False), encoding="utf-8")
    with replacing(folder / "results.csv") as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        plain = ("loss", "policy", "oracle", "baseline", "mean", "difference", "differs", "seconds", "seconds_an_epoch")
        intervals, reason = ("interval", "difference_interval"), "interval_reason"
        seeds = [f"seed_{n}" for n in range(max(len(row["each"]) for row in record["methods"]))]
        writer = csv.writer(file)
        writer.writerow([*plain, *(f"{name}_{end}" for name in intervals for end in ("low", "high")), reason, *seeds])
        for row in record["methods"]:
            values = [row[name] if row[name] is not None else "-" for name in plain]
            both = [end for name in intervals for end in row[name] or ("", "")]
            writer.writerow([*values, *both, row.get(reason, ""), *row["each"]])
    with replacing(folder / "results.md") as temporary:
        temporary.write_text(_markdown(record), encoding="utf-8")


def _markdown(record: Mapping[str, Any]) -> str:
    lines = [f"# Test mAP on {record['dataset']} (%)"]
    for title, oracle in (("", False), (FULL, True)):
        rows = [_cells(row) for row in record["methods"] if row["oracle"] is oracle]
        if rows:
            marks = ["---" if n < 2 else "---:" for n in range(len(HEADER))]
            table = [f"| {' | '.join(cells)} |" for cells in (HEADER, marks, *rows)]
            lines += ["", *([f"## {title}", ""] if title else []), *table]
    lines += ["", _notes(record).replace("*", "\\*", 1)]
    lines += ["", *(f"- {name} is left out: {reason}" for name, reason in record["left_out"].items())]
    return "\n".join(lines).rstrip() + "\n"
