"""A data set, or all of a manifest -> a report of what is wrong with it."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from ...pipeline.clip.prompts import class_names
from ...pipeline.datasets.dataset_check import KINDS, Checked, Finding, check_dataset
from ...pipeline.errors import AevlpError
from ...pipeline.files.image_formats import MAX_PIXELS
from ...pipeline.manifest.formats import DatasetSpec
from ...pipeline.manifest.load import load_manifest
from ..console import Rate, out, print_json, print_table, progress_bar, say

SHOWN = 3  # lines of one kind; --json has all


def run(
    name: str,
    manifest: list[Path] | None,
    root: Path | None,
    workers: int | None,
    as_json: bool,
    max_pixels: int = MAX_PIXELS,
) -> None:
    """Check one data set, or each of the manifest at the path `name`; AevlpError where training would go wrong."""
    specs = _asked_for(name, manifest)
    if root is not None and len(specs) > 1:
        raise AevlpError(
            f"--data-root is the folder of one data set, and {name} names {len(specs)}: {', '.join(specs)}"
        )
    results = {key: _checked(spec, root or spec.default_root(), workers, max_pixels) for key, spec in specs.items()}
    if as_json:
        print_json({key: _as_json(checked) for key, checked in results.items()})
    else:
        for key, checked in results.items():
            _print(key, checked)
    serious = {key: sum(finding.serious for finding in checked.findings) for key, checked in results.items()}
    if wrong := [f"{key} has {count} fault{'s' * (count > 1)}" for key, count in serious.items() if count]:
        raise AevlpError(f"{', '.join(wrong)} with which training would go wrong")


def _asked_for(name: str, manifest: list[Path] | None) -> Mapping[str, DatasetSpec]:
    path = Path(name)
    if path.suffix in (".yaml", ".yml") or path.is_file():
        if manifest:
            raise AevlpError(f"{name} is a manifest, and --manifest names another: pass one of the two")
        return load_manifest(path).datasets
    return {name: load_manifest(manifest)[name]}


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
    from ...pipeline.clip import encoder
    from ...pipeline.clip.encoder import ClipSource
    from ...pipeline.training import classifier
    from ..stage_two.labels_plan import policy_with

    source = ClipSource(**spec.clip.model_dump()).located(spec.manifest_path.parent)
    settings: list[tuple[str, Callable[[], object]]] = [
        ("names", lambda: class_names(classes, spec.name_rule, spec.natural_names, spec.synonyms)),
        ("clip", lambda: encoder.absent_weights(source)),
        ("recipe.backbone", lambda: classifier.absent_weights(spec.recipe.backbone, classifier.PRETRAINED)),
        *((f"losses.{name}", partial(_build_loss, name, len(classes), given)) for name, given in spec.losses.items()),
        *(
            (f"policies.{name}", partial(policy_with, name, spec, "paper", given))
            for name, given in spec.policies.items()
        ),
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
    from ...pipeline.losses.foreign import is_named
    from ...pipeline.losses.foreign_source import written_constants
    from ...pipeline.plugins import check

    if is_named(name):  # a class of the user's own, which is not run before it is trained with
        takes = written_constants(name)
        if takes is not None:
            check(f"loss {name}", takes, given)
        return
    losses.check_constants(name, given)
    losses.create_loss(name, classes, **given)


def _as_json(checked: Checked) -> dict[str, Any]:
    return {
        "images": checked.images,
        "faults": [{"kind": f.kind, "text": f.text, "serious": f.serious} for f in checked.findings],
        "positives_per_image": checked.per_image,
        "classes": checked.classes,
    }


def _print(name: str, checked: Checked) -> None:
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
    kinds = [(kind, len(lines), serious) for kind, serious in KINDS.items() if (lines := checked.of_kind(kind))]
    if not kinds:
        out.print(f"{name}: {checked.images:,} images opened, nothing is wrong")
        return
    rows = [(kind, f"{count:,}", "goes wrong" if serious else "goes on") for kind, count, serious in kinds]
    print_table(f"{name}: what is wrong", ("kind", "number", "training"), rows, right=(1,))
    for kind, count, _ in kinds:  # one line each, so that a path can be copied
        for line in checked.of_kind(kind)[:SHOWN]:
            out.print(f"{kind}: {line}", markup=False)
        if count > SHOWN:
            out.print(f"{kind}: … and {count - SHOWN:,} more; --json has all", markup=False)


def _mean(histogram: dict[int, int]) -> str:
    images = sum(histogram.values())
    return f"{sum(n * count for n, count in histogram.items()) / images:.2f}" if images else "-"
