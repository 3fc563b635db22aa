"""A data set, or all of a manifest -> a report of what is wrong with it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ...pipeline.clip.prompts import class_names
from ...pipeline.datasets.dataset_check import KINDS, Checked, Finding, check_dataset
from ...pipeline.errors import AevlpError, counted
from ...pipeline.manifest.formats import DatasetSpec
from ..console import Rate, out, print_table, progress_bar, say
from ..declaration import takes
from ..results import Table
from ..sources import find_source, manifest_of
from .options import CheckOptions

SHOWN = 3  # lines of one kind; --json has all


@dataclass(frozen=True, repr=False)
class CheckReport(Table):
    """What was read of each data set, and what is wrong; a row for each fault. failed: the data sets that would go wrong."""

    checked: dict[str, Checked]

    @property
    def rows(self) -> Sequence[dict[str, Any]]:
        """The faults: data set, kind, text, and whether training would go wrong."""
        return [
            {"dataset": name, "kind": fault.kind, "text": fault.text, "serious": fault.serious}
            for name, of in self.checked.items()
            for fault in of.findings
        ]

    @property
    def columns(self) -> Sequence[str]:
        """The names of the columns, also where nothing is wrong."""
        return ("dataset", "kind", "text", "serious")

    @property
    def failed(self) -> str:
        """In which data sets training would go wrong, as a sentence; empty where in none."""
        serious = {name: sum(fault.serious for fault in of.findings) for name, of in self.checked.items()}
        wrong = [f"{name} has {counted(count, 'fault')}" for name, count in serious.items() if count]
        return f"{', '.join(wrong)} with which training would go wrong" if wrong else ""

    def summary(self) -> dict[str, Any]:
        """Return images and faults of each data set."""
        return {
            name: f"{counted(of.images or 0, 'image')}, {counted(len(of.findings), 'fault')}"
            for name, of in self.checked.items()
        }

    def to_json(self) -> dict[str, Any]:
        """Return what was found, by data set."""
        return {name: _as_json(of) for name, of in self.checked.items()}


@takes(CheckOptions)
def check(options: CheckOptions) -> CheckReport:
    """Read one data set, or each of a manifest, every image once, and return what is wrong with it.

    Raises AevlpError where it cannot be read at all.
    """
    specs = _asked_for(options)
    root = options.data_root
    if root is not None and len(specs) > 1:
        raise AevlpError(
            f"--data-root is the folder of one data set, and {options.source} names {len(specs)}: {', '.join(specs)}"
        )
    return CheckReport(
        {
            key: _checked(spec, root or spec.default_root(), options.workers, options.max_pixels)
            for key, spec in specs.items()
        }
    )


def show(report: CheckReport) -> None:
    """Print labels and faults of each data set."""
    for name, checked in report.checked.items():
        _show(name, checked)


def _asked_for(options: CheckOptions) -> Mapping[str, DatasetSpec]:
    """Return the data sets that are meant, all of a manifest or one; a source's faults are left to the check."""
    if options.dataset is None and (manifest := manifest_of(options)) is not None:
        return manifest.datasets
    spec = find_source(options, forgiving=True).spec
    return {spec.name: spec}


def _checked(spec: DatasetSpec, root: Path, workers: int | None, max_pixels: int) -> Checked:
    say(f"{spec.title}: reading {root}")
    with progress_bar(Rate("images")) as bar:
        task = bar.add_task("opening images", total=None, visible=False)
        checked = check_dataset(
            spec,
            root,
            workers,
            begin=lambda images: bar.update(task, total=images, visible=True),
            done=lambda images: bar.advance(task, images),
            max_pixels=max_pixels,
        )
    if checked.classes:
        checked.findings += [Finding("setting refused", text) for text in refused_settings(spec, list(checked.classes))]
    return checked


def refused_settings(spec: DatasetSpec, classes: list[str]) -> list[str]:
    """Return why a stage would refuse what the manifest says of names, models, losses and policies; a line for each."""
    from ...pipeline.clip import libraries
    from ...pipeline.clip.source import ClipSource
    from ...pipeline.training import timm_backbones

    source = ClipSource(**spec.clip.model_dump()).located(spec.manifest_path.parent)
    settings: list[tuple[str, Callable[[], object]]] = [
        ("names", lambda: class_names(classes, spec.name_rule, spec.natural_names, spec.synonyms)),
        ("clip", lambda: libraries.absent_weights(source)),
        ("recipe.backbone", lambda: timm_backbones.absent_weights(spec.recipe.backbone, timm_backbones.PRETRAINED)),
        *((f"losses.{name}", partial(_build_loss, name, len(classes), given)) for name, given in spec.losses.items()),
        *((f"policies.{name}", partial(_build_policy, name, spec, given)) for name, given in spec.policies.items()),
    ]
    refused = []
    for place, use in settings:
        try:
            use()
        except AevlpError as error:
            refused.append(f"{place}: {error}")
    return refused


def _build_loss(name: str, classes: int, given: dict[str, Any]) -> None:
    from ...pipeline import losses

    if not _of_ones_own("loss", losses.foreign, name, given):
        losses.check_constants(name, given)
        losses.create_loss(name, classes, **given)


def _build_policy(name: str, spec: DatasetSpec, given: dict[str, Any]) -> None:
    from ...pipeline import policies
    from ...pipeline.policies import foreign
    from ..stage_two import own_logits
    from ..stage_two.labels_plan import policy_with

    if not _of_ones_own("policy", foreign, name, given):
        of_model = dict.fromkeys(own_logits.NAMES, 1) if set(own_logits.NAMES) <= set(policies.constants(name)) else {}
        policy_with(name, spec, "paper", {**of_model, **given})


def _of_ones_own(kind: str, foreign: Any, name: str, given: dict[str, Any]) -> bool:
    """Return whether this is a class of the user's own, whose constants are checked; it is not run before it is trained with."""
    from ...pipeline.plugins import check

    if not foreign.is_named(name):
        return False
    takes = foreign.written_constants(name)
    if takes is not None:
        check(f"{kind} {name}", takes, given)
    return True


def _as_json(checked: Checked) -> dict[str, Any]:
    return {
        "images": checked.images,
        "faults": [{"kind": f.kind, "text": f.text, "serious": f.serious} for f in checked.findings],
        "positives_per_image": checked.per_image,
        "labels_used": checked.used and {**asdict(checked.used), "text": checked.used.text},
        "classes": checked.classes,
    }


def _show(name: str, checked: Checked) -> None:
    if checked.classes:
        splits = list(checked.per_image)
        figures = range(1, 1 + len(splits))
        rows = [(key, *(f"{of[split]:,}" for split in splits)) for key, of in checked.classes.items()]
        print_table(f"{name}: images of each class", ("class", *splits), rows, right=figures)
        header = ("positives an image", *splits)
        numbers = sorted({n for of in checked.per_image.values() for n in of})
        rows = [(str(n), *(f"{checked.per_image[s].get(n, 0):,}" for s in splits)) for n in numbers]
        print_table(
            f"{name}: labels an image", header, [*rows, ("mean", *map(_mean, checked.per_image.values()))], figures
        )
    if checked.used is not None:
        out.print(f"{name}: {checked.used.text}", markup=False, soft_wrap=True)
    kinds = [(kind, len(lines), serious) for kind, serious in KINDS.items() if (lines := checked.of_kind(kind))]
    if not kinds:
        out.print(f"{name}: {counted(checked.images, 'image')} opened, nothing is wrong")
        return
    rows = [(kind, f"{count:,}", "goes wrong" if serious else "goes on") for kind, count, serious in kinds]
    print_table(f"{name}: what is wrong", ("kind", "number", "training"), rows, right=(1,))
    for kind, count, _ in kinds:  # one line each, so that a path can be copied
        for line in checked.of_kind(kind)[:SHOWN]:
            out.print(f"{kind}: {line}")
        if count > SHOWN:
            out.print(f"{kind}: … and {count - SHOWN:,} more; --json has all")


def _mean(histogram: dict[int, int]) -> str:
    images = sum(histogram.values())
    return f"{sum(n * count for n, count in histogram.items()) / images:.2f}" if images else "-"
