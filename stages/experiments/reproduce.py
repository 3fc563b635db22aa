"""The whole protocol of a data set: both stages, several losses and seeds, and the table beside the published row."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ...pipeline.clip import libraries
from ...pipeline.clip.source import ClipSource
from ...pipeline.errors import AevlpError
from ...pipeline.files.absent_files import Absent
from ...pipeline.files.atomic_write import replacing
from ...pipeline.manifest.formats import DatasetSpec
from ...pipeline.manifest.load import load_manifest
from ...pipeline.runtime.provenance import versions
from ...pipeline.training import timm_backbones
from ...pipeline.training.run_folder import RunFolder
from ..console import out, say
from ..data import datasets
from ..declaration import takes
from ..interrupted import keeping
from ..made import note
from ..places import CACHES, RUNS
from ..results import Table
from ..stage_one.pseudolabel import pseudolabel
from ..stage_two.options import TrainOptions
from ..stage_two.plan import training_data
from .earlier_trainings import earlier_runs, recorded_rows
from .methods import Method, methods_of
from .options import ReproduceOptions
from .results import measure, show_results
from .trainings import planned, train_each
from .untrained import untrained

SHOWN = ("each", "mean", "interval", "published")


@dataclass(frozen=True, repr=False)
class Reproduction(Table):
    """The protocol of a data set, a row for CLIP's scores without training, where full labels are known, and for each loss.

    mAP as fractions.

    record: all that is known, as results.json has it; empty where something is missing. missing: data and weights that are not on
    this machine, for which nothing was done. name: the data set's, with the rules that are not the paper's. cache, folder: where
    scores and runs are.
    """

    name: str
    cache: Path
    folder: Path
    record: dict[str, Any]
    missing: tuple[Absent, ...] = ()

    @property
    def rows(self) -> Sequence[dict[str, Any]]:
        """Loss, test mAP of each seed, mean, interval (None where there is none), and what was published."""
        teachers = {row["title"]: {**row, "each": []} for row in self.record.get("teachers", [])}
        measured = {**teachers, **self.record.get("losses", {})}
        return [{"loss": title, **{name: row.get(name) for name in SHOWN}} for title, row in measured.items()]

    @property
    def failed(self) -> str:  # type: ignore[override]
        """What is missing, as a sentence; empty where nothing is."""
        if not self.missing:
            return ""
        things = f"{len(self.missing)} things are" if len(self.missing) > 1 else "one thing is"
        names = ", ".join(absent.what for absent in self.missing)
        return f"{self.name} cannot be reproduced yet, {things} missing: {names}; nothing was done"

    def summary(self) -> dict[str, Any]:
        """Return the mean of each loss, or what is missing."""
        if self.missing:
            return {"missing": ", ".join(absent.what for absent in self.missing)}
        return {row["loss"]: f"{100 * row['mean']:.2f} %" for row in self.rows}

    def to_json(self) -> dict[str, Any]:
        """Return what results.json holds, or what is missing."""
        return self.record or {"dataset": self.name, "missing": [asdict(absent) for absent in self.missing]}


@takes(ReproduceOptions)
def reproduce(options: ReproduceOptions) -> Reproduction:
    """Score the data set, train every loss with every seed, save the table and return it; what is finished already is reused.

    compat: "published" scores by the published program's rules, and trains in single precision as it does, on a GPU too.
    Where data or weights are missing nothing is done, and what is returned names them.
    """
    methods = methods_of(options.losses, None, options.set or ())
    spec = load_manifest(options.manifest)[options.dataset]
    losses = ", ".join(method.short_title for method in methods)
    say(f"reproducing {spec.title}: {losses}, seeds: {options.seeds}, {options.compat} form")
    variant = spec.name if options.compat == "paper" else f"{spec.name}-{options.compat}"
    cache_path = options.cache or CACHES / f"{variant}.h5"
    folder = options.runs or RUNS / f"reproduce-{variant}"
    if missing := absent_files(spec, options.data_root or spec.default_root()):
        return Reproduction(spec.name, cache_path, folder, {}, tuple(missing))
    with keeping("all that was finished is kept, and the state of what was not; the same command resumes"):
        record = _whole_protocol(options, methods, spec, cache_path, folder)
    return Reproduction(variant, cache_path, folder, record)


def show(result: Reproduction) -> None:
    """Print the table and where everything is, or each missing file and how to get it."""
    if result.missing:
        _show_missing(result.name, result.missing)
        return
    figures = result.folder / "results.json"
    record = result.record
    show_results(f"Test mAP on {result.name} (%)", record["losses"], record["teachers"], f"{figures} has all")
    out.print(f"{result.cache} and {result.folder} hold everything, {figures} these figures")


def _whole_protocol(
    options: ReproduceOptions, methods: Sequence[Method], spec: DatasetSpec, cache_path: Path, folder: Path
) -> dict[str, Any]:
    common = {"data_root": options.data_root, "manifest": options.manifest, "device": options.device}
    say(f"stage one: scoring {spec.title}")
    note(pseudolabel(dataset=spec.name, cache=cache_path, compat=options.compat, workers=options.workers, **common))
    training = TrainOptions(cache_path, workers=options.workers, amp=options.compat == "paper", **common)
    data = training_data(training)
    cache = data.cache
    if not len(data.test.rows):
        raise AevlpError(f"{spec.name} has no test split to evaluate trainings by: aevlp train {cache_path} trains one")
    plans = planned(training, methods, data)
    rows = recorded_rows(folder, "losses")
    kept, dropped = earlier_runs(folder, rows, plans, options.seeds, lambda method: method.short_name)
    for method, reason in dropped.items():
        say(f"{method.short_title} is left out: of an earlier call: {reason}")
    policies = {method: plan.policy and vars(plan.policy) for method, plan in plans.items()}
    policies |= {method: RunFolder(paths[0]).settings().get("policy") for method, paths in kept.items()}
    teachers = untrained(data, policies)
    plans = {method: teachers.told(method, plan) for method, plan in plans.items()}
    runs = {**train_each(plans, options.seeds, lambda method: folder / method.short_name), **kept}
    measured = {
        method.short_title: {
            **measure(cache, paths),
            "published": _fraction(spec.published.get(method.short_title)),
            "loss": method.loss,
            "policy": method.policy,
        }
        for method, paths in runs.items()
    }
    record = {
        "dataset": spec.name,
        "compat": options.compat,
        "amp": training.amp,
        "cache_fingerprint": cache.fingerprint,
        "teachers": teachers.records(),
        "losses": measured,
        "versions": versions(),
    }
    with replacing(folder / "results.json") as temporary:
        temporary.write_text(json.dumps(record, indent=1), encoding="utf-8")
    return record


def _fraction(percent: float | None) -> float | None:
    """Return a published figure in the unit of ours."""
    return None if percent is None else percent / 100


def absent_files(spec: DatasetSpec, root: Path) -> list[Absent]:
    """Return the data and weights that reproducing a data set needs and that are not on this machine."""
    source = ClipSource(**spec.clip.model_dump()).located(spec.manifest_path.parent)
    weights = (
        libraries.absent_weights(source),
        timm_backbones.absent_weights(spec.recipe.backbone, timm_backbones.PRETRAINED),
    )
    return [*_absent_data(spec, root), *(absent for absent in weights if absent is not None)]


def _show_missing(name: str, missing: Sequence[Absent]) -> None:
    out.print(f"Reproducing {name} needs what is not on this machine:")
    for absent in missing:
        size = "" if absent.size is None else f", {absent.size / 1e6:,.0f} MB"
        out.print(f"  {absent.what}{size}\n    from {absent.source}\n    {absent.how}", markup=False)


def _absent_data(spec: DatasetSpec, root: Path) -> list[Absent]:
    found = datasets.state(spec, root)
    if found["state"] == "counts differ":
        counts = [
            f"{found['found'][kind]:,} {kind}, expected {n:,}" for kind, n in found["expected"].items() if n is not None
        ]
        say(f"{spec.name} is not the published data set: it has {'; '.join(counts)}")
    if found["state"] in ("found", "counts differ", "made when needed"):
        return []
    if spec.downloads:
        how = f"aevlp datasets {spec.name} --download, or unpack it by hand in {root}"
        return [Absent(d.file, d.url, d.size, how) for d in datasets.needed_archives(spec, root)]
    source = f"a form: aevlp datasets {spec.name} --download prints the steps" if spec.steps else "your own files"
    return [Absent(f"images and labels of {spec.title}", source, None, f"put them in {root}: {found['detail']}")]
